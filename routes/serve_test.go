package routes

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lorikeet/inference"
	"lorikeet/tuning/datasets"
)

// serving is a service behind Serve, on a real connection.
type serving struct {
	*service
	addr string
	stop context.CancelFunc
	done chan error
}

func serve(t *testing.T, o Serving, change func(*Options)) *serving {
	t.Helper()
	s := newService(t, change)
	leaks := goleak.IgnoreCurrent()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	v := &serving{s, l.Addr().String(), stop, make(chan error, 1)}
	var ended sync.WaitGroup
	ended.Go(func() { v.done <- Serve(ctx, l, s.handler, o) })
	t.Cleanup(func() {
		stop()
		ended.Wait()
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t, leaks)
	})
	return v
}

// dial opens a connection and sends the head of a request.
func (s *serving) dial(head string) net.Conn {
	s.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.Fatal(err)
	}
	if _, err := io.WriteString(c, strings.ReplaceAll(head, "\n", "\r\n")); err != nil {
		s.Fatal(err)
	}
	return c
}

func read(t *testing.T, c net.Conn) (*http.Response, []byte) {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, body
}

// stall is long beside what a busy machine does to a sleep, and the slow upload takes
// more than the two of them that a trickle is allowed.
const stall = 600 * time.Millisecond

func TestUploads(t *testing.T) {
	s := serve(t, Serving{}, func(o *Options) { o.Limits.Stall = stall })
	head := "POST /datasets HTTP/1.1\nHost: x\nContent-Type: text/csv\nContent-Length: %d\n\n"
	t.Run("that are slow but go on are taken", func(t *testing.T) {
		rows := "text,label\n" + strings.Repeat("good,positive\nbad,negative\n", 4)
		c := s.dial(fmt.Sprintf(head, len(rows)))
		for part := range strings.SplitAfterSeq(rows, "\n") { // takes several times as long as one stall
			time.Sleep(stall / 3)
			if _, err := io.WriteString(c, part); err != nil {
				t.Fatal(err)
			}
		}
		r, body := read(t, c)
		var d datasets.Dataset
		if err := json.Unmarshal(body, &d); err != nil || r.StatusCode != 201 || d.Rows != 8 {
			t.Errorf("%d %s", r.StatusCode, body)
		}
	})
	t.Run("that stand still are ended", func(t *testing.T) {
		c := s.dial(fmt.Sprintf(head, 1000) + "text,label\n")
		r, body := read(t, c)
		var p Problem
		if err := json.Unmarshal(body, &p); err != nil || r.StatusCode != 408 || p.Code != "body_timeout" || !r.Close {
			t.Errorf("%d %s", r.StatusCode, body)
		}
	})
	t.Run("that only trickle are ended", func(t *testing.T) {
		c := s.dial(fmt.Sprintf(head, 1000))
		over := make(chan struct{})
		go func() {
			defer close(over)
			for {
				if _, err := c.Write([]byte("a")); err != nil {
					return
				}
				time.Sleep(stall / 3)
			}
		}()
		r, body := read(t, c)
		if r.StatusCode != 408 {
			t.Errorf("%d %s", r.StatusCode, body)
		}
		_ = c.Close()
		<-over
	})
	t.Run("that break off leave nothing", func(t *testing.T) {
		c := s.dial(fmt.Sprintf(head, 1000) + "text,label\na,b\nc,d\n")
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		r, body := read(t, c)
		if r.StatusCode != 400 || !strings.Contains(string(body), "incomplete_body") {
			t.Errorf("%d %s", r.StatusCode, body)
		}
	})
	t.Run("do not end what comes after them", func(t *testing.T) {
		// The deadline of the body must be off while the handler works on.
		c := s.dial("POST /predict HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: 14\n\n{\"inputs\":\"a\"}")
		if r, body := read(t, c); r.StatusCode != 200 {
			t.Fatalf("%d %s", r.StatusCode, body)
		}
		time.Sleep(2 * stall)
		if _, err := io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if r, _ := read(t, c); r.StatusCode != 200 {
			t.Errorf("the connection is gone: %d", r.StatusCode)
		}
	})
}

