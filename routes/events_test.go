package routes

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lorikeet/tuning"
)

// feed is a queue with one job, whose events the test hands out.
type feed struct {
	jobs
	past   []tuning.Event
	live   chan tuning.Event
	status tuning.Status
}

func (f *feed) Get(_ context.Context, id string) (tuning.Job, error) {
	return tuning.Job{ID: id, Status: f.status}, nil
}

func (f *feed) after(id string) []tuning.Event {
	i := slices.IndexFunc(f.past, func(e tuning.Event) bool { return e.ID == id })
	return f.past[i+1:]
}

func (f *feed) Events(_ context.Context, _, after string, limit int) ([]tuning.Event, error) {
	e := f.after(after)
	if limit > 0 && len(e) > limit {
		e = e[:limit]
	}
	return e, nil
}

func (f *feed) Follow(ctx context.Context, _, after string) (<-chan tuning.Event, error) {
	out := make(chan tuning.Event)
	go func() {
		defer close(out)
		for _, e := range f.after(after) {
			select {
			case out <- e:
			case <-ctx.Done():
				return
			}
		}
		for {
			select {
			case e, ok := <-f.live:
				if !ok {
					return
				}
				select {
				case out <- e:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func event(id, typ, data string) tuning.Event {
	return tuning.Event{ID: id, Type: typ, Data: json.RawMessage(data)}
}

// streaming is a real server with a feed, and what it takes to see that nothing of
// it is left.
func streaming(t *testing.T, f *feed, heartbeat time.Duration) (*httptest.Server, *Handler) {
	t.Helper()
	s := newService(t, func(o *Options) {
		f.jobs = o.Jobs
		o.Jobs = f
		o.Limits.Heartbeat = heartbeat
	})
	leaks := goleak.IgnoreCurrent() // the queue's own Redis runs until the end of the test
	server := httptest.NewServer(s.handler)
	t.Cleanup(func() {
		server.Close()
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t, leaks)
	})
	return server, s.handler
}

// follow starts a stream and reads its events as they come.
func follow(ctx context.Context, t *testing.T, server *httptest.Server, headers ...string) (*http.Response, <-chan string) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/tune/jobs/job_x/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html, text/event-stream;q=0.9")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return framesOf(t, r)
}

// framesOf sends a request and reads the events of its answer as they come.
func framesOf(t *testing.T, r *http.Request) (*http.Response, <-chan string) {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	frames := make(chan string, 100)
	go func() {
		defer close(frames)
		scan := bufio.NewScanner(answer.Body)
		var frame []string
		for scan.Scan() {
			if line := scan.Text(); line != "" {
				frame = append(frame, line)
				continue
			}
			frames <- strings.Join(frame, "\n")
			frame = nil
		}
	}()
	return answer, frames
}

func next(t *testing.T, frames <-chan string, want string) {
	t.Helper()
	select {
	case got, ok := <-frames:
		if !ok || got != want {
			t.Fatalf("frame %q (open %v), want %q", got, ok, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("no frame; want %q", want)
	}
}

func ended(t *testing.T, frames <-chan string) {
	t.Helper()
	select {
	case got, ok := <-frames:
		if ok {
			t.Fatalf("a frame after the end: %q", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the stream does not end")
	}
}

const retry = "retry: 2000"

func TestStream(t *testing.T) {
	past := []tuning.Event{
		event("1-0", "status", `{"status":"running"}`),
		event("2-0", "step", "{\n  \"step\": 1\n}"),
		event("3-0", "eval", `{"step":1}`),
	}
	t.Run("replays, goes on live, and ends when the job is over", func(t *testing.T) {
		f := &feed{past: past, live: make(chan tuning.Event), status: tuning.Running}
		server, _ := streaming(t, f, time.Minute)
		answer, frames := follow(t.Context(), t, server)
		if got := answer.Header.Get("Content-Type"); got != "text/event-stream; charset=utf-8" || answer.StatusCode != 200 {
			t.Fatalf("%d %s", answer.StatusCode, got)
		}
		next(t, frames, retry)
		next(t, frames, "id: 1-0\nevent: status\ndata: {\"status\":\"running\"}")
		next(t, frames, "id: 2-0\nevent: step\ndata: {\"step\":1}") // one line, whatever it was
		next(t, frames, "id: 3-0\nevent: eval\ndata: {\"step\":1}")
		f.live <- event("4-0", "checkpoint", `{"step":2}`)
		next(t, frames, "id: 4-0\nevent: checkpoint\ndata: {\"step\":2}")
		close(f.live)
		ended(t, frames)
	})
	t.Run("replays only what was missed", func(t *testing.T) {
		f := &feed{past: past, live: make(chan tuning.Event), status: tuning.Running}
		server, _ := streaming(t, f, time.Minute)
		_, frames := follow(t.Context(), t, server, "Last-Event-ID", "2-0")
		next(t, frames, retry)
		next(t, frames, "id: 3-0\nevent: eval\ndata: {\"step\":1}")
		close(f.live)
		ended(t, frames)
	})
	t.Run("is kept open by comments", func(t *testing.T) {
		f := &feed{live: make(chan tuning.Event), status: tuning.Running}
		server, _ := streaming(t, f, 10*time.Millisecond)
		_, frames := follow(t.Context(), t, server)
		next(t, frames, retry)
		next(t, frames, ": heartbeat")
		next(t, frames, ": heartbeat")
	})
	t.Run("ends when the service drains", func(t *testing.T) {
		f := &feed{live: make(chan tuning.Event), status: tuning.Running}
		server, h := streaming(t, f, time.Minute)
		_, frames := follow(t.Context(), t, server)
		next(t, frames, retry)
		h.Drain()
		next(t, frames, strings.TrimSpace(farewell))
		ended(t, frames)
	})
	t.Run("lets go when the caller leaves", func(t *testing.T) {
		f := &feed{live: make(chan tuning.Event), status: tuning.Running}
		server, _ := streaming(t, f, time.Minute)
		ctx, leave := context.WithCancel(t.Context())
		_, frames := follow(ctx, t, server)
		next(t, frames, retry)
		leave() // the cleanup sees that nothing of the stream is left
	})
	t.Run("is over for good with 204", func(t *testing.T) {
		f := &feed{past: past, status: tuning.Succeeded}
		server, _ := streaming(t, f, time.Minute)
		answer, _ := follow(t.Context(), t, server, "Last-Event-ID", "3-0")
		if answer.StatusCode != http.StatusNoContent {
			t.Errorf("status %d", answer.StatusCode)
		}
	})
	t.Run("cannot be broken by what it carries", func(t *testing.T) {
		got := frame(tuning.Event{ID: "1\nid: 2", Type: "a\r\nb", Data: json.RawMessage("not json\n\n")})
		if got != "id: 1id: 2\nevent: ab\ndata: null\n\n" {
			t.Errorf("%q", got)
		}
	})
	t.Run("answers HEAD with its head", func(t *testing.T) {
		f := &feed{live: make(chan tuning.Event), status: tuning.Running}
		server, _ := streaming(t, f, time.Minute)
		r, _ := http.NewRequestWithContext(t.Context(), "HEAD", server.URL+"/tune/jobs/job_x/events", nil)
		r.Header.Set("Accept", "text/event-stream")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != 200 || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
			t.Errorf("%d %v", answer.StatusCode, answer.Header)
		}
	})
}

func TestStreamOfTheRealQueue(t *testing.T) {
	s := newService(t, nil)
	j, _ := s.submit("")
	server := httptest.NewServer(s.handler)
	defer server.Close()
	r, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/tune/jobs/"+j.ID+"/events", nil)
	r.Header.Set("Accept", "text/event-stream")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	go s.queue.Cancel(t.Context(), j.ID)
	var last string
	scan := bufio.NewScanner(answer.Body)
	for scan.Scan() {
		if data, ok := strings.CutPrefix(scan.Text(), "data: "); ok {
			last = data
		}
	}
	var d struct{ Status tuning.Status }
	if err := json.Unmarshal([]byte(last), &d); err != nil || d.Status != tuning.Cancelled {
		t.Errorf("the stream ends with %q (%v)", last, err)
	}
}

func TestCurves(t *testing.T) {
	f := &feed{past: []tuning.Event{
		event("1-0", "status", `{"status":"running"}`),
		event("2-0", "step", `{"step":1,"loss":0.5,"learning_rate":0.001}`),
		event("3-0", "eval", `{"step":1,"metrics":{"eval_loss":0.4},"best":true}`),
		event("4-0", "checkpoint", `{"step":1}`),
		event("5-0", "step", `{"step":2,"loss":0.25}`),
	}, status: tuning.Running}
	s := newService(t, func(o *Options) { f.jobs, o.Jobs = o.Jobs, f })
	var m jobMetrics
	s.want(200, "GET", "/tune/jobs/job_x/metrics", nil).into(&m)
	if len(m.Steps) != 2 || m.Steps[1].Loss != .25 || len(m.Evaluations) != 1 || m.Evaluations[0].Metrics["eval_loss"] != .4 {
		t.Errorf("%+v", m)
	}
	f.past[1].Data = json.RawMessage(`{"step":"one"}`)
	s.want(500, "GET", "/tune/jobs/job_x/metrics", nil)
}

func TestWaitEndsWhenTheServiceDrains(t *testing.T) {
	s := newService(t, nil)
	j, _ := s.submit("")
	time.AfterFunc(50*time.Millisecond, s.handler.Drain) // before or after the wait begins: both must end it
	start := time.Now()
	var got job
	s.want(200, "GET", "/tune/jobs/"+j.ID+"?wait=60", nil).into(&got)
	if got.Status != tuning.Queued || time.Since(start) > 30*time.Second {
		t.Errorf("status %s after %v", got.Status, time.Since(start))
	}
}
