package inference

import (
	"context"
	"sync"
	"time"
)

// hostCache keeps prepared adapters in memory, the least recently used going first
// when they take more than the limit. What a request in flight uses stays alive
// through its own pointer.
type hostCache struct {
	limit   int64
	reading flight[*Prepared]
	meters  *meters

	mu    sync.Mutex
	held  map[string]*cached // by base and digest
	bytes int64
	turn  int64
}

type cached struct {
	adapter *Prepared
	used    int64 // the turn it was last asked for
}

func newHostCache(limit int64) *hostCache {
	return &hostCache{limit: limit, held: map[string]*cached{}}
}

// get gives the adapter with this digest, reading it with load if it is not held; of
// callers at the same time one reads and all wait for it.
func (h *hostCache) get(ctx context.Context, digest string, load func() (*Prepared, error)) (*Prepared, error) {
	a := h.find(digest)
	h.meters.looked(tierHost, a != nil)
	if a != nil {
		return a, nil
	}
	return h.reading.do(ctx, digest, func() (*Prepared, error) {
		if a := h.find(digest); a != nil {
			return a, nil
		}
		start := time.Now()
		a, err := load()
		if err == nil {
			h.meters.loaded(tierDisk, start)
			h.add(digest, a)
		}
		return a, err
	})
}

func (h *hostCache) find(digest string) *Prepared {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.held[digest]
	if c == nil {
		return nil
	}
	h.turn++
	c.used = h.turn
	return c.adapter
}

func (h *hostCache) add(digest string, a *Prepared) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turn++
	h.held[digest] = &cached{a, h.turn}
	h.bytes += a.Bytes
	for h.bytes > h.limit && len(h.held) > 1 {
		oldest := ""
		for d, c := range h.held {
			if oldest == "" || c.used < h.held[oldest].used {
				oldest = d
			}
		}
		h.remove(oldest)
		h.meters.evict(tierHost)
	}
}

// remove forgets an adapter. mu is held.
func (h *hostCache) remove(digest string) {
	if c := h.held[digest]; c != nil {
		h.bytes -= c.adapter.Bytes
		delete(h.held, digest)
	}
}

// drop forgets an adapter.
func (h *hostCache) drop(digest string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remove(digest)
}

// retain forgets all adapters but those with these digests.
func (h *hostCache) retain(digests map[string]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, c := range h.held {
		if !digests[c.adapter.Ref.Digest] {
			h.remove(key)
		}
	}
}

// has reports whether the adapter is in memory.
func (h *hostCache) has(digest string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held[digest] != nil
}
