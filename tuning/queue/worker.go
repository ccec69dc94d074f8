package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// WorkerOptions of a worker. Trainer and Dir are needed.
type WorkerOptions struct {
	Trainer tuning.Trainer
	// Prepare may complete a task whose files are there, for example fetch rows
	// that the job only names. Nil: nothing is to be done.
	Prepare func(ctx context.Context, task *tuning.Task) error
	// Class whose jobs this worker takes, before those that ask for no class.
	// Empty: only those that ask for none.
	Class string
	Dir   string        // for scratch files; may be shared with other workers
	Slots int           // jobs at once; 1
	Grace time.Duration // how long an attempt may take to stop with a checkpoint; 30 s
	Jobs  int           // attempts after which Run returns; 0: it goes on
	Idle  time.Duration // Run returns when a slot had nothing to do for so long; 0: it waits
}

// Worker takes jobs and trains them.
type Worker struct {
	q       *Queue
	o       WorkerOptions
	id      string
	host    string
	classes []string
	busy    atomic.Int64
}

// NewWorker makes a worker of a queue. Nothing happens until Run.
func NewWorker(q *Queue, o WorkerOptions) (*Worker, error) {
	if o.Trainer == nil || o.Dir == "" {
		return nil, errors.New("worker: a trainer and a folder are needed")
	}
	if o.Class != "" && !classPattern.MatchString(o.Class) {
		return nil, fmt.Errorf("worker: class %q does not match %s", clip(o.Class), classPattern)
	}
	or(&o.Slots, 1)
	or(&o.Grace, 30*time.Second)
	if o.Jobs > 0 {
		o.Slots = min(o.Slots, o.Jobs)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	w := &Worker{q: q, o: o, host: host, id: strings.ToLower(rand.Text()[:10])}
	if o.Class != "" && o.Class != defaultClass {
		w.classes = append(w.classes, o.Class)
	}
	w.classes = append(w.classes, defaultClass)
	return w, nil
}

// Run takes jobs until ctx ends. Then it asks those it has for a checkpoint, hands
// them back for others to go on with, and returns when no trainer runs any more. With
// Jobs or Idle it also returns when it has made so many attempts, or had nothing to do.
func (w *Worker) Run(ctx context.Context) error {
	dir, release, err := store.Scratch(w.o.Dir)
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	here, leave := context.WithCancel(ctx)
	var greeting, slots sync.WaitGroup
	greeting.Go(func() { w.sayHello(here) })
	for i := range w.o.Slots {
		most := 0 // of Jobs, this slot's share
		if w.o.Jobs > 0 {
			most = (w.o.Jobs + i) / w.o.Slots
		}
		slots.Go(func() { w.slot(ctx, dir, most) })
	}
	slots.Wait()
	leave()
	greeting.Wait()
	return release()
}

// sayHello lets Stats know of this worker until ctx ends.
func (w *Worker) sayHello(ctx context.Context) {
	hello := func(slots int) {
		ws := WorkerStats{ID: w.id, Host: w.host, Class: w.classes[0], Slots: slots, Busy: int(w.busy.Load())}
		_ = w.q.redis.try(ctx, func(ctx context.Context) error { return w.q.redis.hello(ctx, ws, 10*w.q.o.Lease) })
	}
	for ctx.Err() == nil {
		hello(w.o.Slots)
		pause(ctx, w.q.o.Lease/4)
	}
	hello(0)
}

// slot takes one job after the other; most is how many, 0: any number.
func (w *Worker) slot(ctx context.Context, dir string, most int) {
	wake, stop := w.q.hub.listen("wake")
	defer stop()
	failing, made, busy := false, 0, time.Now()
	for ctx.Err() == nil {
		took, ran, err := w.next(ctx, dir)
		if ran {
			made++
			busy = time.Now()
			if made == most {
				return
			}
		}
		if w.o.Idle > 0 && time.Since(busy) >= w.o.Idle {
			return
		}
		if errors.Is(err, errEmpty) {
			if err = w.q.Reconcile(ctx); err == nil {
				continue
			}
		}
		if err != nil && !failing && ctx.Err() == nil {
			w.q.log.Warn("no work can be had", "worker", w.id, "error", err)
		}
		failing = err != nil
		if took && err == nil {
			continue
		}
		// Workers that were started together should not all ask together.
		t := time.NewTimer(w.q.o.Poll*3/4 + mrand.N(w.q.o.Poll/2+1)) //nolint:gosec // no secret
		select {
		case <-wake:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// next claims a job and does what there is to do with it; ran tells that this was an
// attempt.
func (w *Worker) next(ctx context.Context, dir string) (took, ran bool, err error) {
	// A claim whose answer is lost costs the job a lease: it is not cut short by
	// the worker's end.
	cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.q.o.Lease/2)
	defer cancel()
	c, err := w.q.redis.claim(cctx, w.classes, w.id+"/"+strings.ToLower(rand.Text()[:10]), w.q.o.Lease)
	if err != nil || c.id == "" {
		return false, false, err
	}
	if ctx.Err() != nil {
		w.release(ctx, c, 0, false)
		return false, false, nil
	}
	w.busy.Add(1)
	defer w.busy.Add(-1)
	ran, err = w.take(ctx, c, dir)
	return true, ran, err
}

// take decides what a claimed job needs: usually its next attempt.
func (w *Worker) take(ctx context.Context, c claim, dir string) (ran bool, err error) {
	s, err := w.q.load(ctx, c.id)
	if errors.Is(err, tuning.ErrNotFound) {
		w.release(ctx, c, 0, true)
		return false, nil
	}
	if err != nil {
		w.release(ctx, c, w.q.o.Lease, false)
		return false, err
	}
	switch {
	case s.registering():
		if err := w.q.register(ctx, s); err != nil {
			w.release(ctx, c, w.q.o.Lease, false)
			return false, err
		}
	case s.final == nil && s.cancel:
		if _, err := w.q.cancelled(ctx, s); err != nil {
			w.release(ctx, c, w.q.o.Lease, false)
			return false, err
		}
	case s.final == nil && s.running() && c.prior == priorNone:
		// Redis has forgotten the lease, or never heard of it. The worker may well
		// live: it has one lease's time to take the job back.
		w.release(ctx, c, w.q.o.Lease, false)
		return false, nil
	case s.final == nil:
		return w.begin(ctx, c, s, dir)
	}
	w.release(ctx, c, 0, true)
	return false, nil
}

// begin starts the next attempt at a job that no one works on.
func (w *Worker) begin(ctx context.Context, c claim, s *state, dir string) (ran bool, err error) {
	if s.running() {
		if err := w.q.lost(ctx, s); err != nil {
			w.release(ctx, c, w.q.o.Lease, false)
			return false, err
		}
	}
	over, err := w.q.poisoned(ctx, s)
	if err == nil && !over && !s.paused {
		s.attempts++
		err = w.q.create(ctx, numberKey(s.id, keyAttempts, s.attempts), attemptRecord{
			Worker: w.id, Host: w.host, Nonce: c.token, At: time.Now().UTC(),
		})
	}
	switch {
	case errors.Is(err, store.ErrExists):
		// Another worker, whose lease Redis has forgotten, was first.
		w.release(ctx, c, w.q.o.Lease, false)
		return false, nil
	case err != nil:
		w.release(ctx, c, w.q.o.RetryDelay, false)
		return false, fmt.Errorf("job %s: begin attempt: %w", s.id, err)
	case over:
		w.release(ctx, c, 0, true)
		return false, nil
	case s.paused:
		w.rest(ctx, c)
		return false, nil
	}
	w.attempt(c, s, dir).run(ctx)
	return true, nil
}

// rest takes a paused job out of its queue. Who resumes it meanwhile finds it still
// in, so the job is looked at once more.
func (w *Worker) rest(ctx context.Context, c claim) {
	w.release(ctx, c, 0, true)
	if s, err := w.q.load(context.WithoutCancel(ctx), c.id); err == nil && s.open() {
		w.q.offer(context.WithoutCancel(ctx), s.spec)
	}
}

// release gives a claim back. When it cannot, the lease runs out.
func (w *Worker) release(ctx context.Context, c claim, delay time.Duration, drop bool) {
	err := w.q.redis.try(ctx, func(ctx context.Context) error {
		return w.q.redis.release(ctx, c, delay, drop)
	})
	if err != nil {
		w.q.log.Warn("the lease of a job runs out by itself", "job", c.id, "error", err)
	}
}
