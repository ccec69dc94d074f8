package routes

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"lorikeet/inference"
)

const generateHead = "POST /generate HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: %d\n\n%s"

// A text that is being written when the service stops is written to its end if the
// grace allows it, and else told so.
func TestDrainOfTexts(t *testing.T) {
	for name, c := range map[string]struct {
		grace time.Duration
		ends  bool
	}{
		"that end in time":         {20 * time.Second, true},
		"that would take too long": {time.Second, false}, // half of it is left for the last words
	} {
		for _, body := range []string{streamed, `{"prompt":"a"}`} {
			t.Run(name+" "+body, func(t *testing.T) {
				begun, end := make(chan struct{}), make(chan struct{})
				s := serve(t, Serving{Grace: c.grace}, func(o *Options) {
					o.Engine = &scribe{o.Engine, func(ctx context.Context, emit func(string) error) (inference.Generated, error) {
						if emit != nil {
							if err := emit("a"); err != nil {
								return inference.Generated{}, err
							}
						}
						close(begun)
						select {
						case <-end:
							return written, nil
						case <-ctx.Done():
							return inference.Generated{}, ctx.Err()
						}
					}}
				})
				conn := s.dial(fmt.Sprintf(generateHead, len(body), body))
				<-begun
				s.stop()
				<-s.handler.drained.Done()
				if c.ends {
					close(end)
				}
				r, text := read(t, conn)
				if err := <-s.done; c.ends && err != nil { // else a busy machine may overrun the grace
					t.Errorf("drained with %v", err)
				}
				switch stream := body == streamed; {
				case c.ends && stream:
					if !strings.HasSuffix(string(text), lastFrame+"\n\n"+done) {
						t.Errorf("%s", text)
					}
				case c.ends:
					if r.StatusCode != 200 {
						t.Errorf("%d %s", r.StatusCode, text)
					}
				case stream:
					_, last, _ := strings.Cut(strings.TrimSpace(string(text)), "\n\n")
					if p := errorFrame(t, last); p.Code != "draining" || p.Status != 503 {
						t.Errorf("%+v", p)
					}
				default:
					if r.StatusCode != 503 || r.Header.Get("Retry-After") == "" || !strings.Contains(string(text), `"draining"`) {
						t.Errorf("%d %s", r.StatusCode, text)
					}
				}
			})
		}
	}
}
