package queue

import (
	"context"
	"errors"
	"time"

	"lorikeet/tuning"
)

const (
	followPage = 512             // events read from Redis at once
	followIdle = 5 * time.Second // news may be lost
)

// Follow delivers the events of a job that come after the event id after: those
// there are, then each as it happens. The channel closes when the job is over, after
// the event that says so, or when ctx ends, which the caller must see to.
func (q *Queue) Follow(ctx context.Context, id, after string) (<-chan tuning.Event, error) {
	from, err := parseAfter(after)
	if err != nil {
		return nil, err
	}
	if _, err := q.load(ctx, id); err != nil {
		return nil, err
	}
	f := &follower{q: q, id: id, last: from, out: make(chan tuning.Event, 64)}
	go f.run(ctx)
	return f.out, nil
}

type follower struct {
	q    *Queue
	id   string
	last eventID
	out  chan tuning.Event
}

func (f *follower) run(ctx context.Context) {
	defer close(f.out)
	news, stop := f.q.hub.listen("job " + f.id)
	defer stop()
	idle := time.NewTicker(followIdle)
	defer idle.Stop()
	whole := true
	for {
		events, err := f.read(ctx, whole)
		if errors.Is(err, tuning.ErrNotFound) {
			return // it was over, and is deleted
		}
		if err != nil {
			f.q.log.Warn("events cannot be read", "job", f.id, "error", err)
		}
		for _, e := range events {
			select {
			case f.out <- e.Event:
				f.last = e.id
			case <-ctx.Done():
				return
			}
			if e.id == overID {
				return
			}
		}
		if len(events) == followPage && !whole {
			continue
		}
		select {
		case <-news:
			whole = false
		case <-idle.C:
			whole = true
		case <-ctx.Done():
			return
		}
	}
}

// read returns what comes after f.last. Redis alone is asked while it is sure to have
// it: when its oldest event is not newer than ours. Otherwise its stream was cut or
// lost in between, and what is missing is in the store.
func (f *follower) read(ctx context.Context, whole bool) ([]logged, error) {
	if !whole {
		events, oldest, err := f.q.fresh(ctx, f.id, f.last, followPage)
		if err == nil && oldest != (eventID{}) && !f.last.less(oldest) {
			return events, nil
		}
	}
	s, err := f.q.load(ctx, f.id)
	if err != nil {
		return nil, err
	}
	return f.q.history(ctx, s, f.last)
}
