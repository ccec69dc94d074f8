//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
	"lorikeet/tuning/queue"
	"lorikeet/tuning/queue/queuetest"
)

// config is what the flags say.
type config struct {
	jobs     int
	seed     uint64
	duration time.Duration
	workers  int
	slots    int
	pace     float64
	lease    time.Duration
	only     string
	dir      string
	out      io.Writer
	real     bool   // see real.go
	backend  string // of real trainings
	program  string // the service; empty: it is built
}

// errViolated: a promise was broken.
var errViolated = errors.New("promises were broken")

// runner is the API of a site and whoever harms it.
type runner struct {
	journal
	c       config
	plan    plan
	redis   *queuetest.Redis
	admin   *redis.Client // past all proxies
	api     *process      // this process
	workers []*process
	skew    error          // why no process has a wrong clock; nil: it can have one
	wg      sync.WaitGroup // of requests under way

	redisMu, storeMu, jobMu sync.Mutex // held while one harms it

	jobs   []*job // accepted; under mu
	deaths int    // workers killed and the like: each may cost an attempt a slot; under mu
}

// journal tells what happens in a run.
type journal struct {
	out   io.Writer
	begin time.Time

	mu         sync.Mutex
	counts     map[string]int // of faults
	violations []string
}

// job is an accepted job and what its user was told.
type job struct {
	order
	id string

	mu        sync.Mutex
	cancelled bool // the user was told so
	over      bool // the user was told that it is too late to cancel
	deleted   bool // the user was told so
	deleting  bool // or was told nothing: it may be
}

// run plays a plan and checks what came of it.
func run(ctx context.Context, c config) (rep report, err error) {
	own := c.dir == ""
	if own {
		if c.dir, err = os.MkdirTemp("", "lorikeet-chaos-"); err != nil {
			return rep, err
		}
	}
	r := &runner{c: c, journal: journal{out: c.out, counts: map[string]int{}}}
	if r.plan, err = newPlan(c); err != nil {
		return rep, err
	}
	r.skew = skewed()
	fmt.Fprintf(c.out, "seed %d: %d jobs, %d faults in %v, %d workers with %d slots; again: go run ./tuning/chaos --seed %d --jobs %d --duration %v --workers %d --slots %d --faults %v --lease %v\n",
		c.seed, len(r.plan.orders), len(r.plan.acts), c.duration, c.workers, c.slots, c.seed, c.jobs, c.duration, c.workers, c.slots, c.pace, c.lease)
	stop, err := r.open(ctx)
	defer stop()
	if err != nil {
		return rep, err
	}
	r.play(ctx)
	r.heal(ctx)
	rep = r.check(ctx)
	stop()
	rep.print(c.out)
	if len(rep.Violations) > 0 {
		return rep, fmt.Errorf("%w; store and logs are in %s", errViolated, c.dir)
	}
	if own {
		err = os.RemoveAll(c.dir)
	}
	return rep, errors.Join(err, ctx.Err())
}

// open starts Redis, the proxies, the API and the workers.
func (r *runner) open(ctx context.Context) (stop func(), err error) {
	var undo []func()
	stop = sync.OnceFunc(func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	})
	for _, name := range []string{"control", "running", "logs", "redis"} {
		if err := os.MkdirAll(filepath.Join(r.c.dir, name), 0o700); err != nil {
			return stop, err
		}
	}
	if r.redis, err = queuetest.NewRedis(filepath.Join(r.c.dir, "redis")); err != nil {
		return stop, err
	}
	if err := r.redis.Start(); err != nil {
		return stop, err
	}
	undo = append(undo, func() { r.redis.Kill() })
	r.admin = redis.NewClient(&redis.Options{Addr: r.redis.Addr(), Protocol: 2})
	undo = append(undo, func() { _ = r.admin.Close() })

	r.api = &process{r: r}
	if r.api.road, err = newWay("api", r.redis.Addr()); err != nil {
		return stop, err
	}
	undo = append(undo, r.api.road.proxy.Stop)
	logs, err := os.Create(filepath.Join(r.c.dir, "logs", "api.log"))
	if err != nil {
		return stop, err
	}
	undo = append(undo, func() { _ = logs.Close() })
	var shut func() error
	if r.api.queue, shut, err = open(ctx, setup{Dir: r.c.dir, Redis: r.api.road.address(), Lease: r.c.lease}, slog.New(slog.NewTextHandler(logs, nil))); err != nil {
		return stop, err
	}
	undo = append(undo, func() { _ = shut() })
	below, done := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { _ = r.api.queue.Run(below) })
	running.Go(func() { collect(below, r.api.queue, r.c.lease, slog.New(slog.NewTextHandler(logs, nil))) })
	undo = append(undo, func() { done(); running.Wait() })

	for n := 1; n <= r.c.workers; n++ {
		w, err := r.hire(n)
		if err != nil {
			return stop, err
		}
		r.workers = append(r.workers, w)
		undo = append(undo, w.dismiss)
	}
	return stop, nil
}

