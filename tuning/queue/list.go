package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// known lists the ids of all jobs and makes the index hold each, and no other.
func (q *Queue) known(ctx context.Context) ([]string, error) {
	before := q.index.ids() // what is submitted from now on may not be listed yet
	names, err := q.store.Children(ctx, jobsFolder)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(id string) bool { return !validID(id) })
	there := make(map[string]bool, len(names))
	for _, id := range names {
		there[id] = true
	}
	q.index.drop(slices.DeleteFunc(before, func(id string) bool { return there[id] })...)
	if err := q.readCopy(ctx, there); err != nil {
		return nil, err
	}
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
		case !errors.Is(err, store.ErrNotFound): // it is being deleted
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
	After  string        // id of the last job of the page before, which may be deleted since; empty: the newest
}

// fits reports that a job may be in the listing: what is not over has to be looked at.
func (f Filter) fits(e *entry) bool {
	return (f.Tenant == nil || e.tenant == *f.Tenant) && (f.Status == "" || e.status == "" || e.status == f.Status)
}

// List returns a page of jobs, newest first, and whether there are more.
func (q *Queue) List(ctx context.Context, f Filter) (jobs []tuning.Job, more bool, err error) {
	or(&f.Limit, 20)
	f.Limit = min(f.Limit, 100)
	if _, err := q.known(ctx); err != nil {
		return nil, false, fmt.Errorf("list jobs: %w", err)
	}
	var after *entry
	if f.After != "" {
		e, ok := q.place(ctx, f.After)
		if !ok || f.Tenant != nil && e.tenant != *f.Tenant {
			return nil, false, invalid.Field("after", "no job %q", clip(f.After))
		}
		after = &e
	}
	jobs = []tuning.Job{}
	for {
		// One more than is wanted, to know whether there are more.
		some := q.index.pick(after, f.Limit+1-len(jobs), f.fits)
		if len(some) == 0 {
			return jobs, false, nil
		}
		after = &some[len(some)-1]
		found, err := q.look(ctx, some)
		if err != nil {
			return nil, false, err
		}
		for _, j := range found {
			if j == nil || f.Status != "" && j.Status != f.Status {
				continue
			}
			if len(jobs) == f.Limit {
				return jobs, true, nil
			}
			jobs = append(jobs, *j)
		}
	}
}

// place is where a job stands in a listing, or stood before it was deleted: ids do not
// tell. Who deletes a job leaves its place with Redis for a while, for processes that have
// never seen it; that may be lost, as all hints may.
func (q *Queue) place(ctx context.Context, id string) (entry, bool) {
	e, ok := q.index.place(id)
	if ok || !validID(id) {
		return e, ok
	}
	var left place
	err := q.redis.hint(ctx, func(ctx context.Context) error {
		text, err := q.redis.rdb.Get(ctx, q.redis.key(goneKey+id)).Bytes()
		if err != nil {
			return err
		}
		return json.Unmarshal(text, &left)
	})
	return entry{id: id, tenant: left.Tenant, created: left.Created}, err == nil
}

// place is what Redis is told of a job that is deleted.
type place struct {
	Tenant  string    `json:"tenant,omitempty"`
	Created time.Time `json:"created"`
}

const (
	goneKey = "gone:"
	goneFor = time.Hour // longer than anyone takes from one page to the next
)

// leave tells Redis where a job stood that is deleted.
func (q *Queue) leave(ctx context.Context, r specRecord) error {
	text, err := json.Marshal(place{r.Spec.Tenant, r.CreatedAt})
	if err != nil {
		return err
	}
	return q.redis.rdb.Set(ctx, q.redis.key(goneKey+r.ID), text, goneFor).Err()
}

// look reads jobs; nil stands for one that is gone or damaged.
func (q *Queue) look(ctx context.Context, some []entry) ([]*tuning.Job, error) {
	jobs := make([]*tuning.Job, len(some))
	at := make([]int, len(some))
	for i := range at {
		at[i] = i
	}
	return jobs, inParallel(at, func(i int) error {
		j, err := q.Get(ctx, some[i].id)
		switch {
		case err == nil:
			jobs[i] = &j
		case errors.Is(err, store.ErrCorrupt):
			q.log.Error("job is left out", "job", some[i].id, "error", err)
		case !errors.Is(err, tuning.ErrNotFound):
			return err
		}
		return nil
	})
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
