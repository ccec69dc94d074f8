package routes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// eventWriter writes a stream of server-sent events. The format is
// https://html.spec.whatwg.org/multipage/server-sent-events.html
// Several goroutines may send; what one sends is never torn.
type eventWriter struct {
	w   http.ResponseWriter
	out *http.ResponseController

	mu    sync.Mutex
	begun bool      // the head is out: an error can no longer be a status
	last  time.Time // something was sent
}

func newEventWriter(w http.ResponseWriter) *eventWriter {
	return &eventWriter{w: w, out: http.NewResponseController(w), last: time.Now()}
}

// begin sends the head, if it has not been sent.
func (s *eventWriter) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head()
}

func (s *eventWriter) head() {
	if s.begun {
		return
	}
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	s.w.WriteHeader(http.StatusOK)
	s.begun = true
}

// send writes text and flushes it, after the head if that is not out yet. An error
// means that nobody listens any more.
func (s *eventWriter) send(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head()
	s.last = time.Now()
	if _, err := io.WriteString(s.w, text); err != nil {
		return err
	}
	return s.out.Flush()
}

// data sends v as the data of an event; event is its name, "" for none.
func (s *eventWriter) data(event string, v any) error {
	text, err := eventFrame(event, v)
	if err != nil {
		return err
	}
	return s.send(text)
}

// started reports whether the head is out.
func (s *eventWriter) started() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun
}

// quiet is how long nothing was sent.
func (s *eventWriter) quiet() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.last)
}

// heartbeat is a comment: it keeps the connection open, and clients pass over it.
const heartbeat = ": heartbeat\n\n"

// beat sends a comment whenever nothing was sent for so long; gone is called when nobody
// listens any more. The function it returns ends that, and waits for the end.
func (s *eventWriter) beat(every time.Duration, gone func()) (halt func()) {
	over := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() {
		wait := time.NewTimer(every)
		defer wait.Stop()
		for {
			select {
			case <-over:
				return
			case <-wait.C:
			}
			if s.quiet() >= every {
				if s.send(heartbeat) != nil {
					gone()
					return
				}
			}
			wait.Reset(max(every-s.quiet(), time.Millisecond))
		}
	})
	return sync.OnceFunc(func() {
		close(over)
		beating.Wait()
	})
}

// eventFrame writes one event. JSON escapes line breaks, which would begin another
// field.
func eventFrame(event string, v any) (string, error) {
	var text bytes.Buffer
	if event != "" {
		fmt.Fprintf(&text, "event: %s\n", event)
	}
	text.WriteString("data: ")
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", fmt.Errorf("encode a %T: %w", v, err)
	}
	text.WriteByte('\n') // the encoder has written one
	return text.String(), nil
}
