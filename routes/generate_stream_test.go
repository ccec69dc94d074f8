package routes

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"lorikeet/adapters/invalid"
	"lorikeet/inference"
)

var writesNone = invalid.Field("model", "bert scores texts and writes none; POST /predict asks it")

// scribe is an engine that writes as the test says.
type scribe struct {
	engine
	write func(ctx context.Context, emit func(string) error) (inference.Generated, error)
}

func (e *scribe) Generate(ctx context.Context, _ inference.GenerateRequest, emit func(string) error) (inference.Generated, error) {
	return e.write(ctx, emit)
}

var written = inference.Generated{Model: "bert", Finish: inference.FinishLength, InputTokens: 1, OutputTokens: 2, Inference: time.Second}

// scribbling is a real server over a scribe, and what it takes to see that nothing is left.
func scribbling(t *testing.T, heartbeat time.Duration, write func(context.Context, func(string) error) (inference.Generated, error)) (*service, *httptest.Server) {
	t.Helper()
	s := newService(t, func(o *Options) {
		o.Engine = &scribe{o.Engine, write}
		o.Limits.Heartbeat = heartbeat
	})
	leaks := goleak.IgnoreCurrent()
	server := httptest.NewServer(s.handler)
	t.Cleanup(func() {
		server.Close()
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t, leaks)
	})
	return s, server
}

// listen asks for a stream.
func listen(ctx context.Context, t *testing.T, server *httptest.Server, body string, headers ...string) (*http.Response, <-chan string) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "POST", server.URL+"/generate", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return framesOf(t, r)
}

const (
	streamed  = `{"prompt":"a","stream":true}`
	lastFrame = `data: {"model":"bert","adapter":null,"finish_reason":"length","usage":{"input_tokens":1,"output_tokens":2},"timings":{"queue_ms":0,"first_token_ms":0,"inference_ms":1000,"tokens_per_second":2}}`
)

