package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// state is what a job's records say. Nothing in it comes from Redis.
type state struct {
	id          string
	spec        specRecord
	started     *time.Time
	attempts    int          // the newest
	ends        map[int]bool // which attempts have an end record
	checkpoints []taken      // newest first
	history     []string     // keys, in the order of their events
	requests    int
	paused      bool // the last request was to pause
	cancel      bool
	final       *finalRecord
	registered  *registeredRecord
}

// validID keeps what is no id away from the store's keys.
func validID(id string) bool {
	s, ok := strings.CutPrefix(id, idPrefix)
	return ok && len(s) == idLength && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// load reads a job's records. Records are only ever added (save for old checkpoints
// and history that the final record holds) until the job is deleted, its spec first, so
// what it returns was true at some time since it was called.
func (q *Queue) load(ctx context.Context, id string) (*state, error) {
	if !validID(id) {
		return nil, q.Missing(id)
	}
	s, err := q.loadRecords(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, q.Missing(id)
	}
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", id, err)
	}
	return s, nil
}

func (q *Queue) loadRecords(ctx context.Context, id string) (*state, error) {
	keys, err := q.store.List(ctx, jobsFolder+id+"/")
	if err != nil {
		return nil, err
	}
	s := &state{id: id, ends: map[int]bool{}}
	has := map[string]bool{}
	for _, key := range keys {
		s.note(strings.TrimPrefix(key, jobsFolder+id+"/"), key, has)
	}
	slices.SortFunc(s.checkpoints, func(a, b taken) int {
		return cmpPairs(b.step, b.attempt, a.step, a.attempt)
	})
	if s.spec, err = read[specRecord](ctx, q, jobKey(id, keySpec)); err != nil {
		return nil, err
	}
	s.cancel = has[keyCancel]
	if has[keyFinal] {
		r, err := read[finalRecord](ctx, q, jobKey(id, keyFinal))
		if err != nil {
			return nil, err
		}
		s.final = &r
	}
	if has[keyRegistered] {
		r, err := read[registeredRecord](ctx, q, jobKey(id, keyRegistered))
		if err != nil {
			return nil, err
		}
		s.registered = &r
	}
	if s.requests > 0 {
		r, err := read[requestRecord](ctx, q, numberKey(id, keyRequests, s.requests))
		if err != nil {
			return nil, err
		}
		s.paused = r.Ask == askPause
	}
	if s.attempts > 0 {
		r, err := read[attemptRecord](ctx, q, numberKey(id, keyAttempts, 1))
		switch {
		case err == nil:
			s.started = &r.At
		case !errors.Is(err, store.ErrCorrupt): // its existence is what matters
			return nil, err
		}
	}
	return s, nil
}

// note takes in the existence of one record.
func (s *state) note(name, key string, has map[string]bool) {
	kind, rest, _ := strings.Cut(name, "/")
	n, err := strconv.Atoi(rest)
	switch {
	case rest == "":
		has[kind] = true
	case kind == keyHistory:
		s.history = append(s.history, key)
	case kind == keyCheckpoint:
		if t, ok := parseTaken(rest); ok {
			s.checkpoints = append(s.checkpoints, t)
		}
	case err != nil:
	case kind == keyAttempts:
		s.attempts = max(s.attempts, n)
	case kind == keyEnds:
		s.ends[n] = true
	case kind == keyRequests:
		s.requests = max(s.requests, n)
	}
}

// running reports that the newest attempt has not ended, as far as anyone wrote.
func (s *state) running() bool { return s.attempts > 0 && !s.ends[s.attempts] }

// registering reports a success that is not registered yet.
func (s *state) registering() bool {
	return s.final != nil && s.final.Status == tuning.Succeeded && s.registered == nil
}

// status of the job. A success counts once it is registered: who sees it can use
// what it names.
func (s *state) status() tuning.Status {
	switch {
	case s.registering():
		return tuning.Running
	case s.final != nil && s.registered != nil && s.registered.Error != nil:
		return tuning.Failed
	case s.final != nil:
		return s.final.Status
	case s.running():
		return tuning.Running
	case s.paused:
		return tuning.Paused
	}
	return tuning.Queued
}

// open reports that a worker may have to do with the job.
func (s *state) open() bool { return s.final == nil && (s.running() || !s.paused) }

// job is the view of the API. What only Redis knows is added by [Queue.view].
func (s *state) job() tuning.Job {
	j := tuning.Job{
		ID: s.id, Kind: s.spec.Spec.Kind, Status: s.status(),
		Model: s.spec.Spec.Model, Name: s.spec.Spec.Name,
		Attempt: s.attempts, CreatedAt: s.spec.CreatedAt, StartedAt: s.started, Spec: s.spec.Spec,
	}
	if s.registering() {
		j.Phase = "registering"
	}
	if s.final == nil {
		return j
	}
	j.Metrics, j.Progress = s.final.Metrics, s.final.Progress
	if !j.Status.Over() {
		return j
	}
	j.Error, j.FinishedAt = s.final.Error, &s.final.At
	if s.registered != nil {
		j.Result, j.FinishedAt = s.registered.Result, &s.registered.At
		if s.registered.Error != nil {
			j.Error = s.registered.Error
		}
	}
	return j
}

// Get returns a job.
func (q *Queue) Get(ctx context.Context, id string) (tuning.Job, error) {
	s, err := q.load(ctx, id)
	if err != nil {
		return tuning.Job{}, err
	}
	return q.view(ctx, s), nil
}

// view adds to a job what Redis knows, or what its last checkpoint does.
func (q *Queue) view(ctx context.Context, s *state) tuning.Job {
	j := s.job()
	if j.Status.Over() {
		q.noteOver(s)
		return j
	}
	if j.Status == tuning.Queued {
		if n, err := q.redis.position(ctx, s.spec); err == nil && n >= 0 {
			n++
			j.QueuePosition = &n
		}
	}
	if s.final == nil && s.attempts > 0 {
		l, err := q.redis.live(ctx, s.id)
		if err == nil && l != nil {
			j.Progress, j.Metrics = l.Progress, l.Metrics
			if s.running() && l.Attempt == s.attempts {
				j.Phase = l.Phase
			}
		}
		// What was told may be lost or late; a checkpoint is neither.
		if len(s.checkpoints) > 0 && (j.Progress == nil || j.Progress.Step < s.checkpoints[0].step) {
			if m, err := read[manifest](ctx, q, checkpointKey(s.id, s.checkpoints[0])); err == nil {
				j.Progress, j.Metrics = m.Progress, m.Metrics
			}
		}
	}
	return j
}

// Wait returns the job when it is over, or as it is after d.
func (q *Queue) Wait(ctx context.Context, id string, d time.Duration) (tuning.Job, error) {
	news, stop := q.hub.listen("job " + id)
	defer stop()
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	look := time.NewTicker(2 * time.Second) // news may be lost
	defer look.Stop()
	for {
		j, err := q.Get(ctx, id)
		if err != nil || j.Status.Over() {
			return j, err
		}
		select {
		case <-news:
		case <-look.C:
		case <-deadline.C:
			return j, nil
		case <-ctx.Done():
			return j, context.Cause(ctx)
		}
	}
}

func cmpPairs(a1, a2, b1, b2 int) int {
	if a1 != b1 {
		if a1 < b1 {
			return -1
		}
		return 1
	}
	switch {
	case a2 < b2:
		return -1
	case a2 > b2:
		return 1
	}
	return 0
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
