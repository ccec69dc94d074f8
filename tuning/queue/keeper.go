package queue

import (
	"context"
	"errors"
	"time"

	"lorikeet/tuning"
)

// keeper holds an attempt's lease, in a goroutine of its own: a trainer that is silent
// for an hour keeps its job. At each heartbeat it looks into the store, which alone
// says whether the attempt still counts; what Redis says about the lease is a hint.
type keeper struct {
	lease time.Duration
	beat  func(context.Context) (string, error) // "held", "adopted", "empty" or "other"
	look  func(context.Context)                 // acts on what the store says
	quit  func(why string)                      // asks the attempt to stop
	empty func()                                // Redis has lost its data
	news  <-chan string                         // someone asked something of the job: look now
	done  func()
}

func newKeeper(a *attempt) *keeper {
	news, stop := a.q.hub.listen("ask " + a.s.id)
	return &keeper{
		lease: a.q.o.Lease,
		beat: func(ctx context.Context) (string, error) {
			return a.q.redis.beat(ctx, a.s.spec, a.claim.token, a.q.o.Lease)
		},
		look: func(ctx context.Context) {
			if a.settled.Load() {
				return
			}
			s, err := a.q.load(ctx, a.s.id)
			switch {
			case a.settled.Load():
			case errors.Is(err, tuning.ErrNotFound): // decided, and deleted since
				a.cancel(errDecided)
			case err == nil:
				err = a.judge(ctx, s)
			}
			if err != nil && a.ctx.Err() == nil && ctx.Err() == nil {
				a.log.Warn("the job's records cannot be read", "error", err)
			}
		},
		quit:  a.ask,
		empty: a.q.kick,
		news:  news,
		done:  stop,
	}
}

// run keeps the lease until ctx ends.
func (k *keeper) run(ctx context.Context) {
	defer k.done()
	// The time since the lease was surely ours is measured on this machine's
	// monotonic clock, from before the request that renewed it.
	held := time.Now()
	for ctx.Err() == nil {
		sent := time.Now()
		bctx, cancel := context.WithTimeout(ctx, k.lease/4)
		answer, err := k.beat(bctx)
		cancel()
		next := k.lease / 4
		switch {
		case err == nil && answer != "other":
			held = sent
			if answer == "empty" {
				k.empty()
			}
		case time.Since(held) >= k.lease && ctx.Err() == nil:
			// Another may have the job by now. Stopping with a checkpoint does no
			// harm if so, and loses nothing if not.
			k.quit("its lease cannot be renewed")
		default:
			// A claimer that finds the job running gives the lease back at once.
			next = k.lease / 16
		}
		k.look(ctx)
		t := time.NewTimer(next)
		for waiting := true; waiting; {
			select {
			case <-k.news:
				k.look(ctx)
			case <-t.C:
				waiting = false
			case <-ctx.Done():
				waiting = false
			}
		}
		t.Stop()
	}
}
