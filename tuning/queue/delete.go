package queue

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// A job that is over is deleted when someone asks for it, or by Collect when it has been
// over for Options.Keep. Its spec goes first: from then on there is no such job, for any
// process, whatever its other records say and whoever dies halfway. What is left without
// a spec is never looked at and is swept up by a later Collect; so is what a process
// writes that has not heard of it yet, as a worker does that was frozen for a while.
//
// An id is never used again: the registry would take a second job for the first. Those
// of jobs with an idempotency key follow from it, so for each of them there stays a
// record, without content.

// Missing is the error for a job that is not there.
func (q *Queue) Missing(id string) error {
	if q.o.Keep > 0 {
		return fmt.Errorf("job %q: %w; one that is over is kept for %s", clip(id), tuning.ErrNotFound, span(q.o.Keep))
	}
	return fmt.Errorf("job %q: %w", clip(id), tuning.ErrNotFound)
}

// span names a duration in days where it is some.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "a day"
	case d > day && d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	}
	return d.String()
}

// Delete removes a job that is over, with its history and checkpoints. What it trained
// stays. A job that is not over is [tuning.ErrState].
func (q *Queue) Delete(ctx context.Context, id string) error {
	s, err := q.load(ctx, id)
	if err != nil {
		return err
	}
	if now := s.status(); !now.Over() {
		return fmt.Errorf("job %s: %w: it is %s; cancel it first", id, tuning.ErrState, now)
	}
	return q.delete(ctx, s, s.spec.Spec.IdempotencyKey != "")
}

// delete removes a job that is over; with keyed its id may come up again.
func (q *Queue) delete(ctx context.Context, s *state, keyed bool) error {
	if keyed {
		err := q.store.Create(ctx, deletedKey(s.id), nil)
		if err != nil && !errors.Is(err, store.ErrExists) {
			return fmt.Errorf("job %s: delete: %w", s.id, err)
		}
	}
	if err := q.store.Delete(ctx, jobKey(s.id, keySpec)); err != nil {
		return fmt.Errorf("job %s: delete: %w", s.id, err)
	}
	q.index.drop(s.id)
	ctx = context.WithoutCancel(ctx) // it is gone: what follows tidies up
	if err := q.sweep(ctx, s.id, nil); err != nil {
		q.log.Warn("records of a deleted job stay for now", "job", s.id, "error", err)
	}
	_ = q.redis.hint(ctx, func(ctx context.Context) error {
		return errors.Join(q.redis.dequeue(ctx, s.spec, true), q.leave(ctx, s.spec),
			q.redis.rdb.Del(ctx, q.redis.key("events:"+s.id), q.redis.key("live:"+s.id)).Err())
	})
	return nil
}

// sentKey matches the keys that [Queue.SendingKey] makes up, each for one job. Nothing
// brings one up again that is older than sentAgainWithin.
var sentKey = regexp.MustCompile(`^` + sentPrefix + `[A-Z2-7]{26}$`)

// unused fails when the job of an idempotency key, which has this id, is deleted.
func (q *Queue) unused(ctx context.Context, id string) error {
	_, err := q.store.Get(ctx, deletedKey(id))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err == nil, errors.Is(err, store.ErrCorrupt): // that it exists is enough
		return fmt.Errorf("job %s: %w: that job is deleted; use another key", id, tuning.ErrConflict)
	}
	return fmt.Errorf("submit: %w", err)
}

// sweep deletes what there is of a job that has no spec, unless one of its records does
// not pass; nil: each does.
func (q *Queue) sweep(ctx context.Context, id string, passes func(key string) (bool, error)) error {
	keys, err := q.store.List(ctx, jobsFolder+id+"/")
	if err != nil || len(keys) == 0 {
		return err
	}
	// Looked for after the others: it is there before any of them.
	_, err = q.store.Get(ctx, jobKey(id, keySpec))
	if !errors.Is(err, store.ErrNotFound) {
		if errors.Is(err, store.ErrCorrupt) {
			return nil
		}
		return err
	}
	if passes != nil {
		for _, key := range keys {
			if ok, err := passes(key); err != nil || !ok {
				return err
			}
		}
	}
	for _, key := range keys {
		if err := q.store.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// sweepAll sweeps up what was left of deleted jobs longer than grace ago: younger
// records may be of a store that is being copied here.
func (q *Queue) sweepAll(ctx context.Context, now time.Time, grace time.Duration) error {
	keys, err := q.store.List(ctx, jobsFolder)
	if err != nil {
		return err
	}
	whole := map[string]bool{}
	for _, key := range keys {
		id, name, _ := strings.Cut(strings.TrimPrefix(key, jobsFolder), "/")
		if validID(id) {
			whole[id] = whole[id] || name == keySpec
		}
	}
	var rest []string
	for id, is := range whole {
		if !is {
			rest = append(rest, id)
		}
	}
	return inParallel(rest, func(id string) error {
		return q.sweep(ctx, id, func(key string) (bool, error) {
			at, err := q.store.Created(ctx, key)
			if errors.Is(err, store.ErrNotFound) {
				return true, nil
			}
			return now.Sub(at) > grace, err
		})
	})
}

// deleteOld deletes the jobs that have been over for longer than Options.Keep at a time
// by the store's clock.
func (q *Queue) deleteOld(ctx context.Context, now time.Time) (deleted int, err error) {
	if q.o.Keep <= 0 {
		return 0, nil
	}
	old := q.index.all(func(e *entry) bool { return e.status != "" && now.Sub(e.ended) > q.o.Keep })
	slices.Reverse(old)
	done := make(chan struct{}, len(old))
	err = inParallel(old, func(e entry) error {
		s, err := q.load(ctx, e.id)
		if errors.Is(err, tuning.ErrNotFound) {
			return nil // by another process
		}
		if errors.Is(err, store.ErrCorrupt) {
			q.log.Error("job is not deleted", "job", e.id, "error", err)
			return nil
		}
		if err != nil || !s.status().Over() {
			return err
		}
		// The end's own time is by the clock of who wrote it, which may have been wrong.
		at, err := q.store.Created(ctx, jobKey(e.id, s.lastRecord()))
		if errors.Is(err, store.ErrNotFound) || err == nil && now.Sub(at) <= q.o.Keep {
			return nil
		}
		if err == nil {
			key := s.spec.Spec.IdempotencyKey
			err = q.delete(ctx, s, key != "" && !(q.o.Keep > 2*sentAgainWithin && sentKey.MatchString(key)))
		}
		if err == nil {
			done <- struct{}{}
		}
		return err
	})
	return len(done), err
}

// lastRecord is the one that made a job be over.
func (s *state) lastRecord() string {
	if s.registered != nil {
		return keyRegistered
	}
	return keyFinal
}
