package queue

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// What never changes about jobs that are over is also kept together, in one record that
// is written anew as they become more: gzipped JSON lines below queue/ended, the newest
// counts. A process that starts reads it in place of some records of every job there is.
// It is a copy, and no truth: what it lacks, or all when it is damaged or gone, is read
// from the jobs' own records, and of the jobs in it those count that are still there.

type endedJob struct {
	ID      string        `json:"id"`
	Tenant  string        `json:"tenant,omitempty"`
	Kind    tuning.Kind   `json:"kind"`
	Created time.Time     `json:"created"`
	Status  tuning.Status `json:"status"`
	Ended   time.Time     `json:"ended"`
	History string        `json:"history,omitempty"`
}

// When a copy is written.
const (
	copyLeast  = 100              // jobs it would lack, and another 1 % of those there are
	copyRipe   = time.Hour        // a job that ended later is not in it: a backup may be older than its end
	copyFailed = 10 * time.Minute // after it could not be written
)

// readCopy takes in the newest copy, once: of the jobs that are there.
func (q *Queue) readCopy(ctx context.Context, there map[string]bool) error {
	q.index.mu.Lock()
	read := q.index.copied != 0
	q.index.mu.Unlock()
	if read {
		return nil
	}
	_, err := q.refreshCopy(ctx, there)
	return err
}

// refreshCopy takes in the newest copy unless that was done, and returns its number; -1
// when there is none yet.
func (q *Queue) refreshCopy(ctx context.Context, there map[string]bool) (int, error) {
	for {
		key, n, err := store.NewestKey(ctx, q.store, endedFolder)
		if err != nil {
			return 0, fmt.Errorf("jobs that are over: %w", err)
		}
		if n == 0 {
			n = -1
		}
		q.index.mu.Lock()
		known := n == q.index.copied
		q.index.mu.Unlock()
		if known {
			return n, nil
		}
		var ended []endedJob
		if n > 0 {
			data, err := q.store.Get(ctx, key)
			if errors.Is(err, store.ErrNotFound) {
				continue // there is a newer one
			}
			if err == nil {
				ended, err = decodeEnded(data)
			}
			switch {
			case err == nil:
			case ctx.Err() != nil:
				return 0, context.Cause(ctx)
			case errors.Is(err, store.ErrCorrupt), errors.Is(err, errEnded):
				q.log.Error("the copy of jobs that are over is damaged; each is looked at", "record", key, "error", err)
			default:
				return 0, fmt.Errorf("jobs that are over: %w", err)
			}
		}
		for _, j := range ended {
			if there[j.ID] && j.Status.Over() {
				q.learn(j)
			}
		}
		q.index.mu.Lock()
		q.index.copied = n
		q.index.mu.Unlock()
		return n, nil
	}
}

// learn takes in a job that is over.
func (q *Queue) learn(j endedJob) {
	q.index.put(entry{id: j.ID, tenant: j.Tenant, kind: j.Kind, created: j.Created})
	news := q.index.over(j.ID, j.Status, j.Ended, j.History)
	q.index.mark(j.ID)
	if news && q.o.Over != nil {
		q.o.Over(tuning.Job{ID: j.ID, Kind: j.Kind, Status: j.Status, CreatedAt: j.Created, FinishedAt: &j.Ended,
			Spec: tuning.Spec{Kind: j.Kind, Tenant: j.Tenant}})
	}
}

// mark notes that a job is in the copy.
func (x *index) mark(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.jobs[id]; e != nil {
		e.copied = true
	}
}

// writeCopy writes a new copy when the one there is lacks many jobs. Only who reconciles
// calls it.
func (q *Queue) writeCopy(ctx context.Context) {
	ripe := time.Now().Add(-copyRipe)
	lacks := func(e *entry) bool { return e.status != "" && !e.copied && e.ended.Before(ripe) }
	if time.Now().Before(q.copyAfter) || !q.index.many(lacks) {
		return
	}
	there := map[string]bool{}
	for _, id := range q.index.ids() {
		there[id] = true
	}
	n, err := q.refreshCopy(ctx, there) // perhaps another process was faster
	if err == nil && q.index.many(lacks) {
		err = q.putCopy(ctx, max(n, 0)+1, q.index.all(func(e *entry) bool { return e.status != "" && e.ended.Before(ripe) }))
	}
	if err != nil && ctx.Err() == nil {
		q.log.Warn("no copy of the jobs that are over is written", "error", err)
		q.copyAfter = time.Now().Add(copyFailed)
	}
}

// many reports that the copy lacks so many jobs that a new one is due.
func (x *index) many(lacks func(*entry) bool) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	for _, e := range x.jobs {
		if lacks(e) {
			n++
		}
	}
	return n >= copyLeast+len(x.jobs)/100
}

// putCopy writes the copy with a number, and deletes those before it.
func (q *Queue) putCopy(ctx context.Context, n int, ended []entry) error {
	data, err := encodeEnded(ended)
	if err != nil {
		return err
	}
	err = q.store.Create(ctx, store.NumberedKey(endedFolder, n), data)
	if errors.Is(err, store.ErrExists) {
		return nil // another process writes one too, which is read the next time
	}
	if err != nil {
		return err
	}
	for _, e := range ended {
		q.index.mark(e.id)
	}
	q.index.mu.Lock()
	q.index.copied = n
	q.index.mu.Unlock()
	keys, err := q.store.List(ctx, endedFolder)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if old, ok := store.NumberIn(key); ok && old < n {
			if err := q.store.Delete(ctx, key); err != nil {
				return err
			}
		}
	}
	return nil
}

var errEnded = errors.New("not a list of jobs")

func encodeEnded(ended []entry) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	enc := json.NewEncoder(z)
	for _, e := range ended {
		if err := enc.Encode(endedJob{e.id, e.tenant, e.kind, e.created, e.status, e.ended, e.history}); err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return b.Bytes(), err
}

func decodeEnded(data []byte) (ended []endedJob, err error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errEnded, err)
	}
	for dec := json.NewDecoder(z); ; {
		var j endedJob
		err := dec.Decode(&j)
		if errors.Is(err, io.EOF) {
			return ended, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errEnded, err)
		}
		if !validID(j.ID) {
			return nil, fmt.Errorf("%w: %q is no id", errEnded, clip(j.ID))
		}
		ended = append(ended, j)
	}
}