func TestTextStream(t *testing.T) {
	t.Run("tells the pieces, then how it ended", func(t *testing.T) {
		more := make(chan string)
		_, server := scribbling(t, time.Minute, func(_ context.Context, emit func(string) error) (inference.Generated, error) {
			for text := range more {
				if err := emit(text); err != nil {
					return inference.Generated{}, err
				}
			}
			return written, nil
		})
		go func() { more <- "Once" }() // the head comes with the first piece
		answer, frames := listen(t.Context(), t, server, streamed)
		for name, want := range map[string]string{"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"} {
			if got := answer.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if answer.Header.Get("X-Request-Id") == "" || answer.StatusCode != 200 {
			t.Errorf("%d %v", answer.StatusCode, answer.Header)
		}
		next(t, frames, `data: {"text":"Once"}`)
		more <- " upon" // each is out before the next is written
		next(t, frames, `data: {"text":" upon"}`)
		close(more)
		next(t, frames, lastFrame)
		next(t, frames, "data: [DONE]")
		ended(t, frames)
	})
	t.Run("is asked for by Accept as well, unless the body says no", func(t *testing.T) {
		_, server := scribbling(t, time.Minute, func(context.Context, func(string) error) (inference.Generated, error) { return written, nil })
		for body, kind := range map[string]string{`{"prompt":"a"}`: "text/event-stream", `{"prompt":"a","stream":false}`: "application/json"} {
			answer, _ := listen(t.Context(), t, server, body, "Accept", "text/event-stream")
			if got := answer.Header.Get("Content-Type"); !strings.HasPrefix(got, kind) {
				t.Errorf("%s: %s", body, got)
			}
		}
	})
	t.Run("keeps every character whole and every event on one line", func(t *testing.T) {
		text := "é 漢字 👩‍👩‍👧 \u2028\u2029\u0085 <b>&amp; \"quoted\" \\n\r\n\ndata: [DONE]\n\n\x00\x7f"
		_, server := scribbling(t, time.Minute, func(_ context.Context, emit func(string) error) (inference.Generated, error) {
			for _, c := range text {
				if err := emit(string(c)); err != nil {
					return inference.Generated{}, err
				}
			}
			return written, nil
		})
		_, frames := listen(t.Context(), t, server, streamed)
		var got strings.Builder
		for range utf8.RuneCountInString(text) {
			data, ok := strings.CutPrefix(<-frames, "data: ")
			var piece textPiece
			if err := json.Unmarshal([]byte(data), &piece); !ok || err != nil || strings.Contains(data, "\n") {
				t.Fatalf("%q: %v", data, err)
			}
			got.WriteString(piece.Text)
		}
		if got.String() != text {
			t.Errorf("got %q, want %q", got.String(), text)
		}
		next(t, frames, lastFrame)
	})
	t.Run("is kept open by comments while the text waits", func(t *testing.T) {
		goOn := make(chan struct{})
		_, server := scribbling(t, 10*time.Millisecond, func(_ context.Context, emit func(string) error) (inference.Generated, error) {
			<-goOn
			return written, emit("a")
		})
		_, frames := listen(t.Context(), t, server, streamed)
		next(t, frames, ": heartbeat")
		next(t, frames, ": heartbeat")
		close(goOn)
		for f := range frames {
			if f != ": heartbeat" {
				if f != `data: {"text":"a"}` {
					t.Errorf("frame %q", f)
				}
				break
			}
		}
	})
	t.Run("is over with an error event when the text breaks off", func(t *testing.T) {
		s, server := scribbling(t, time.Minute, func(_ context.Context, emit func(string) error) (inference.Generated, error) {
			return inference.Generated{}, errors.Join(emit("a"), errors.New("the device at 10.0.0.7 is gone"))
		})
		_, frames := listen(t.Context(), t, server, streamed, "X-Request-Id", "mine")
		next(t, frames, `data: {"text":"a"}`)
		p := errorFrame(t, <-frames)
		if p.Code != "internal" || p.RequestID != "mine" || p.Status != 500 || strings.Contains(p.Detail, "10.0.0.7") {
			t.Errorf("%+v", p)
		}
		ended(t, frames)
		server.Close() // the log is written after the answer
		if log := s.log.String(); !strings.Contains(log, "10.0.0.7") || !strings.Contains(log, `"status":200`) {
			t.Errorf("the log does not tell: %s", log)
		}
	})
	t.Run("breaks the connection when the engine panics midway", func(t *testing.T) {
		_, server := scribbling(t, time.Minute, func(_ context.Context, emit func(string) error) (inference.Generated, error) {
			_ = emit("a")
			panic("graph has no output")
		})
		_, frames := listen(t.Context(), t, server, streamed)
		next(t, frames, `data: {"text":"a"}`)
		ended(t, frames)
	})
	t.Run("ends the text at once when the caller leaves", func(t *testing.T) {
		left := make(chan error, 1)
		s, server := scribbling(t, time.Minute, func(ctx context.Context, emit func(string) error) (inference.Generated, error) {
			if err := emit("a"); err != nil {
				return inference.Generated{}, err
			}
			<-ctx.Done()
			left <- ctx.Err()
			return inference.Generated{}, ctx.Err()
		})
		ctx, leave := context.WithCancel(t.Context())
		_, frames := listen(ctx, t, server, streamed)
		next(t, frames, `data: {"text":"a"}`)
		leave()
		select {
		case <-left:
		case <-time.After(10 * time.Second):
			t.Fatal("the engine writes for nobody")
		}
		server.Close()
		if log := s.log.String(); !strings.Contains(log, `"error":"context canceled"`) {
			t.Errorf("the log does not tell: %s", log)
		}
	})
	t.Run("waits for a slow reader, who holds up nobody else", func(t *testing.T) {
		big := strings.Repeat("x", 1<<20)
		left := make(chan error, 1)
		s, server := scribbling(t, time.Minute, func(_ context.Context, emit func(string) error) (inference.Generated, error) {
			for { // far more than the buffers between here and there
				if err := emit(big); err != nil {
					left <- err
					return inference.Generated{}, err
				}
			}
		})
		r, _ := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/generate", strings.NewReader(streamed))
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r) // reads no more than the head
		if err != nil {
			t.Fatal(err)
		}
		s.want(200, "POST", "/predict", `{"inputs":"a"}`)
		_ = answer.Body.Close()
		select {
		case err := <-left:
			if classify(err) != clientGone {
				t.Errorf("ended with %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the engine writes for nobody")
		}
	})
}

func errorFrame(t *testing.T, frame string) Problem {
	t.Helper()
	data, ok := strings.CutPrefix(frame, "event: error\ndata: ")
	var p Problem
	if err := json.Unmarshal([]byte(data), &p); !ok || err != nil {
		t.Fatalf("frame %q: %v", frame, err)
	}
	return p
}
