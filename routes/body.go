package routes

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// minRate is how many bytes a second a body must bring, on the whole. It is far
// below any real link; it ends callers who feed a byte now and then to hold on to
// a connection.
const minRate = 64

// deadlines is what moving needs of http.ResponseController.
type deadlines interface{ SetReadDeadline(time.Time) error }

// movingBody gives every read of a body its own deadline. A server-wide
// ReadTimeout would end a slow upload that is perfectly legal; no deadline at all
// would let a stalled one hold its connection for ever.
type movingBody struct {
	body  io.ReadCloser
	conn  deadlines
	stall time.Duration
	read  int64
	spent time.Duration // waiting for bytes; not what the handler took between reads
	over  bool
}

// lastRead is how long the server may wait, once the handler is done, for the rest
// of a body that the handler did not read.
const lastRead = 2 * time.Second

// moving wraps the body of r. The function it returns is for after the handler.
func moving(w http.ResponseWriter, r *http.Request, stall time.Duration) (io.ReadCloser, func()) {
	if r.Body == nil || r.Body == http.NoBody || stall <= 0 {
		return r.Body, func() {}
	}
	b := &movingBody{body: r.Body, conn: http.NewResponseController(w), stall: stall}
	return b, func() {
		if !b.over {
			_ = b.conn.SetReadDeadline(time.Now().Add(lastRead))
		}
	}
}

func (b *movingBody) Read(p []byte) (int, error) {
	if b.over {
		return 0, io.EOF
	}
	start := time.Now()
	patience := 2*b.stall + time.Duration(b.read)*(time.Second/minRate) - b.spent
	// Test recorders do not support this; they have no connection to hold either.
	_ = b.conn.SetReadDeadline(start.Add(min(b.stall, patience)))
	n, err := b.body.Read(p)
	b.spent += time.Since(start)
	b.read += int64(n)
	if err == nil {
		return n, nil
	}
	// Off again: a deadline left on would cancel the request's context while the
	// handler still works, because the server listens for the caller leaving.
	_ = b.conn.SetReadDeadline(time.Time{})
	var network net.Error
	switch {
	case errors.Is(err, io.EOF):
		b.over = true
		return n, io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return n, fmt.Errorf("%w: nothing, or too little, came for %v after %d bytes", errStalled, b.stall, b.read)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, errCut
	}
	return n, err
}

func (b *movingBody) Close() error { return b.body.Close() }

// limited ends a body that is larger than most.
func limited(body io.Reader, most int64) io.Reader {
	return &limitedBody{r: io.LimitReader(body, most+1), left: most, most: most}
}

type limitedBody struct {
	r          io.Reader
	left, most int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return 0, tooLarge(b.most)
	}
	return n, err
}

func tooLarge(most int64) error {
	return fmt.Errorf("%w: at most %s are accepted here", errTooLarge, size(most))
}

// size writes a number of bytes for people.
func size(n int64) string {
	for _, u := range []struct {
		of   int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.of {
			return fmt.Sprintf("%.4g %s", float64(n)/float64(u.of), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// readJSON reads a body that should be JSON.
func readJSON(r *incoming) ([]byte, error) {
	if err := isJSON(r.Header); err != nil {
		return nil, err
	}
	if r.ContentLength > r.limits.JSON {
		return nil, tooLarge(r.limits.JSON)
	}
	if r.Body == nil {
		return nil, nil
	}
	return io.ReadAll(limited(r.Body, r.limits.JSON))
}

// isJSON checks the content type. None at all is taken as JSON.
func isJSON(h http.Header) error {
	if err := plainEncoding(h); err != nil {
		return err
	}
	given := h.Get("Content-Type")
	if given == "" {
		return nil
	}
	media, params, err := mime.ParseMediaType(given)
	if err != nil {
		return fmt.Errorf("%w: %q; send application/json", errMediaType, brief(given))
	}
	if media != "application/json" && !(strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")) {
		return fmt.Errorf("%w: %s; send application/json (curl: --json, or -H 'Content-Type: application/json')", errMediaType, brief(media))
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return fmt.Errorf("%w: charset %s; send UTF-8", errMediaType, brief(charset))
	}
	return nil
}

func plainEncoding(h http.Header) error {
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return fmt.Errorf("%w: content encoding %s; send the bytes as they are", errMediaType, brief(e))
	}
	return nil
}

// upload is a body that a handler reads as it arrives.
type upload struct {
	Media  string // the media type, without parameters; "" when none was sent
	Size   int64  // as announced; -1 when not
	Body   io.Reader
	r      *incoming
	limits Limits
}

func newUpload(r *incoming) upload {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		media = strings.ToLower(r.Header.Get("Content-Type"))
	}
	body := io.Reader(http.NoBody)
	if r.Body != nil {
		body = r.Body
	}
	return upload{Media: media, Size: r.ContentLength, Body: body, r: r, limits: r.limits}
}

// json reads the upload as a JSON object, for the operations that take either.
func (u upload) json(into any) error {
	body, err := readJSON(u.r)
	if err != nil {
		return err
	}
	return decodeJSON(body, into)
}

// within refuses an upload announced as larger than most, and bounds the rest.
func (u upload) within(most int64) (io.Reader, error) {
	if err := plainEncoding(u.r.Header); err != nil {
		return nil, err
	}
	if u.Size > most {
		return nil, tooLarge(most)
	}
	return limited(u.Body, most), nil
}
