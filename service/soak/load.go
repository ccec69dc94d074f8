//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"lorikeet/inference"
	"lorikeet/inference/builtin"
)

// loadOptions are the flags of load.
type loadOptions struct {
	clients  int
	duration time.Duration
	find     time.Duration
	times    float64
	streams  float64
	maxWait  time.Duration
	steps    int
	delay    time.Duration
}

func loadCommand(c *common) *cobra.Command {
	var o loadOptions
	cmd := &cobra.Command{Use: "load", Short: "Ask for twice what the service can do, then stop it in the middle of that", Args: cobra.NoArgs,
		Long: `Starts the service with its two built-in bases and finds out what it can do: clients that each ask again when they are
answered. Then requests come at twice that rate, whatever becomes of them. What is refused must be refused with 429 or 503 and
Retry-After, what is accepted must be answered within a bound, and memory must not grow.

Then a job is tuned, requests come at that rate again, and the service gets SIGTERM in the middle. It must say that it is not
ready before it stops listening, answer everything it has accepted, and end well. Started anew it goes on with the job.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return playLoad(cmd.Context(), c, o) }}
	f := cmd.Flags()
	f.IntVar(&o.clients, "clients", 16, "clients that find out what the service can do")
	f.DurationVar(&o.duration, "duration", time.Minute, "of the load")
	f.DurationVar(&o.find, "find", 10*time.Second, "how long the clients ask")
	f.Float64Var(&o.times, "times", 2, "how many times what it can do is asked for")
	f.Float64Var(&o.streams, "streams", 0.05, "share of requests that ask for a text, streamed")
	f.DurationVar(&o.maxWait, "max-wait", 2*time.Second, "--max-wait of the service")
	f.IntVar(&o.steps, "steps", 400, "steps of the job that is tuned")
	f.DurationVar(&o.delay, "drain-delay", time.Second, "--drain-delay of the service")
	return cmd
}

// load is the result.
type load struct {
	Seed       uint64   `json:"seed"`
	MaxWait    float64  `json:"max_wait_seconds"`
	Capacity   tally    `json:"capacity"`
	Load       tally    `json:"load"`
	Bound      float64  `json:"latency_bound_ms"` // for the 99th percentile of what is accepted
	Memory     memory   `json:"memory"`
	Goroutines [3]int   `json:"goroutines"` // before the load, at most, and when the load is over
	Stop       stopping `json:"stop"`
	Violations []string `json:"violations"`
}

func (r *load) broken() []string { return r.Violations }

func (r *load) print(w io.Writer) {
	fmt.Fprintf(w, "can do: %v\n  latency: %v\n", r.Capacity, r.Capacity.Latency)
	fmt.Fprintf(w, "load: %v\n", r.Load)
	fmt.Fprintf(w, "  latency of what was answered: %v; the bound of p99 is %.0f ms\n", r.Load.Latency, r.Bound)
	fmt.Fprintf(w, "  streams begin after: %v\n  refused after: %v\n", r.Load.First, r.Load.Refusal)
	fmt.Fprintf(w, "  memory: %v\n", r.Memory)
	fmt.Fprintf(w, "  goroutines: %d before, at most %d, %d after the load\n", r.Goroutines[0], r.Goroutines[1], r.Goroutines[2])
	r.Stop.print(w)
}

func (r *load) violation(format string, args ...any) {
	r.Violations = append(r.Violations, fmt.Sprintf(format, args...))
}

// What memory may do under load: the last quarter against the second. The resident set
// of a process moves by some dozens of MiB with the garbage collector and the arenas of
// the allocator; a leak of one request in a hundred would show more in a minute.
const mayGrow = 96 // MiB

// findings is how often a rate is taken for what the service can do: other programs may have kept it
// from more when that was measured.
const findings = 3

// playLoad runs the whole of it.
func playLoad(ctx context.Context, c *common, o loadOptions) error {
	if o.clients < 1 || o.duration < time.Second || o.find < time.Second || o.times <= 0 || o.streams < 0 || o.streams > 1 || o.steps < 10 {
		return errors.New("--clients, --duration, --find, --times, --streams or --steps is out of range")
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	c.say("seed %d; logs are in %s", c.seed, s.dir)
	r := &load{Seed: c.seed, MaxWait: o.maxWait.Seconds(), Violations: []string{}}
	if err := s.load(ctx, o, r); err != nil {
		return errors.Join(err, fmt.Errorf("logs are in %s", s.dir))
	}
	return c.conclude(s, r)
}

// service starts the API with a worker.
func (s *site) service(ctx context.Context, o loadOptions) (*process, error) {
	p, err := s.start("service", "--base", "bert=builtin:tiny-bert", "--base", "t5=builtin:tiny-t5", "--max-wait", o.maxWait.String(), "--drain-delay", o.delay.String(), "--log-level", "warn")
	if err != nil {
		return nil, err
	}
	return p, s.ready(ctx, p)
}

func (s *site) load(ctx context.Context, o loadOptions, r *load) error {
	p, err := s.service(ctx, o)
	if err != nil {
		return err
	}
	names, err := s.adapters(ctx, p)
	if err != nil {
		return err
	}
	draw := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(s.c.seed, n)) }
	warm := attack(ctx, mix(p, draw(1), names, o.streams), newLedger(o.clients), 0, o.clients, o.find/2)
	s.c.say("warm: %v", warm)
	l := newLedger(o.clients)
	r.Capacity = attack(ctx, mix(p, draw(2), names, o.streams), l, 0, o.clients, o.find)
	s.c.say("can do: %v", r.Capacity)
	if r.Capacity.Answered == 0 || r.Capacity.Dropped+r.Capacity.Strange > 0 {
		return fmt.Errorf("the service cannot be measured: %v %q", r.Capacity, l.told)
	}
	before, err := p.usage(ctx)
	if err != nil {
		return err
	}
	rate := max(1, int(math.Ceil(o.times*float64(r.Capacity.Answered)/r.Capacity.Seconds)))
	var seen []sample
	for left := findings; ; rate *= 2 {
		s.c.say("%d requests a second for %v", rate, o.duration)
		l = newLedger(4096)
		watching, over := context.WithCancel(ctx)
		samples := make(chan []sample, 1)
		go func() { samples <- watch(watching, p) }()
		r.Load = attack(ctx, mix(p, draw(3), names, o.streams), l, rate, o.clients, o.duration)
		over()
		seen = <-samples
		r.Memory = growth(before, seen)
		s.c.say("load: %v", r.Load)
		if left--; left == 0 || o.times < 2 || r.Load.Refused+r.Load.Dropped+r.Load.Strange+r.Load.Nobody > 0 {
			break
		}
		s.c.say("all of it was answered: the service can do more than was found out")
	}
	r.judge(o, l)
	r.Goroutines[0] = int(before.Goroutines)
	for _, at := range seen {
		r.Goroutines[1] = max(r.Goroutines[1], int(at.Goroutines))
	}
	if err := r.settled(ctx, p, before); err != nil {
		return err
	}
	return s.stopUnderLoad(ctx, o, r, p, names, rate, draw)
}

// judge says what was wrong under load.
func (r *load) judge(o loadOptions, l *ledger) {
	// A text waits for its turn, then for the batch under way, and for its own.
	r.Bound = milliseconds(o.maxWait) + 2*r.Capacity.Latency.Max + 500
	switch t := r.Load; {
	case t.Dropped+t.Strange+t.Nobody > 0:
		r.violation("under load %v", t)
		r.Violations = append(r.Violations, l.told...)
	case o.times >= 2 && t.Refused == 0:
		r.violation("at %.1f times what it can do the service refused nothing", o.times)
	}
	if r.Load.Latency.P99 > r.Bound {
		r.violation("the 99th percentile of what was accepted is %.0f ms, above %.0f", r.Load.Latency.P99, r.Bound)
	}
	if grown := r.Memory.End - r.Memory.Warm; grown > mayGrow {
		r.violation("memory grew by %.0f MiB under load", grown)
	}
}

// settled waits until the service is as it was before the load.
func (r *load) settled(ctx context.Context, p *process, before usage) error {
	const more = 30 // connections that are kept, and timers
	scrapes.CloseIdleConnections()
	for begin := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		u, err := p.usage(ctx)
		if err != nil {
			return err
		}
		r.Goroutines[2] = int(u.Goroutines)
		if u.Waiting == 0 && u.Goroutines <= before.Goroutines+more {
			return nil
		}
		if time.Since(begin) > 20*time.Second {
			r.violation("20 s after the load %.0f texts wait, and there are %.0f goroutines; before there were %.0f", u.Waiting, u.Goroutines, before.Goroutines)
			return nil
		}
	}
}

// adapters registers some for the built-in encoder.
func (s *site) adapters(ctx context.Context, p *process) ([]string, error) {
	folder, err := builtin.Open("tiny-bert")
	if err != nil {
		return nil, err
	}
	base, err := inference.OpenBase("bert", "builtin:tiny-bert", folder)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	r := rand.New(rand.NewPCG(s.c.seed, 4))
	var names []string
	for i := range 6 {
		f, err := draw(r, base, nil)
		if err != nil {
			return nil, err
		}
		v, err := register(ctx, scrapes, p, fmt.Sprintf("adapter-%d", i), f)
		if err != nil {
			return nil, err
		}
		names = append(names, v.Name)
	}
	return names, nil
}