// slowEngine answers when it is told to, or when the caller leaves.
type slowEngine struct {
	engine
	begun, go_ chan struct{}
	left       chan error
}

func (e *slowEngine) Predict(ctx context.Context, r inference.Request) (inference.Answer, error) {
	e.begun <- struct{}{}
	select {
	case <-e.go_:
		return e.engine.Predict(ctx, r)
	case <-ctx.Done():
		e.left <- ctx.Err()
		return inference.Answer{}, ctx.Err()
	}
}

func slow(o *Options) *slowEngine {
	e := &slowEngine{o.Engine, make(chan struct{}, 10), make(chan struct{}), make(chan error, 10)}
	o.Engine = e
	return e
}

const predictHead = "POST /predict HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: 14\n\n{\"inputs\":\"a\"}"

func TestDrain(t *testing.T) {
	var e *slowEngine
	s := serve(t, Serving{Grace: 10 * time.Second}, func(o *Options) { e = slow(o) })
	c := s.dial(predictHead)
	<-e.begun
	s.stop()
	for !s.handler.draining.Load() {
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-s.done:
		t.Fatalf("ended with a request in flight: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if _, err := net.DialTimeout("tcp", s.addr, time.Second); err == nil {
		t.Error("still takes connections")
	}
	close(e.go_)
	if r, body := read(t, c); r.StatusCode != 200 {
		t.Errorf("in flight: %d %s", r.StatusCode, body)
	}
	if err := <-s.done; err != nil {
		t.Errorf("drained with %v", err)
	}
}

func TestDrainWithoutPatience(t *testing.T) {
	var e *slowEngine
	s := serve(t, Serving{Grace: 50 * time.Millisecond}, func(o *Options) { e = slow(o) })
	s.dial(predictHead)
	<-e.begun
	s.stop()
	if err := <-s.done; err == nil || !strings.Contains(err.Error(), "in flight") {
		t.Errorf("error %v", err)
	}
	<-e.left
}

func TestCallerWhoLeaves(t *testing.T) {
	var e *slowEngine
	s := serve(t, Serving{}, func(o *Options) { e = slow(o) })
	c := s.dial(predictHead)
	<-e.begun
	_ = c.Close()
	select {
	case <-e.left:
	case <-time.After(10 * time.Second):
		t.Fatal("the engine works for nobody")
	}
	s.stop()
	<-s.done
	if !strings.Contains(s.log.String(), `"status":499`) {
		t.Errorf("log: %s", s.log)
	}
}

func TestServeEndsWithItsListener(t *testing.T) {
	s := newService(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := Serve(t.Context(), l, s.handler, Serving{}); err == nil {
		t.Error("no error")
	}
}

func TestHugeHeaders(t *testing.T) {
	s := serve(t, Serving{}, nil)
	c := s.dial("GET /livez HTTP/1.1\nHost: x\nX-Big: " + strings.Repeat("a", 200<<10) + "\n\n")
	if r, _ := read(t, c); r.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", r.StatusCode)
	}
}

func TestHalfAnAnswerBreaksTheConnection(t *testing.T) {
	s := newService(t, nil)
	v := &visit{ResponseWriter: nopWriter{}, written: true}
	r, _ := http.NewRequestWithContext(context.WithValue(t.Context(), visitKey{}, v), "GET", "/", nil)
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("panic %v", p)
		}
	}()
	s.handler.fail(v, r, io.ErrUnexpectedEOF)
}

type nopWriter struct{}

func (nopWriter) Header() http.Header         { return http.Header{} }
func (nopWriter) Write(p []byte) (int, error) { return len(p), nil }
func (nopWriter) WriteHeader(int)             {}

