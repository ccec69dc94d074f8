package routes

import "sync"

// ranking keeps the number of different label values down: the busiest names are
// themselves, all others are "other". A name displaces the least busy one when it
// is busier by half, so that two rivals do not take turns.
type ranking struct {
	dropped func(name string) // called, with the lock held, for a name that loses its label

	mu    sync.Mutex
	most  int
	count map[string]uint64
	top   map[string]bool
}

// maxCounted bounds the memory for names outside the top. When it is reached the
// counts outside start again.
const maxCounted = 10_000

func newRanking(most int) *ranking {
	return &ranking{most: most, count: map[string]uint64{}, top: map[string]bool{}}
}

// label counts one use of name and returns the label to use for it.
func (r *ranking) label(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count[name] == 0 && len(r.count) >= maxCounted {
		for n := range r.count {
			if !r.top[n] {
				delete(r.count, n)
			}
		}
	}
	r.count[name]++
	if r.top[name] {
		return name
	}
	if len(r.top) < r.most {
		r.top[name] = true
		return name
	}
	least := ""
	for n := range r.top {
		if least == "" || r.count[n] < r.count[least] {
			least = n
		}
	}
	if r.count[name] <= r.count[least]+r.count[least]/2 {
		return "other"
	}
	delete(r.top, least)
	r.top[name] = true
	if r.dropped != nil {
		r.dropped(least)
	}
	return name
}

// has reports whether name is its own label. It does not count.
func (r *ranking) has(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.top[name]
}
