package inference

import (
	"context"
	"errors"
	"fmt"

	"lorikeet/adapters"
)

// variant gives a full fine-tune that is on the device, putting it there first if
// need be, and a function that lets go of it. While a request holds a variant it is
// not evicted.
func (e *Engine) variant(ctx context.Context, v adapters.Version) (*served, func(), error) {
	if s := e.hold(v.Digest); s != nil {
		return s, func() { e.release(s) }, nil
	}
	s, err := e.placing.do(ctx, v.Digest, func() (*served, error) {
		if s := e.onDevice(v.Digest); s != nil {
			return s, nil
		}
		return e.placeVariant(context.WithoutCancel(ctx), v)
	})
	if err != nil {
		return nil, nil, err
	}
	if s := e.hold(v.Digest); s != nil {
		return s, func() { e.release(s) }, nil
	}
	// Evicted again before this request could hold it: others are as busy.
	return nil, nil, fmt.Errorf("%w: more full fine-tunes are in use than the %d that fit on the device; %s was evicted", ErrBusy, e.Variants, s.version.Ref)
}

func (e *Engine) hold(digest string) *served {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.tuned[digest]
	if s != nil {
		s.refs++
		e.turn++
		s.used = e.turn
	}
	return s
}

func (e *Engine) onDevice(digest string) *served {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.tuned[digest]
}

func (e *Engine) release(s *served) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.refs--
	if s.refs == 0 && s.unload && e.tuned[s.version.Digest] == s {
		e.drop(s)
	}
	e.trim()
}

// trim evicts the least recently used variants beyond the limit that nobody holds
// and nobody pinned. mu is held.
func (e *Engine) trim() {
	for len(e.tuned) > e.Variants {
		var oldest *served
		for _, s := range e.tuned {
			if s.refs == 0 && !s.pinned && (oldest == nil || s.used < oldest.used) {
				oldest = s
			}
		}
		if oldest == nil {
			return
		}
		e.drop(oldest)
		e.meters.evict(tierDevice)
	}
}

// drop gives up a variant that nobody holds. mu is held. A batch whose callers have
// left may still run on its weights: the owner of the device frees them after it.
func (e *Engine) drop(s *served) {
	delete(e.tuned, s.version.Digest)
	e.gone = append(e.gone, s)
	select {
	case e.dropped <- struct{}{}:
	default:
	}
}

// sweep frees the variants that were given up. It runs on the owner's goroutine.
func (e *Engine) sweep() {
	e.mu.Lock()
	gone := e.gone
	e.gone = nil
	e.mu.Unlock()
	for _, s := range gone {
		e.queue.forget(s)
		if s.writer != nil {
			s.writer.close()
			e.pen.drop(s.writer)
		}
		if err := errors.Join(free(s.weights), s.base.Close()); err != nil {
			e.Log.Error("variant not freed", "variant", s.version.Ref.String(), "error", err)
		}
	}
}

// placeVariant reads, verifies, uploads and compiles a full fine-tune. Graphs are
// shared with the base where nothing but the weights differs.
func (e *Engine) placeVariant(ctx context.Context, v adapters.Version) (*served, error) {
	if err := e.Registry.Verify(ctx, v); err != nil {
		return nil, err
	}
	b, err := OpenBase(v.String(), "adapter:"+v.String(), e.Registry.Folder(ctx, v))
	if err != nil {
		return nil, err
	}
	if s := e.base(v.Base); s != nil {
		b.Matrices = s.base.Matrices
	}
	s, err := e.place(v.String(), b, 0)
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	s.version = &v
	if err := s.cover(ctx, func(int, int) {}); err != nil {
		return nil, errors.Join(err, free(s.weights), b.Close())
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.turn++
	s.used = e.turn
	s.refs++ // until this request has it, nobody else may evict it
	e.tuned[v.Digest] = s
	e.trim()
	s.refs--
	return s, nil
}
