package hub

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// blob is a file to download.
type blob struct {
	name string // in the repository
	url  *url.URL
	etag string // the name of the blob
	path string
	lock string
	size int64 // -1 where unknown

	// What the content must hash to: SHA-256 of a large file, else git's object id
	// (SHA-1 of "blob <size>\x00" and the content). Both are empty where the hub,
	// or a mirror, says neither.
	sha256, oid string
}

var (
	etagName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$`)
	hex256   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// randomName keeps the temporary files of several processes apart.
func randomName() string { return rand.Text()[:8] }

// announced asks the hub for a file's etag and length. A large file is a redirect
// to storage; its own headers, not those of the storage, say what it is.
func (c *Client) announced(ctx context.Context, u *url.URL, commit string, f listed) (blob, error) {
	b := blob{size: -1}
	err := c.retry(ctx, "look up "+f.name, c.attempts(), func() (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, headTimeout)
		defer cancel()
		var etag, size, said string
		resp, left, err := c.do(ctx, http.MethodHead, u, http.Header{"Accept-Encoding": {"identity"}}, func(resp *http.Response, leaving bool) bool {
			h := resp.Header
			said = first(said, h.Get("X-Repo-Commit"))
			etag = first(etag, h.Get("X-Linked-Etag"))
			size = first(size, h.Get("X-Linked-Size"))
			if leaving {
				etag = first(etag, h.Get("Etag"))
			}
			return leaving && etag != ""
		})
		if err != nil {
			return false, err
		}
		drain(resp.Body)
		if resp.StatusCode >= 400 {
			return false, c.status(resp, left)
		}
		etag = normalEtag(first(etag, resp.Header.Get("Etag")))
		if resp.StatusCode == http.StatusOK && size == "" {
			size = resp.Header.Get("Content-Length")
		}
		if !etagName.MatchString(etag) {
			return false, fmt.Errorf("%s: the etag %.80q cannot name a file; check HF_ENDPOINT, and that no proxy changes headers", host(u), etag)
		}
		if said != "" && said != commit {
			return false, fmt.Errorf("%s: asked for commit %s, got %.80q", host(u), commit, said)
		}
		b.etag = etag
		if n, err := strconv.ParseInt(size, 10, 64); err == nil && n >= 0 {
			b.size = n
		}
		return true, nil
	})
	if err != nil {
		return blob{}, err
	}
	if b.size < 0 {
		b.size = f.size
	}
	switch {
	case hex256.MatchString(b.etag):
		b.sha256 = b.etag
	case hex256.MatchString(f.sha256):
		b.sha256 = f.sha256
	case b.etag == f.oid && commitID.MatchString(f.oid) && b.size >= 0:
		b.oid = f.oid
	}
	return b, nil
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// normalEtag is W/"x" or "x" without its quotes.
func normalEtag(s string) string {
	return strings.Trim(strings.TrimPrefix(strings.TrimSpace(s), "W/"), `"`)
}

// lockFile is where huggingface_hub locks the blob, too.
func (c *Client) lockFile(r Ref, etag string) string {
	return filepath.Join(c.CacheDir, ".locks", r.folder(), etag+".lock")
}

// download makes sure that the blob is in the cache. While it does, it holds the
// blob's lock: of several processes one downloads and the others wait for it.
// Lock files are never removed, or a process could lock one that has no name any more.
func (c *Client) download(ctx context.Context, b blob, report *reporter) error {
	if has(b.path, b.size) {
		report.done(b.name, b.size)
		return nil
	}
	for _, dir := range []string{filepath.Dir(b.path), filepath.Dir(b.lock)} {
		if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- as all of the cache; less the umask
			return err
		}
	}
	lock := flock.New(b.lock, flock.SetPermissions(0o664)) // a cache may be shared by a group
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return fmt.Errorf("lock %s: %w", b.lock, err)
	}
	defer func() { _ = lock.Unlock() }() // closing the file frees it in any case
	if has(b.path, b.size) {             // by whoever held the lock before
		report.done(b.name, b.size)
		return nil
	}
	err := c.complete(ctx, b, report)
	if errors.Is(err, ErrCorrupt) {
		// Most likely what was left of an earlier download. From the beginning, then.
		c.log().Warn("hub: starting again", "file", b.name, "error", err)
		err = c.complete(ctx, b, report)
	}
	return err
}

