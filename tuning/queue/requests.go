package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// Cancel decides a job as cancelled. When the job was decided before, it returns
// [tuning.ErrOver] and the job as it is. A worker that has it stops at once, or at
// its next heartbeat.
func (q *Queue) Cancel(ctx context.Context, id string) (tuning.Job, error) {
	s, err := q.load(ctx, id)
	if err != nil {
		return tuning.Job{}, err
	}
	if s.final == nil {
		// The wish is recorded before the decision: whoever meets it alone finishes
		// what this process could not.
		wish := q.create(ctx, jobKey(id, keyCancel), cancelRecord{At: time.Now().UTC()})
		if wish != nil && !errors.Is(wish, store.ErrExists) {
			return tuning.Job{}, fmt.Errorf("job %s: cancel: %w", id, wish)
		}
		won, err := q.cancelled(ctx, s)
		if err != nil {
			return tuning.Job{}, fmt.Errorf("job %s: cancel: %w", id, err)
		}
		// The worker may have met our wish and decided for us.
		if won || wish == nil && s.final.Status == tuning.Cancelled {
			q.tell(ctx, id)
			return q.Get(ctx, id)
		}
	}
	j, err := q.Get(ctx, id)
	if err != nil {
		return j, err
	}
	return j, fmt.Errorf("job %s: %w: %s", id, tuning.ErrOver, j.Status)
}

// cancelled writes the final record of a cancelled job, unless there is one.
func (q *Queue) cancelled(ctx context.Context, s *state) (won bool, err error) {
	f := finalRecord{Status: tuning.Cancelled, Attempt: s.attempts, By: "cancel"}
	j := q.view(ctx, s)
	f.Progress, f.Metrics = j.Progress, j.Metrics
	return q.decide(ctx, s, f)
}

// Pause asks for a job to rest: a running one takes a checkpoint first and is shown
// as running until then. Pausing twice is as good as once.
func (q *Queue) Pause(ctx context.Context, id string) (tuning.Job, error) {
	return q.ask(ctx, id, askPause)
}

// Resume lets a paused job go on, from its checkpoint and in its old place in the
// queue. A job that was never paused is [tuning.ErrState].
func (q *Queue) Resume(ctx context.Context, id string) (tuning.Job, error) {
	return q.ask(ctx, id, askResume)
}

func (q *Queue) ask(ctx context.Context, id, what string) (tuning.Job, error) {
	for {
		s, err := q.load(ctx, id)
		if err != nil {
			return tuning.Job{}, err
		}
		switch {
		case s.final != nil:
			return q.view(ctx, s), fmt.Errorf("job %s: %w: %s", id, tuning.ErrOver, s.status())
		case what == askResume && s.requests == 0:
			return q.view(ctx, s), fmt.Errorf("job %s: %w: it is not paused", id, tuning.ErrState)
		case s.paused == (what == askPause):
			return q.view(ctx, s), nil
		}
		// Requests are numbered, so that of a pause and a resume that race one is
		// the later one for everybody.
		err = q.create(ctx, numberKey(id, keyRequests, s.requests+1), requestRecord{Ask: what, At: time.Now().UTC()})
		if errors.Is(err, store.ErrExists) {
			continue
		}
		if err != nil {
			return tuning.Job{}, fmt.Errorf("job %s: %s: %w", id, what, err)
		}
		s.requests++
		s.paused = what == askPause
		q.placed(ctx, s)
		if !s.running() {
			q.say(ctx, s, statusData{Status: s.status()})
		}
		q.tell(ctx, id)
		return q.Get(ctx, id)
	}
}

// placed makes the queue agree with a job's records. Who takes a job out looks
// again afterwards: a resume meanwhile has found it still in.
func (q *Queue) placed(ctx context.Context, s *state) {
	if s.open() {
		q.offer(ctx, s.spec)
		return
	}
	err := q.redis.hint(ctx, func(ctx context.Context) error { return q.redis.dequeue(ctx, s.spec, s.final != nil) })
	if err != nil {
		q.kick()
		return
	}
	if s.final != nil {
		return
	}
	if again, err := q.load(ctx, s.id); err == nil && again.open() {
		q.offer(ctx, s.spec)
	}
}

// tell lets the worker that has a job look at once, not at its next heartbeat.
func (q *Queue) tell(ctx context.Context, id string) {
	_ = q.redis.hint(ctx, func(ctx context.Context) error { return q.redis.publish(ctx, "ask "+id) })
}
