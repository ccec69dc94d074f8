//go:build unix

package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"lorikeet/tuning/queue/queuetest"
)

// order is a job that is to be submitted.
type order struct {
	at       time.Duration
	n        int
	steps    int
	priority int
	tenant   string
	class    string
	twice    bool // sent twice at once, with one idempotency key
	poison   bool // its training is killed each time
}

// act is harm that is to be done.
type act struct {
	at   time.Duration
	what string
	who  int           // a number from which the victim follows
	long time.Duration // how long it lasts, where that makes sense
}

// share says how often each kind of fault comes, and how long it lasts in leases.
var share = []struct {
	what  string
	count int
	long  float64 // at most
}{
	{"kill", 4, 0},         // SIGKILL of a worker
	{"terminate", 2, 0},    // SIGTERM of a worker
	{"freeze", 4, 2.5},     // SIGSTOP of a worker, then SIGCONT
	{"flush", 3, 0},        // FLUSHALL
	{"restart", 3, 1.5},    // Redis killed with all it holds, away, and back
	{"client pause", 3, 2}, // Redis answers no one
	{"cut", 3, 2.5},        // a process's connections to Redis are closed and refused
	{"silence", 3, 2.5},    // they stay and nothing comes through
	{"slow", 2, 2},         // they have a latency of 300 ms
	{"full", 2, 1},         // nothing can be written to the store
	{"lost", 2, 1.5},       // some writes are done and said to have failed
	{"clock", 3, 0},        // a worker killed and started again with a clock that is wrong, or right again
	{"redis clock", 2, 1},  // the same of Redis, which loses all it holds
	{"flip", 4, 0},         // a bit of a running job's newest checkpoint, then SIGKILL of its worker
	{"cancel", 4, 0},       // twice at once
	{"pause", 5, 1},        // then resume
	{"delete", 3, 0},       // of a job that is over
}

// clocks are what wrong clocks there are: hours ahead or behind, as machines without a
// network have them, and faster or slower than any real one is.
var clocks = []*queuetest.Clock{
	nil, {Ahead: 7 * time.Hour}, {Ahead: -30 * time.Hour}, {Rate: 1.3}, {Ahead: 2 * time.Hour, Rate: 0.8}, {Ahead: -400 * time.Hour, Rate: 1.2},
}

func kinds() []string {
	var names []string
	for _, s := range share {
		names = append(names, s.what)
	}
	return names
}

// plan is all that follows from the seed.
type plan struct {
	orders []order
	acts   []act
}

func newPlan(c config) (plan, error) {
	rnd := rand.New(rand.NewPCG(c.seed, 1)) //nolint:gosec // it must be repeatable
	var p plan
	span := func(most time.Duration) time.Duration {
		return time.Duration(rnd.Int64N(max(int64(most), 1))).Truncate(time.Millisecond)
	}
	for n := range c.jobs {
		o := order{at: span(c.duration * 9 / 10), n: n, steps: 10 + rnd.IntN(70), priority: rnd.IntN(3),
			tenant: []string{"", "a", "b"}[rnd.IntN(3)], twice: rnd.IntN(10) == 0, poison: n%100 == 50}
		if rnd.IntN(4) == 0 {
			o.class = "big"
		}
		p.orders = append(p.orders, o)
	}
	slices.SortFunc(p.orders, func(a, b order) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.n, b.n)) })

	allowed := kinds()
	if c.only != "" {
		allowed = strings.Split(c.only, ",")
		for _, what := range allowed {
			if !slices.Contains(kinds(), what) {
				return p, fmt.Errorf("%q is no kind of fault; there are %s", what, strings.Join(kinds(), ", "))
			}
		}
	}
	var bag []int
	for i, s := range share {
		if slices.Contains(allowed, s.what) {
			bag = append(bag, slices.Repeat([]int{i}, s.count)...)
		}
	}
	for range int(c.pace * c.duration.Seconds()) {
		s := share[bag[rnd.IntN(len(bag))]]
		p.acts = append(p.acts, act{at: span(c.duration), what: s.what, who: rnd.IntN(1 << 20),
			long: span(time.Duration(s.long * float64(c.lease)))})
	}
	slices.SortStableFunc(p.acts, func(a, b act) int { return cmp.Compare(a.at, b.at) })
	return p, nil
}
