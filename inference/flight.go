package inference

import (
	"context"
	"sync"
)

// flight lets one of several callers do a piece of work and gives all of them the
// result. The work outlives a caller who leaves.
type flight[V any] struct {
	mu   sync.Mutex
	runs map[string]*run[V]
}

type run[V any] struct {
	done  chan struct{}
	value V
	err   error
}

func (f *flight[V]) do(ctx context.Context, key string, work func() (V, error)) (V, error) {
	f.mu.Lock()
	r, ok := f.runs[key]
	if !ok {
		r = &run[V]{done: make(chan struct{})}
		if f.runs == nil {
			f.runs = map[string]*run[V]{}
		}
		f.runs[key] = r
		go func() {
			r.value, r.err = work()
			f.mu.Lock()
			delete(f.runs, key)
			f.mu.Unlock()
			close(r.done)
		}()
	}
	f.mu.Unlock()
	select {
	case <-r.done:
		return r.value, r.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}