// complete goes on with what there is of the blob, until all of it is there and
// has been verified. Where it turns out to be corrupt nothing is kept.
func (c *Client) complete(ctx context.Context, b blob, report *reporter) (err error) {
	p, err := openPartial(ctx, b)
	if err != nil {
		return err
	}
	defer func() {
		if p.file != nil { // not complete: kept, for the next time
			err = errors.Join(err, p.file.Close())
		}
	}()
	err = c.retry(ctx, "download "+b.name, c.attempts(), func() (bool, error) {
		before := p.size
		if b.size >= 0 && p.size == b.size {
			return true, nil
		}
		err := c.transfer(ctx, b, p, report)
		return p.size > before, err
	})
	if err == nil {
		err = p.verify(b)
	}
	if errors.Is(err, ErrCorrupt) {
		return errors.Join(err, os.Remove(p.file.Name()))
	}
	if err != nil {
		return err
	}
	if err := p.publish(b.path); err != nil {
		return err
	}
	report.done(b.name, p.size)
	return nil
}

// transfer reads as much as one connection gives.
func (c *Client) transfer(ctx context.Context, b blob, p *partial, report *reporter) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := c.Stall
	if stall <= 0 {
		stall = time.Minute
	}
	silence := time.AfterFunc(stall, func() {
		cancel(fmt.Errorf("nothing came for %v", stall))
	})
	defer silence.Stop()

	header := http.Header{"Accept-Encoding": {"identity"}} // or ranges and lengths would be of something else
	if p.size > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", p.size))
	}
	resp, left, err := c.do(ctx, http.MethodGet, b.url, header, nil)
	if err != nil {
		return cause(ctx, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusPartialContent && p.size > 0 && continues(resp.Header.Get("Content-Range"), p.size, b.size):
	case resp.StatusCode == http.StatusOK: // it may not know of ranges
		if err := p.reset(); err != nil {
			return err
		}
	case resp.StatusCode == http.StatusPartialContent, resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return errors.Join(&transient{err: fmt.Errorf("%s: answered %s to a request for the bytes from %d", host(b.url), resp.Status, p.size)}, p.reset())
	default:
		return c.status(resp, left)
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return fmt.Errorf("%s: the content is encoded (%.40q), which was not asked for", host(b.url), enc)
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := resp.Body.Read(buf)
		silence.Reset(stall)
		if b.size >= 0 && p.size+int64(n) > b.size {
			return fmt.Errorf("%w: %s: more came than the %d bytes announced", ErrCorrupt, b.name, b.size)
		}
		if _, err := p.Write(buf[:n]); err != nil {
			return err
		}
		report.at(b.name, p.size, b.size)
		switch {
		case errors.Is(err, io.EOF) && b.size >= 0 && p.size < b.size:
			return &transient{err: fmt.Errorf("%s: ended after %d of %d bytes", host(b.url), p.size, b.size)}
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return cause(ctx, &transient{err: fmt.Errorf("%s: after %d of %d bytes: %w", host(b.url), p.size, b.size, bare(err))})
		}
	}
}

// cause puts the reason for which a connection was ended in place of "cancelled".
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil && errors.Is(err, context.Canceled) {
		return &transient{err: why}
	}
	return err
}

// continues reports whether a Content-Range ("bytes 5-9/10") begins at from and is
// of a file of size bytes.
func continues(contentRange string, from, size int64) bool {
	var begin, end int64
	var total string
	if n, err := fmt.Sscanf(contentRange, "bytes %d-%d/%s", &begin, &end, &total); n != 3 || err != nil {
		return false
	}
	return begin == from && (total == "*" || size < 0 || total == strconv.FormatInt(size, 10))
}
