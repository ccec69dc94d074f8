package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// wholeEvery is how many rounds of Reconcile go by between two that look at every
// job that is not over, and not only at those that are not in their queue or whose
// worker fell silent.
const wholeEvery = 40

// Run keeps Redis in agreement with the store until ctx ends: it reconciles at once,
// on a timer, after Redis was out of reach, and when something went wrong. Every
// process that serves the API or runs workers should have one.
func (q *Queue) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait := q.o.Every
		if err := q.Reconcile(ctx); err != nil && ctx.Err() == nil {
			q.log.Warn("jobs and Redis do not agree yet", "error", err)
			wait = min(q.o.Every, time.Second)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-q.kicked:
			pause(ctx, min(q.o.Every, 100*time.Millisecond)) // many may kick at once
		case <-ctx.Done():
		}
		t.Stop()
	}
	return nil
}

// Reconcile makes Redis agree with the store: every job that is to be worked on is
// queued, no other is, and what a process left half done (a cancel without its final
// record, a success that is not registered) is finished. It may run anywhere, any
// number of times at once.
func (q *Queue) Reconcile(ctx context.Context) error {
	if err := q.reconciling.enter(ctx); err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	defer q.reconciling.leave()

	// The queues come first: a job that is submitted now is then at most queued
	// and not yet known, and unknown ones are looked at before they are dropped.
	queued, err := q.redis.queued(ctx)
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	filled, err := q.redis.rdb.Exists(ctx, q.redis.key("epoch")).Result()
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	silent, err := q.redis.silent(ctx)
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	ids, err := q.known(ctx)
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	in := map[string]string{} // job: class of the queue it is in
	for class, jobs := range queued {
		for _, z := range jobs {
			if id, ok := z.Member.(string); ok {
				in[id] = class
			}
		}
	}
	whole := filled == 0 || q.rounds%wholeEvery == 0
	var look []string
	for _, id := range ids {
		_, isIn := in[id]
		e, _ := q.index.get(id)
		if isIn && (e.status != "" || whole || silent[id]) || !isIn && e.status == "" {
			look = append(look, id)
		}
		delete(in, id)
	}
	err = inParallel(look, func(id string) error { return q.repair(ctx, id) })
	for id, class := range in {
		err = errors.Join(err, q.unknown(ctx, id, class))
	}
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	q.rounds++
	q.writeCopy(ctx)
	return q.redis.rdb.Set(ctx, q.redis.key("epoch"), time.Now().UTC().Format(time.RFC3339), 0).Err()
}

// repair does for one job what its records ask for.
func (q *Queue) repair(ctx context.Context, id string) error {
	s, err := q.load(ctx, id)
	if errors.Is(err, tuning.ErrNotFound) {
		return nil // it was deleted
	}
	if errors.Is(err, store.ErrCorrupt) {
		q.log.Error("job is left alone", "job", id, "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case s.status().Over():
		q.noteOver(s)
		return q.redis.dequeue(ctx, s.spec, true)
	case s.registering():
		// The winner may be at it. When it is not, its lease runs out.
		if busy, err := q.redis.leased(ctx, id); err != nil || busy {
			return err
		}
		return q.register(ctx, s)
	case s.cancel:
		_, err := q.cancelled(ctx, s)
		return err
	}
	if q.own != nil && q.rounds == 0 && s.running() {
		// All workers on an embedded Redis are in the one process that holds the
		// store's lock, and it has only begun.
		if err := q.lost(ctx, s); err != nil {
			return err
		}
	}
	if s.open() {
		return q.redis.enqueue(ctx, s.spec)
	}
	q.placed(ctx, s)
	return nil
}

// lost records that the newest attempt's worker is gone.
func (q *Queue) lost(ctx context.Context, s *state) error {
	err := q.create(ctx, numberKey(s.id, keyEnds, s.attempts), endRecord{How: endLost, At: time.Now().UTC()})
	if err != nil && !errors.Is(err, store.ErrExists) {
		return err
	}
	s.ends[s.attempts] = true
	return nil
}

// unknown drops a queue entry that no record stands for.
func (q *Queue) unknown(ctx context.Context, id, class string) error {
	_, err := q.load(ctx, id)
	if !errors.Is(err, tuning.ErrNotFound) {
		return err
	}
	return q.redis.forget(ctx, class, id)
}
