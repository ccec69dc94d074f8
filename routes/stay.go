package routes

import (
	"context"
	"errors"
	"sync"
	"time"

	"lorikeet/routes/access"
)

// stay is for a request that is going to stay open, a stream or a wait: it counts among
// those of its key, and the context that it gives ends when the key opens nothing any
// more, within [access.Fresh] of that. leave ends the watch.
func stay(ctx context.Context) (staying context.Context, leave func(), err error) {
	v := visitIn(ctx)
	if v.use == nil { // no key was needed
		return ctx, func() {}, nil
	}
	if err := v.use.Stay(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(access.Fresh)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := v.valid(ctx); errors.Is(err, access.ErrBadKey) {
				cancel(err)
				return
			}
		}
	})
	return ctx, func() { cancel(nil); watch.Wait() }, nil
}

// endedBy is err, or why we ended what it broke off: only what is left was the caller's
// doing.
func endedBy(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(err, context.Canceled) && (errors.Is(cause, errDraining) || errors.Is(cause, access.ErrBadKey)) {
		return cause
	}
	return err
}
