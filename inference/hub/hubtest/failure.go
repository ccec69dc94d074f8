package hubtest

import (
	"bytes"
	"net/http"
	"strings"
	"time"
)

// Failure is something that goes wrong with the requests it matches. At most one
// of Status, Cut, Corrupt, NoRange and Hang is set.
type Failure struct {
	// Which requests: part of the path (a file's name, or its SHA-256 in the
	// storage), the method (empty: all), and how many of them (0: all).
	Path   string
	Method string
	Times  int

	Status  int         // answer with this, …
	Header  http.Header // … and these
	Cut     int64       // close the connection after so many bytes of the body
	Corrupt bool        // send other bytes, as many
	Longer  bool        // send more bytes than there are
	NoRange bool        // send the whole file whatever range is asked for
	Hang    bool        // send half of what is asked for, then nothing until the client goes
}

// Fail makes requests fail. Of several failures that match the oldest is applied.
func (s *Server) Fail(f Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Times == 0 {
		f.Times = -1
	}
	s.failures = append(s.failures, &f)
}

// Heal ends all failures.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = nil
}

func (s *Server) failure(storage bool, r *http.Request) *Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.failures {
		if f.Times == 0 || (f.Method != "" && f.Method != r.Method) || !strings.Contains(r.URL.Path, f.Path) {
			continue
		}
		// What happens to a body happens where bodies are sent.
		if !f.answers() && r.Method != http.MethodGet {
			continue
		}
		if !f.answers() && !storage && !sendsBody(r.URL.Path) {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		return f
	}
	return nil
}

// answers is whether the failure is an answer of its own.
func (f *Failure) answers() bool { return f.Status != 0 }

// sendsBody: the hub itself sends files from here only; the rest are redirects.
func sendsBody(path string) bool { return strings.Contains(path, "/api/resolve-cache/") }

func (f *Failure) serve(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if f.answers() {
		for k, v := range f.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(f.Status)
		return
	}
	if f.NoRange {
		r.Header.Del("Range")
		next(w, r)
		return
	}
	// Have the answer made, then send what is left of it.
	made := &buffered{header: w.Header(), status: http.StatusOK}
	next(made, r)
	body := made.body.Bytes()
	switch {
	case f.Corrupt:
		for i := range body {
			body[i] ^= 0x55
		}
		w.WriteHeader(made.status)
		_, _ = w.Write(body)
	case f.Longer:
		w.Header().Del("Content-Length")
		w.WriteHeader(made.status)
		_, _ = w.Write(append(body, body...))
	case f.Hang:
		w.WriteHeader(made.status)
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-time.After(time.Minute): // a client that does not give up
		}
		panic(http.ErrAbortHandler)
	default:
		w.WriteHeader(made.status)
		_, _ = w.Write(body[:min(f.Cut, int64(len(body)))])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // closes the connection
	}
}

// buffered keeps an answer for Failure.serve.
type buffered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *buffered) Header() http.Header         { return b.header }
func (b *buffered) WriteHeader(status int)      { b.status = status }
func (b *buffered) Write(p []byte) (int, error) { return b.body.Write(p) }
