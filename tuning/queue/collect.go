package queue

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// Collected says what Collect removed.
type Collected struct {
	Blobs int
	Bytes int64
	Jobs  int
}

// Collect deletes blobs that nothing refers to and that were last put longer than
// grace ago. Jobs refer to their inputs and checkpoints until they are over, to what
// they trained until it is registered, and to their history; keep says whether
// anything else (a dataset, an adapter) refers to a digest. Grace must be longer
// than it takes from putting a blob to writing the record that names it: a day. Then it
// deletes the jobs that have been over for [Options].Keep; their history goes the next
// time.
func (q *Queue) Collect(ctx context.Context, keep func(digest string) bool, grace time.Duration) (Collected, error) {
	var c Collected
	if err := q.forgetSendings(ctx); err != nil {
		return c, fmt.Errorf("collect: %w", err)
	}
	ids, err := q.known(ctx)
	if err != nil {
		return c, fmt.Errorf("collect: %w", err)
	}
	used, err := q.referenced(ctx, ids)
	if err != nil {
		return c, fmt.Errorf("collect: %w", err)
	}
	now, err := q.storeTime(ctx)
	if err != nil {
		return c, fmt.Errorf("collect: %w", err)
	}
	for b, err := range q.store.Blobs(ctx) {
		if err != nil {
			return c, fmt.Errorf("collect: %w", err)
		}
		if used[b.Digest] || b.Digest == clockDigest || now.Sub(b.ModTime) < grace || keep(b.Digest) {
			continue
		}
		// Putting a blob that is there renews it: look again, as late as possible.
		again, err := q.store.StatBlob(ctx, b.Digest)
		if errors.Is(err, store.ErrNotFound) || err == nil && now.Sub(again.ModTime) < grace {
			continue
		}
		if err == nil {
			err = q.store.DeleteBlob(ctx, b.Digest)
		}
		if err != nil {
			return c, fmt.Errorf("collect: %w", err)
		}
		c.Blobs++
		c.Bytes += b.Size
	}
	// Last, since it may need room.
	if c.Jobs, err = q.deleteOld(ctx, now); err == nil {
		err = q.sweepAll(ctx, now, grace)
	}
	if err != nil {
		return c, fmt.Errorf("delete old jobs: %w", err)
	}
	return c, nil
}

// clockText is a blob that is put to learn the time.
const clockText = "a store's clock: when this was put last is the time of its last collection\n"

var clockDigest = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(clockText)))

// storeTime is the time by the clock that tells when blobs were put. That of this process
// may be hours ahead, and everything then look old.
func (q *Queue) storeTime(ctx context.Context) (time.Time, error) {
	digest, _, err := q.store.PutBlob(ctx, strings.NewReader(clockText))
	if errors.Is(err, store.ErrNoSpace) {
		// Collecting is what makes room. It is not earlier than the newest blob.
		var newest time.Time
		for b, err := range q.store.Blobs(ctx) {
			if err != nil {
				return newest, err
			}
			if b.ModTime.After(newest) {
				newest = b.ModTime
			}
		}
		return newest, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	b, err := q.store.StatBlob(ctx, digest)
	return b.ModTime, err
}

// referenced are the digests that jobs refer to. A job that cannot be read stops
// everything: what it refers to is not known.
func (q *Queue) referenced(ctx context.Context, ids []string) (map[string]bool, error) {
	used := map[string]bool{}
	for _, id := range ids {
		if e, ok := q.index.get(id); ok && e.status != "" {
			used[e.history] = true
			continue
		}
		s, err := q.load(ctx, id)
		if errors.Is(err, tuning.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if s.final != nil {
			used[s.final.History] = true
		}
		if s.status().Over() {
			q.noteOver(s)
			continue
		}
		used[s.spec.Inputs.Train], used[s.spec.Inputs.Validation] = true, true
		if s.final != nil {
			for _, f := range s.final.Files {
				used[f.Digest] = true
			}
		}
		for _, at := range s.checkpoints {
			m, err := read[manifest](ctx, q, checkpointKey(id, at))
			if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) {
				continue // pruned meanwhile, or of no use to anyone
			}
			if err != nil {
				return nil, err
			}
			for _, f := range m.Files {
				used[f.Digest] = true
			}
		}
	}
	return used, nil
}