func TestNewNamesWhatIsMissing(t *testing.T) {
	_, err := New(Options{Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "Options.Engine") || !strings.Contains(err.Error(), "Options.Planner") {
		t.Errorf("%v", err)
	}
}

func TestHandlersAreFunctions(t *testing.T) {
	// No HTTP is needed to call one.
	s := newService(t, nil)
	out, err := predict{engine: s.engine, limits: Limits{Inputs: 1}}.run(t.Context(), predictRequest{Model: "bert", Inputs: inputs{{Text: "a"}}})
	if err != nil || len(out.Results) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}

// A client that keeps its connection is told to come on another, and is answered first.
func TestDrainOfAKeptConnection(t *testing.T) {
	for name, delay := range map[string]time.Duration{"at once": 0, "after a delay": linger + linger/10} {
		t.Run(name, func(t *testing.T) { drainOfAKeptConnection(t, Serving{Delay: delay}) })
	}
}

func drainOfAKeptConnection(t *testing.T, how Serving) {
	t.Helper()
	s := serve(t, how, nil)
	c := s.dial("GET /livez HTTP/1.1\nHost: x\n\n")
	in := bufio.NewReader(c)
	answer := func() *http.Response {
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := answer(); r.StatusCode != 200 || r.Close {
		t.Fatalf("%s, close %v", r.Status, r.Close)
	}
	s.stop()
	<-s.handler.drained.Done()
	began := time.Now()
	if _, err := io.WriteString(c, strings.ReplaceAll(predictHead, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	if time.Since(began) > linger/2 {
		t.Skip("the machine is too busy: the connection may have been closed as idle")
	}
	if r := answer(); r.StatusCode != 200 || !r.Close {
		t.Errorf("%s, close %v", r.Status, r.Close)
	}
	if err := <-s.done; err != nil {
		t.Errorf("drained with %v", err)
	}
}

// A caller whose connection the service has not taken yet has sent its request all the
// same.
func TestDrainOfConnectionsThatWait(t *testing.T) {
	var e *slowEngine
	s := serve(t, Serving{Grace: 20 * time.Second, Connections: 1}, func(o *Options) { e = slow(o) })
	first := s.dial(predictHead)
	<-e.begun
	var waiting []net.Conn
	for range 5 {
		waiting = append(waiting, s.dial(predictHead))
	}
	s.stop()
	<-s.handler.drained.Done()
	close(e.go_)
	for i, c := range append(waiting, first) {
		if r, body := read(t, c); r.StatusCode != 200 || !r.Close {
			t.Errorf("connection %d: %d %s", i, r.StatusCode, body)
		}
	}
	if err := <-s.done; err != nil {
		t.Errorf("drained with %v", err)
	}
}

// Callers that come all the time, each on a connection of its own or on one that is
// kept, are answered or find no one there; nothing is cut off.
func TestDrainUnderLoad(t *testing.T) {
	for name, kept := range map[string]bool{"on new connections": false, "on kept connections": true} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Serving{}, nil)
			var answered, refused atomic.Int64
			var calls sync.WaitGroup
			for range 16 {
				transport := &http.Transport{DisableKeepAlives: !kept}
				t.Cleanup(transport.CloseIdleConnections)
				calls.Go(func() {
					client := http.Client{Transport: transport, Timeout: 20 * time.Second}
					for {
						r, err := client.Post("http://"+s.addr+"/predict", "application/json", strings.NewReader(`{"inputs":"a"}`))
						var dial *net.OpError
						switch {
						case errors.As(err, &dial) && dial.Op == "dial":
							refused.Add(1)
							return
						case err != nil:
							t.Errorf("cut off: %v", err)
							return
						case r.StatusCode != 200:
							t.Errorf("answered %s", r.Status)
						}
						if _, err := io.Copy(io.Discard, r.Body); err != nil {
							t.Errorf("cut off: %v", err)
						}
						_ = r.Body.Close()
						answered.Add(1)
					}
				})
			}
			for answered.Load() < 200 {
				time.Sleep(time.Millisecond)
			}
			s.stop()
			calls.Wait()
			if err := <-s.done; err != nil || refused.Load() != 16 {
				t.Errorf("drained with %v; %d callers found no one", err, refused.Load())
			}
		})
	}
}
