package queue

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"lorikeet/tuning"
)

// index remembers what never changes about the jobs that this process has seen: when
// each was made, and how those that are over ended. The ids themselves are listed
// anew each time.
type index struct {
	mu     sync.Mutex
	jobs   map[string]*entry
	sorted []*entry // all of them, newest first; nil: to be sorted anew

	gone  map[string]entry // jobs that were dropped, for listings that go on after one
	leave []string         // their ids, the earliest first

	copied int // number of the newest copy that was read or written; see ended.go
}

type entry struct {
	id      string
	tenant  string
	kind    tuning.Kind
	created time.Time

	// Of a job that is over:
	status  tuning.Status // empty until then
	ended   time.Time     // by the clock of whoever wrote its end
	history string        // digest; empty: none
	copied  bool          // it is in a copy
}

func newIndex() *index { return &index{jobs: map[string]*entry{}, gone: map[string]entry{}} }

// mostGone bounds how many jobs are remembered that are gone.
const mostGone = 10_000

func (x *index) add(r specRecord) {
	x.put(entry{id: r.ID, tenant: r.Spec.Tenant, kind: r.Spec.Kind, created: r.CreatedAt})
}

// put adds a job unless it is there.
func (x *index) put(e entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.jobs[e.id] == nil {
		x.jobs[e.id], x.sorted = &e, nil
	}
}

// drop forgets jobs that are gone, but for their places in a listing.
func (x *index) drop(ids ...string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, id := range ids {
		e := x.jobs[id]
		if e == nil {
			continue
		}
		delete(x.jobs, id)
		x.sorted = nil
		if _, known := x.gone[id]; !known {
			x.leave = append(x.leave, id)
		}
		x.gone[id] = *e
	}
	if n := len(x.leave) - mostGone; n > 0 {
		for _, id := range x.leave[:n] {
			delete(x.gone, id)
		}
		x.leave = slices.Clone(x.leave[n:])
	}
}

// place is where a job stands in a listing, or stood before it was deleted.
func (x *index) place(id string) (entry, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.jobs[id]; e != nil {
		return *e, true
	}
	e, ok := x.gone[id]
	return e, ok
}

// over notes that a job is over, and reports whether this is news here.
func (x *index) over(id string, status tuning.Status, ended time.Time, history string) (news bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.jobs[id]
	if e == nil || !status.Over() {
		return false
	}
	news = e.status == ""
	e.status, e.ended, e.history = status, ended, history
	return news
}

func (x *index) get(id string) (entry, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.jobs[id]; e != nil {
		return *e, true
	}
	return entry{}, false
}

// ids of all jobs, in no order.
func (x *index) ids() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	ids := make([]string, 0, len(x.jobs))
	for id := range x.jobs {
		ids = append(ids, id)
	}
	return ids
}

func (x *index) unfinished() (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.jobs {
		if e.status == "" {
			n++
		}
	}
	return n
}

// newer orders jobs, the newest first.
func newer(a, b *entry) int {
	return cmp.Or(b.created.Compare(a.created), cmp.Compare(b.id, a.id))
}

// pick returns up to most jobs that fit, newest first: of all, or of those that come
// after a job, which need not be there any more.
func (x *index) pick(after *entry, most int, fits func(*entry) bool) []entry {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sorted == nil {
		x.sorted = make([]*entry, 0, len(x.jobs))
		for _, e := range x.jobs {
			x.sorted = append(x.sorted, e)
		}
		slices.SortFunc(x.sorted, newer)
	}
	from := 0
	if after != nil {
		i, there := slices.BinarySearchFunc(x.sorted, after, newer)
		if from = i; there {
			from++
		}
	}
	var picked []entry
	for _, e := range x.sorted[from:] {
		if len(picked) == most {
			break
		}
		if fits(e) {
			picked = append(picked, *e)
		}
	}
	return picked
}

// all returns the jobs that fit, newest first.
func (x *index) all(fits func(*entry) bool) []entry { return x.pick(nil, -1, fits) }

// noteOver takes note of a job that is over.
func (q *Queue) noteOver(s *state) {
	j := s.job()
	if !j.Status.Over() {
		return
	}
	if q.index.over(j.ID, j.Status, *j.FinishedAt, s.final.History) && q.o.Over != nil {
		q.o.Over(j)
	}
}
