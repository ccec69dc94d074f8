package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// Tenant says whose job it is.
func (q *Queue) Tenant(ctx context.Context, id string) (string, error) {
	if e, ok := q.index.get(id); ok {
		return e.tenant, nil
	}
	if !validID(id) {
		return "", q.Missing(id)
	}
	r, err := read[specRecord](ctx, q, jobKey(id, keySpec))
	if errors.Is(err, store.ErrNotFound) {
		return "", q.Missing(id)
	}
	if err != nil {
		return "", fmt.Errorf("job %s: %w", id, err)
	}
	q.index.add(r)
	return r.Spec.Tenant, nil
}

// quotaError is an ErrQuota with a guess at when a place may be free.
type quotaError struct{ most int }

func (e quotaError) Error() string {
	return fmt.Sprintf("%v: this tenant has %d that are queued, running or paused, as many as it may; wait for one, or cancel one", tuning.ErrQuota, e.most)
}

func (quotaError) Unwrap() error { return tuning.ErrQuota }

// RetryAfter is the time in which a short job ends.
func (quotaError) RetryAfter() time.Duration { return 30 * time.Second }

// quota refuses a job of a tenant that has as many as it may. A job that is found to be
// over is remembered as such, so that each is looked at until then and never again.
func (q *Queue) quota(ctx context.Context, tenant string) error {
	if _, err := q.known(ctx); err != nil {
		return fmt.Errorf("count the jobs of a tenant: %w", err)
	}
	n := 0
	for _, e := range q.index.all(func(e *entry) bool { return e.tenant == tenant && e.status == "" }) {
		j, err := q.Get(ctx, e.id)
		switch {
		case errors.Is(err, tuning.ErrNotFound), errors.Is(err, store.ErrCorrupt): // takes nobody's place
		case err != nil:
			return fmt.Errorf("count the jobs of a tenant: %w", err)
		case !j.Status.Over():
			n++
		}
		if n >= q.o.JobsPerTenant {
			return quotaError{q.o.JobsPerTenant}
		}
	}
	return nil
}
