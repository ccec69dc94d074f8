package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// index remembers what never changes about the jobs that this process has seen: when
// each was made, and how those that are over ended. The ids themselves are listed
// anew each time.
type index struct {
	mu   sync.Mutex
	jobs map[string]*entry
}

type entry struct {
	id      string
	tenant  string
	kind    tuning.Kind
	created time.Time
	status  tuning.Status // empty until the job is over
}

func (x *index) add(r specRecord) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.jobs[r.ID] == nil {
		x.jobs[r.ID] = &entry{id: r.ID, tenant: r.Spec.Tenant, kind: r.Spec.Kind, created: r.CreatedAt}
	}
}

// over notes that a job is over, and reports whether this is news here.
func (x *index) over(id string, status tuning.Status) (news bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.jobs[id]
	if e == nil || !status.Over() {
		return false
	}
	news = e.status == ""
	e.status = status
	return news
}

// noteOver takes note of a job that is over.
func (q *Queue) noteOver(j tuning.Job) {
	if q.index.over(j.ID, j.Status) && q.o.Over != nil {
		q.o.Over(j)
	}
}

func (x *index) get(id string) (entry, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.jobs[id]; e != nil {
		return *e, true
	}
	return entry{}, false
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

// newest returns all jobs, newest first.
func (x *index) newest() []entry {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := make([]entry, 0, len(x.jobs))
	for _, e := range x.jobs {
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(b.created.Compare(a.created), cmp.Compare(b.id, a.id))
	})
	return all
}

// known lists the ids of all jobs and makes the index hold each.
func (q *Queue) known(ctx context.Context) ([]string, error) {
	names, err := q.store.Children(ctx, jobsFolder)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(id string) bool { return !validID(id) })
	var unseen []string
	for _, id := range names {
		if _, ok := q.index.get(id); !ok {
			unseen = append(unseen, id)
		}
	}
	err = inParallel(unseen, func(id string) error {
		r, err := read[specRecord](ctx, q, jobKey(id, keySpec))
		switch {
		case err == nil:
			q.index.add(r)
		case errors.Is(err, store.ErrCorrupt):
			q.log.Error("job is left out", "job", id, "error", err)
		case !errors.Is(err, store.ErrNotFound): // about to be written
			return err
		}
		return nil
	})
	return names, err
}

// Filter of a listing.
type Filter struct {
	Status tuning.Status // empty: any
	Limit  int           // jobs a page; 20 when zero, 100 at most
	Tenant *string       // nil: any
	After  string        // id of the last job of the page before; empty: the newest
}

// List returns a page of jobs, newest first, and whether there are more.
func (q *Queue) List(ctx context.Context, f Filter) (jobs []tuning.Job, more bool, err error) {
	or(&f.Limit, 20)
	f.Limit = min(f.Limit, 100)
	if _, err := q.known(ctx); err != nil {
		return nil, false, fmt.Errorf("list jobs: %w", err)
	}
	all := q.index.newest()
	if f.Tenant != nil {
		all = slices.DeleteFunc(all, func(e entry) bool { return e.tenant != *f.Tenant })
	}
	if f.After != "" {
		i := slices.IndexFunc(all, func(e entry) bool { return e.id == f.After })
		if i < 0 {
			return nil, false, invalid.Field("after", "no job %q", clip(f.After))
		}
		all = all[i+1:]
	}
	jobs = []tuning.Job{}
	for _, e := range all {
		if f.Status != "" && e.status != "" && e.status != f.Status {
			continue
		}
		if len(jobs) == f.Limit {
			// One more that fits is enough to know, though it takes a look at it.
			if f.Status == "" || e.status == f.Status {
				return jobs, true, nil
			}
		}
		j, err := q.Get(ctx, e.id)
		if errors.Is(err, tuning.ErrNotFound) {
			continue
		}
		if errors.Is(err, store.ErrCorrupt) {
			q.log.Error("job is left out", "job", e.id, "error", err)
			continue
		}
		if err != nil {
			return nil, false, err
		}
		if f.Status != "" && j.Status != f.Status {
			continue
		}
		if len(jobs) == f.Limit {
			return jobs, true, nil
		}
		jobs = append(jobs, j)
	}
	return jobs, false, nil
}

// inParallel calls f for each item, a few at a time: on an object store each is a
// request. It returns the errors joined.
func inParallel[T any](items []T, f func(T) error) error {
	const width = 16
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	slots := make(chan struct{}, width)
	for _, item := range items {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := f(item); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
