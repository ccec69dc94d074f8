package access

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheRateOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(Limits{Rate: 5})
		ask := func(key string) (http.Header, error) {
			h := http.Header{}
			done, err := l.Begin(key, false, h)
			if err == nil {
				done()
			}
			return h, err
		}
		for i := range 10 {
			if h, err := ask("a"); err != nil || h.Get("RateLimit-Limit") != "10" || h.Get("RateLimit-Remaining") != fmt.Sprint(9-i) {
				t.Fatalf("request %d: %v, %v", i, h, err)
			}
		}
		h, err := ask("a")
		var over *Exceeded
		if !errors.As(err, &over) || !errors.Is(err, ErrRate) || over.RetryAfter() != 200*time.Millisecond || h.Get("RateLimit-Reset") != "2" {
			t.Fatalf("the eleventh: %v, %v", h, err)
		}
		if _, err := ask("b"); err != nil {
			t.Errorf("another key: %v", err)
		}
		time.Sleep(over.RetryAfter())
		if _, err := ask("a"); err != nil {
			t.Errorf("when it was told to come back: %v", err)
		}
		if _, err := ask("a"); err == nil {
			t.Error("one token is two requests")
		}
	})
}

func TestRequestsInFlight(t *testing.T) {
	l := NewLimiter(Limits{InFlight: 3, LongLived: 1})
	h := http.Header{}
	stream, err := l.Begin("a", true, h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Begin("a", true, h); !errors.Is(err, ErrRate) {
		t.Errorf("a second stream: %v", err)
	}
	for range 2 {
		if _, err := l.Begin("a", false, h); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Begin("a", false, h); !errors.Is(err, ErrRate) {
		t.Errorf("a fourth request: %v", err)
	}
	stream()
	stream() // counts once
	if _, err := l.Begin("a", true, h); err != nil {
		t.Errorf("after the stream: %v", err)
	}
	if _, err := l.Begin("a", false, h); !errors.Is(err, ErrRate) {
		t.Errorf("done twice made room for two: %v", err)
	}
	if len(h) != 0 {
		t.Errorf("no rate, but %v", h)
	}
}

func TestTheLimiterForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(Limits{Rate: 1, MaxTracked: 100})
		h := http.Header{}
		held, err := l.Begin("held", false, h)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10_000 {
			if i%50 == 0 {
				time.Sleep(2 * time.Second)
			}
			done, err := l.Begin(fmt.Sprint(i), false, h)
			if err != nil {
				t.Fatal(err)
			}
			done()
		}
		if len(l.keys) > 100 || l.keys["held"] == nil {
			t.Errorf("%d keys are remembered; the one in use: %v", len(l.keys), l.keys["held"])
		}
		held()
		for i := range 200 { // all at once: what is not idle is not forgotten
			_, err = l.Begin(fmt.Sprint("busy", i), false, h)
		}
		if !errors.Is(err, ErrRate) || len(l.keys) > 100 {
			t.Errorf("%d keys, %v", len(l.keys), err)
		}
	})
}
