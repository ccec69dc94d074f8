package queue

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// An id is the prefix and 100 bits: random, or of the idempotency key's hash, so
// that two processes that are given the same key agree without asking anyone.
const (
	idPrefix = "job_"
	idLength = 20
)

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func newID(tenant, key string) string {
	if key == "" {
		return idPrefix + strings.ToLower(rand.Text()[:idLength])
	}
	text := "lorikeet job\x00" + key
	if tenant != "" { // the keys of two tenants have nothing to do with each other
		text = "lorikeet job of\x00" + tenant + "\x00" + key
	}
	sum := sha256.Sum256([]byte(text))
	return idPrefix + base32Lower.EncodeToString(sum[:])[:idLength]
}

var classPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// Submit accepts a job: when it returns without an error, the job is durable and
// will be run. The spec is taken as valid (see [tuning.Spec]); its inline rows are
// not stored, in holds their digests. With an idempotency key a second submission
// returns the first one's job and replayed, or [tuning.ErrConflict] when it asks for
// something else or that job is deleted. Beyond MaxJobs it is [tuning.ErrFull], and beyond what one tenant may
// have [tuning.ErrQuota].
func (q *Queue) Submit(ctx context.Context, spec tuning.Spec, in Inputs) (job tuning.Job, replayed bool, err error) {
	if err := checkSpec(spec, in); err != nil {
		return tuning.Job{}, false, err
	}
	r := specRecord{ID: newID(spec.Tenant, spec.IdempotencyKey), Spec: withoutRows(spec), Inputs: in, CreatedAt: q.now(), Trace: tuning.TraceOf(ctx)}
	if r.Hash, err = r.hash(); err != nil {
		return tuning.Job{}, false, err
	}
	if spec.IdempotencyKey != "" {
		switch job, err := q.replay(ctx, r); {
		case err == nil:
			return job, true, nil
		case !errors.Is(err, tuning.ErrNotFound):
			return tuning.Job{}, false, err
		}
		// In this order: who deletes a job first writes down that its key is used.
		if err := q.unused(ctx, r.ID); err != nil {
			return tuning.Job{}, false, err
		}
	}
	if q.full(ctx) {
		return tuning.Job{}, false, tuning.ErrFull
	}
	if q.o.JobsPerTenant > 0 {
		// One at a time, so that requests sent at once do not all find the last place free.
		if err := q.admitting.enter(ctx); err != nil {
			return tuning.Job{}, false, err
		}
		defer q.admitting.leave()
		if err := q.quota(ctx, spec.Tenant); err != nil {
			return tuning.Job{}, false, err
		}
	}
	err = q.create(ctx, jobKey(r.ID, keySpec), r)
	if errors.Is(err, store.ErrExists) && spec.IdempotencyKey != "" {
		job, err := q.replay(ctx, r)
		return job, err == nil, err
	}
	if err != nil {
		return tuning.Job{}, false, fmt.Errorf("submit: %w", err)
	}
	q.index.add(r)
	q.offer(ctx, r)
	return q.view(ctx, &state{id: r.ID, spec: r}), false, nil
}

// offer puts a job into its queue. It is a hint: Reconcile does it again.
func (q *Queue) offer(ctx context.Context, r specRecord) {
	err := q.redis.hint(ctx, func(ctx context.Context) error { return q.redis.enqueue(ctx, r) })
	if err != nil {
		q.log.Warn("job is recorded and will be queued when Redis is back", "job", r.ID, "error", err)
		q.kick()
	}
}

// replay returns the job that an equal request made before.
func (q *Queue) replay(ctx context.Context, r specRecord) (tuning.Job, error) {
	s, err := q.load(ctx, r.ID)
	if err != nil {
		return tuning.Job{}, err
	}
	if s.spec.Hash != r.Hash {
		return tuning.Job{}, fmt.Errorf("job %s: %w", r.ID, tuning.ErrConflict)
	}
	return q.view(ctx, s), nil
}

// hash is of what the request asks for.
func (r specRecord) hash() (string, error) {
	data, err := json.Marshal(struct {
		Spec   tuning.Spec
		Inputs Inputs
	}{r.Spec, r.Inputs})
	if err != nil {
		return "", fmt.Errorf("submit: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

func withoutRows(spec tuning.Spec) tuning.Spec {
	bare := func(s *tuning.Source) *tuning.Source {
		if s == nil || s.Rows == nil {
			return s
		}
		c := *s
		c.Rows = nil
		return &c
	}
	spec.Dataset, spec.Validation = bare(spec.Dataset), bare(spec.Validation)
	return spec
}

// checkSpec refuses what would break the queue's own keys.
func checkSpec(spec tuning.Spec, in Inputs) error {
	var errs []error
	if spec.Class != "" && !classPattern.MatchString(spec.Class) {
		errs = append(errs, invalid.Field("class", "must match %s", classPattern))
	}
	if spec.Priority < -maxPriority || spec.Priority > maxPriority {
		errs = append(errs, invalid.Field("priority", "must be between %d and %d", -maxPriority, maxPriority))
	}
	for _, digest := range []string{in.Train, in.Validation} {
		if digest != "" {
			errs = append(errs, store.CheckDigest(digest))
		}
	}
	return errors.Join(errs...)
}

// full counts in Redis, where all processes count together, or else among the jobs
// that this process knows of.
func (q *Queue) full(ctx context.Context) bool {
	n, err := q.redis.depth(ctx)
	if err != nil {
		n = q.index.unfinished()
	}
	return n >= q.o.MaxJobs
}
