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
			use, err := l.Begin(key, h)
			if err == nil {
				use.Done()
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
	var all []*Use
	for range 3 {
		use, err := l.Begin("a", h)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, use)
	}
	if _, err := l.Begin("a", h); !errors.Is(err, ErrRate) {
		t.Errorf("a fourth request: %v", err)
	}
	for range 2 { // counts once
		if err := all[0].Stay(); err != nil {
			t.Errorf("a stream: %v", err)
		}
	}
	if err := all[1].Stay(); !errors.Is(err, ErrRate) {
		t.Errorf("a second stream: %v", err)
	}
	all[0].Done()
	all[0].Done() // counts once
	if err := all[1].Stay(); err != nil {
		t.Errorf("after the stream: %v", err)
	}
	if _, err := l.Begin("a", h); err != nil {
		t.Errorf("after the stream: %v", err)
	}
	if _, err := l.Begin("a", h); !errors.Is(err, ErrRate) {
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
		held, err := l.Begin("held", h)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10_000 {
			if i%50 == 0 {
				time.Sleep(2 * time.Second)
			}
			use, err := l.Begin(fmt.Sprint(i), h)
			if err != nil {
				t.Fatal(err)
			}
			use.Done()
		}
		if len(l.keys) > 100 || l.keys["held"] == nil {
			t.Errorf("%d keys are remembered; the one in use: %v", len(l.keys), l.keys["held"])
		}
		held.Done()
		for i := range 200 { // all at once: what is not idle is not forgotten
			_, err = l.Begin(fmt.Sprint("busy", i), h)
		}
		if !errors.Is(err, ErrRate) || len(l.keys) > 100 {
			t.Errorf("%d keys, %v", len(l.keys), err)
		}
	})
}
