package access

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits of one key. Zero is no limit.
type Limits struct {
	Rate       float64 // requests a second, over time; twice as many may come at once
	InFlight   int     // requests being answered at a time
	LongLived  int     // of those, streams and waits; see Use.Stay
	MaxTracked int     // keys remembered at a time; 4096 when zero
}

// Limiter counts what each key does. What it remembers is bounded: a key that has been
// idle long enough to have its whole burst again is the same as one never seen.
type Limiter struct {
	limits Limits
	burst  int

	mu   sync.Mutex
	keys map[string]*usage
}

type usage struct {
	tokens         *rate.Limiter // nil: no rate
	inFlight, long int
}

// NewLimiter makes a limiter.
func NewLimiter(l Limits) *Limiter {
	if l.MaxTracked == 0 {
		l.MaxTracked = 4096
	}
	return &Limiter{limits: l, burst: max(1, int(math.Ceil(2*l.Rate))), keys: map[string]*usage{}}
}

// Exceeded is an ErrRate that knows when to come back.
type Exceeded struct {
	What  string
	After time.Duration
}

func (e *Exceeded) Error() string { return fmt.Sprintf("%v: %s", ErrRate, e.What) }

// Unwrap makes it an ErrRate.
func (e *Exceeded) Unwrap() error { return ErrRate }

// RetryAfter is how long to wait.
func (e *Exceeded) RetryAfter() time.Duration { return e.After }

// Use is a request of a key, until Done.
type Use struct {
	of   *Limiter
	by   *usage
	long bool
	once sync.Once
}

// Done says that the request is over. It may be called again.
func (u *Use) Done() {
	u.once.Do(func() {
		u.of.mu.Lock()
		defer u.of.mu.Unlock()
		u.by.inFlight--
		if u.long {
			u.by.long--
		}
	})
}

// Stay counts the request among those that stay open, before Done.
func (u *Use) Stay() error {
	u.of.mu.Lock()
	defer u.of.mu.Unlock()
	if u.long {
		return nil
	}
	if most := u.of.limits.LongLived; most > 0 && u.by.long >= most {
		return &Exceeded{fmt.Sprintf("%d streams and waits of this key are open; no more are taken until one ends", u.by.long), 5 * time.Second}
	}
	u.long = true
	u.by.long++
	return nil
}

// Begin counts a request of a key, and says in h how many more may come.
func (l *Limiter) Begin(key string, h http.Header) (*Use, error) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	u, err := l.of(key, now)
	if err != nil {
		return nil, err
	}
	if u.tokens != nil {
		ok := u.tokens.AllowN(now, 1)
		left := u.tokens.TokensAt(now)
		seconds := func(tokens float64) time.Duration {
			return time.Duration(tokens / l.limits.Rate * float64(time.Second))
		}
		// The names that clients know, of draft-ietf-httpapi-ratelimit-headers-07.
		h.Set("RateLimit-Limit", strconv.Itoa(l.burst))
		h.Set("RateLimit-Remaining", strconv.Itoa(max(0, int(left))))
		h.Set("RateLimit-Reset", strconv.Itoa(int(math.Ceil(seconds(float64(l.burst)-left).Seconds()))))
		if !ok {
			return nil, &Exceeded{fmt.Sprintf("this key may send %g a second, and %d at once", l.limits.Rate, l.burst), seconds(1 - left)}
		}
	}
	if l.limits.InFlight > 0 && u.inFlight >= l.limits.InFlight {
		return nil, &Exceeded{fmt.Sprintf("%d requests of this key are being answered; no more are taken until one is done", u.inFlight), time.Second}
	}
	u.inFlight++
	return &Use{of: l, by: u}, nil
}

// of finds what a key has used. mu is held.
func (l *Limiter) of(key string, now time.Time) (*usage, error) {
	if u := l.keys[key]; u != nil {
		return u, nil
	}
	if len(l.keys) >= l.limits.MaxTracked {
		l.forget(now)
	}
	if len(l.keys) >= l.limits.MaxTracked {
		return nil, &Exceeded{fmt.Sprintf("%d keys are in use at this moment", len(l.keys)), time.Second}
	}
	u := &usage{}
	if l.limits.Rate > 0 {
		u.tokens = rate.NewLimiter(rate.Limit(l.limits.Rate), l.burst)
	}
	l.keys[key] = u
	return u, nil
}

// forget drops the keys that are idle. mu is held.
func (l *Limiter) forget(now time.Time) {
	for key, u := range l.keys {
		if u.inFlight == 0 && (u.tokens == nil || u.tokens.TokensAt(now) >= float64(l.burst)) {
			delete(l.keys, key)
		}
	}
}
