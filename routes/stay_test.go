package routes

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lorikeet/inference"
	"lorikeet/routes/access"
	"lorikeet/tuning"
)

// kept is a real server that asks for keys. Texts have one word and no end.
func kept(t *testing.T) (*service, *httptest.Server) {
	s := guarded(t, func(o *Options) {
		o.Engine = &scribe{o.Engine, func(ctx context.Context, emit func(string) error) (inference.Generated, error) {
			if err := emit("word"); err != nil {
				return inference.Generated{}, err
			}
			<-ctx.Done()
			return inference.Generated{}, ctx.Err()
		}}
		o.Jobs = &feed{jobs: o.Jobs, past: []tuning.Event{event("1", "status", `{}`)}, live: make(chan tuning.Event), status: tuning.Running}
	})
	s.engine.models = append(s.engine.models, inference.Model{Name: "t5", Kind: "base", Task: inference.TaskTextToText})
	server := httptest.NewServer(s.handler)
	t.Cleanup(server.Close)
	return s, server
}

// streamOf asks for a stream and gives its frames, after the first.
func streamOf(ctx context.Context, t *testing.T, server *httptest.Server, path string, header []string) (*http.Response, <-chan string) {
	t.Helper()
	method, body := http.MethodPost, `{"model":"t5","prompt":"a","stream":true}`
	if strings.HasPrefix(path, "/tune") {
		method, body = http.MethodGet, ""
	}
	r, err := http.NewRequestWithContext(ctx, method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set(header[0], header[1])
	answer, frames := framesOf(t, r)
	if answer.StatusCode == http.StatusOK {
		select {
		case <-frames:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s tells nothing", path)
		}
	}
	return answer, frames
}

// ways are the paths that stream.
var ways = []string{"/generate", "/v1/completions", "/tune/jobs/job_x/events"}

func TestStreamsCountForTheirKey(t *testing.T) {
	s, server := kept(t)
	_, header := s.key(access.Admin, "")
	first, leave := context.WithCancel(t.Context())
	defer leave()
	for i := range keyStreams {
		ctx := t.Context()
		if i == 0 {
			ctx = first
		}
		if a, _ := streamOf(ctx, t, server, ways[i%len(ways)], header); a.StatusCode != http.StatusOK {
			t.Fatalf("stream %d: %s", i, a.Status)
		}
	}
	for _, path := range ways {
		if a, _ := streamOf(t.Context(), t, server, path, header); a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s, one too many: %s", path, a.Status)
		}
	}
	s.want(200, "GET", "/models", nil, header...)
	_, other := s.key(access.Admin, "")
	if a, _ := streamOf(t.Context(), t, server, "/generate", other); a.StatusCode != http.StatusOK {
		t.Errorf("another key: %s", a.Status)
	}
	leave()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		a, _ := streamOf(t.Context(), t, server, "/generate", header)
		if a.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after one has ended: %s", a.Status)
		}
	}
}

func TestAStreamEndsWithItsKey(t *testing.T) {
	s, server := kept(t)
	id, header := s.key(access.Admin, "")
	_, other := s.key(access.Admin, "")
	last := map[string]string{
		"/generate":               `event: error` + "\n" + `data: {"type":"about:blank","title":"API key not accepted","status":401,"detail":`,
		"/v1/completions":         `data: {"type":"about:blank","title":"API key not accepted","status":401,"detail":`,
		"/tune/jobs/job_x/events": "",
	}
	streams := map[string]<-chan string{}
	for _, path := range ways {
		_, streams[path] = streamOf(t.Context(), t, server, path, header)
	}
	_, goesOn := streamOf(t.Context(), t, server, "/generate", other)
	if _, err := s.handler.access.Keys.Revoke(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for path, frames := range streams {
		end := ""
		for timeout := time.After(10 * time.Second); ; {
			var ok bool
			var frame string
			select {
			case frame, ok = <-frames:
			case <-timeout:
				t.Fatalf("%s goes on", path)
			}
			if !ok {
				break
			}
			end = frame
		}
		if last[path] != "" && !strings.HasPrefix(end, last[path]) {
			t.Errorf("%s ends with %q", path, end)
		}
	}
	select {
	case frame, ok := <-goesOn:
		t.Errorf("the stream of another key: %q, %v", frame, ok)
	case <-time.After(50 * time.Millisecond):
	}
}
