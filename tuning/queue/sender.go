package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// sender forwards an attempt's events to Redis in its own goroutine and keeps them
// in the store.
type sender struct {
	work  chan struct{} // there is something to send
	quit  chan struct{}
	ended chan struct{} // nil until start
	once  sync.Once

	prev string // id of the newest event known to be in Redis; see append.lua

	saving gate
	pieces int // saved by this attempt, guarded by saving
}

const (
	sendBatch = 256                    // events in one call
	sendPause = 50 * time.Millisecond  // gathers events of fast steps into one call
	sendRetry = 500 * time.Millisecond // after a call that failed
	saveAfter = 1000                   // events that may be in Redis only
	sendLast  = 2 * time.Second        // for what is left at the end
)

func (s *sender) init() {
	s.work = make(chan struct{}, 1)
	s.quit = make(chan struct{})
	s.saving = make(gate, 1)
}

func (s *sender) wake() {
	select {
	case s.work <- struct{}{}:
	default:
	}
}

func (s *sender) start(r *reporter) {
	s.ended = make(chan struct{})
	s.wake()
	go r.sendAll(context.WithoutCancel(r.a.ctx))
}

// close sends and saves what is left and takes no more.
func (r *reporter) close(ctx context.Context) {
	r.mu.Lock()
	r.closed = true
	started := r.ended != nil
	r.mu.Unlock()
	r.once.Do(func() {
		close(r.quit)
		if !started {
			return
		}
		<-r.ended
		for begin := time.Now(); r.behind() && time.Since(begin) < sendLast && r.send(ctx) == nil; {
		}
		if err := r.saveLast(ctx); err != nil {
			r.a.log.Warn("the newest events are not in the store", "error", err)
		}
	})
}

// saveLast saves, and tries again for as long as sending may take: a store that is full
// for a moment is no reason for a history without its end.
func (r *reporter) saveLast(ctx context.Context) error {
	for begin := time.Now(); ; {
		err := r.save(ctx)
		if err == nil || time.Since(begin) >= sendLast {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(saveAgain):
		}
	}
}

// saveAgain is the pause between two tries.
const saveAgain = 100 * time.Millisecond

func (r *reporter) sendAll(ctx context.Context) {
	defer close(r.ended)
	for {
		select {
		case <-r.work:
		case <-r.quit:
			return
		}
		var err error
		for r.behind() && err == nil {
			select {
			case <-r.quit:
				return
			default:
			}
			err = r.send(ctx)
		}
		if r.many() {
			if err := r.save(ctx); err != nil {
				r.a.log.Warn("events are not in the store yet", "error", err)
			}
		}
		wait := time.NewTimer(sendPause)
		if err != nil {
			wait.Reset(sendRetry)
			r.wake()
		}
		select {
		case <-wait.C:
		case <-r.quit:
			wait.Stop()
			return
		}
	}
}

func (r *reporter) behind() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.unsent) > 0 || r.changed
}

func (r *reporter) many() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.unsaved) >= saveAfter
}

// send makes one call to Redis.
func (r *reporter) send(ctx context.Context) error {
	r.mu.Lock()
	if len(r.unsent) > streamLength {
		// Redis was away for long. What it missed is read from the store.
		r.mu.Unlock()
		return r.restart(ctx)
	}
	batch := r.unsent[:min(len(r.unsent), sendBatch)]
	text, err := json.Marshal(r.live)
	r.changed = false
	r.mu.Unlock()
	if err != nil {
		return err
	}

	var answer string
	err = r.a.q.redis.try(ctx, func(ctx context.Context) (err error) {
		answer, err = r.a.q.redis.appendEvents(ctx, r.a.s.id, r.a.claim.token, r.prev, string(text), streamKeep, batch)
		return err
	})
	if err == nil && answer == "lost" {
		return r.restart(ctx)
	}
	if err == nil && answer != "ok" {
		err = fmt.Errorf("events: answer %q", answer)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.changed = true
		return err
	}
	r.unsent = r.unsent[len(batch):]
	if len(batch) > 0 {
		r.prev = batch[len(batch)-1].ID
	}
	return nil
}

// restart begins the stream anew, after what was in it is safe in the store: readers
// see that its oldest event is newer than theirs and look there.
func (r *reporter) restart(ctx context.Context) error {
	if err := r.save(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.unsent); n > sendBatch {
		r.unsent = r.unsent[n-sendBatch:]
	}
	r.prev, r.changed = "reset", true
	return nil
}

// save writes the events that are not in the store as one more piece of the job's
// history.
func (r *reporter) save(ctx context.Context) error {
	if err := r.saving.enter(ctx); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	defer r.saving.leave()
	r.mu.Lock()
	events := r.unsaved
	r.mu.Unlock()
	if len(events) == 0 {
		return nil
	}
	data, err := encodeEvents(events)
	if err != nil {
		return err
	}
	// A piece has a key of its own even if an earlier write of it went through and
	// was not acknowledged: events are told apart by their ids.
	r.pieces++
	if err := r.a.q.store.Create(ctx, historyKey(r.a.s.id, events[0].id, r.a.n, r.pieces), data); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unsaved = r.unsaved[len(events):]
	return nil
}
