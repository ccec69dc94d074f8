package inference

import (
	"context"
	"fmt"
	"runtime/debug"
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
			defer func() {
				f.mu.Lock()
				delete(f.runs, key)
				f.mu.Unlock()
				close(r.done)
			}()
			if err := caught(func() { r.value, r.err = work() }); err != nil {
				r.err = err
			}
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

// caught calls f. A panic is an error of whoever asked for it: the process has other
// callers.
func caught(f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	f()
	return nil
}