// play submits the jobs and does the harm, each at its time.
func (r *runner) play(ctx context.Context) {
	r.begin = time.Now()
	var all sync.WaitGroup
	all.Go(func() {
		for _, o := range r.plan.orders {
			sleep(ctx, time.Until(r.begin.Add(o.at)))
			all.Go(func() { r.submit(ctx, o) })
		}
	})
	for _, a := range r.plan.acts {
		sleep(ctx, time.Until(r.begin.Add(a.at)))
		if ctx.Err() == nil {
			all.Go(func() { r.harm(ctx, a) })
		}
	}
	all.Wait()
	r.wg.Wait()
}

// unstored are the errors of a store that is being harmed.
func unstored(err error) bool {
	return errors.Is(err, store.ErrNoSpace) || errors.Is(err, store.ErrUnavailable)
}

// spec is what a user asks for.
func (r *runner) spec(o order) tuning.Spec {
	return tuning.Spec{Kind: tuning.LoRA, Model: "base", Name: fmt.Sprintf("name%d", o.n%7), Class: o.class, Tenant: o.tenant, Priority: o.priority,
		IdempotencyKey: fmt.Sprintf("key-%d", o.n), Metadata: map[string]any{"steps": o.steps, "poison": o.poison}}
}

// submit sends a job until it is accepted, as a client does that is told 503 or 507.
func (r *runner) submit(ctx context.Context, o order) {
	spec := r.spec(o)
	unknown := false // an answer was lost
	for ctx.Err() == nil {
		j, replayed, err := r.api.queue.Submit(ctx, spec, queue.Inputs{})
		switch {
		case err == nil && replayed && !unknown:
			r.violation("job %d was refused and is there", o.n)
		case errors.Is(err, store.ErrUnavailable):
			unknown = true
		case err != nil && !unstored(err) && ctx.Err() == nil:
			r.violation("job %d is refused: %v", o.n, err)
			return
		}
		if err != nil {
			sleep(ctx, r.c.lease/10)
			continue
		}
		if o.twice {
			again, replayed, err := r.api.queue.Submit(ctx, spec, queue.Inputs{})
			if err == nil && (!replayed || again.ID != j.ID) {
				r.violation("one key made the jobs %s and %s", j.ID, again.ID)
			}
		}
		r.mu.Lock()
		r.jobs = append(r.jobs, &job{order: o, id: j.ID})
		r.mu.Unlock()
		return
	}
}

// pick chooses among the jobs accepted last, which are likely not over.
func (r *runner) pick(who int) *job {
	r.mu.Lock()
	defer r.mu.Unlock()
	recent := r.jobs[max(0, len(r.jobs)-2*r.c.workers*r.c.slots):]
	for i := range recent {
		if j := recent[(who+i)%len(recent)]; !j.poison {
			return j
		}
	}
	return nil
}

// cancel notes what the user was told.
func (r *runner) cancel(ctx context.Context, j *job) {
	got, err := r.api.queue.Cancel(ctx, j.id)
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case errors.Is(err, tuning.ErrNotFound) && j.deleting:
	case err == nil && got.Status != tuning.Cancelled:
		r.violation("the cancel of %s is answered with %s", j.id, got.Status)
	case err == nil:
		j.cancelled = true
	case errors.Is(err, tuning.ErrOver):
		j.over = got.Status != tuning.Cancelled
	case !unstored(err):
		r.violation("cancel %s: %v", j.id, err)
	}
}

// delete removes a job that is over, if there is one.
func (r *runner) delete(ctx context.Context, who int) error {
	r.mu.Lock()
	jobs := slices.Clone(r.jobs)
	r.mu.Unlock()
	for i := range jobs {
		j := jobs[(who+i)%len(jobs)]
		if got, err := r.api.queue.Get(ctx, j.id); err != nil || !got.Status.Over() {
			continue
		}
		r.note("delete %s", j.id)
		j.mu.Lock()
		j.deleting = true
		j.mu.Unlock()
		err := r.api.queue.Delete(ctx, j.id)
		j.mu.Lock()
		defer j.mu.Unlock()
		j.deleted = err == nil
		if unstored(err) {
			return nil
		}
		return err
	}
	return errNoVictim
}

// goes reports that the job may be deleted.
func (j *job) goes() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.deleting
}

// resume insists until it is heard.
func (r *runner) resume(ctx context.Context, j *job) {
	for {
		_, err := r.api.queue.Resume(ctx, j.id)
		if err == nil || errors.Is(err, tuning.ErrOver) || errors.Is(err, tuning.ErrState) || errors.Is(err, tuning.ErrNotFound) && j.goes() {
			return
		}
		if !unstored(err) {
			r.violation("resume %s: %v", j.id, err)
			return
		}
		sleep(ctx, r.c.lease/10)
	}
}

func (r *journal) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, "%8.3f  %s\n", time.Since(r.begin).Seconds(), fmt.Sprintf(format, args...))
}

func (r *journal) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[what]++
}

func (r *journal) violation(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.note("VIOLATION: %s", text)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, text)
}
