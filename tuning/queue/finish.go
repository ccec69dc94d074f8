package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"syscall"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// Finished is what a successful job is registered from. Its files are blobs in the
// store.
type Finished struct {
	Job      tuning.Job
	Inputs   Inputs // the rows it was given
	Files    map[string]File
	Metrics  map[string]float64
	Labels   []string
	Template string // what made the prompts it was taught
	Steps    int
	Trace    tuning.Trace   // of the request that submitted it
	Gate     *adapters.Gate // whether it is to become current; nil: it is
}

// decide writes the job's final record, unless another writer was first, and reports
// whether this call's stands; s.final is then the record that stands.
func (q *Queue) decide(ctx context.Context, s *state, f finalRecord) (won bool, err error) {
	f.Nonce, f.At = rand.Text(), time.Now().UTC()
	if f.History, err = q.archive(ctx, s); err != nil {
		q.log.Warn("history stays in pieces", "job", s.id, "error", err)
		f.History = ""
	}
	key := jobKey(s.id, keyFinal)
	if err = q.create(ctx, key, f); err != nil {
		// It exists; or the outcome is unknown, as after a request to an object
		// store that was cut off. The record itself says whose it is.
		standing, rerr := read[finalRecord](ctx, q, key)
		if rerr != nil {
			return false, err
		}
		if standing.Nonce != f.Nonce {
			s.final = &standing
			return false, nil
		}
	}
	s.final = &f
	q.meters.decided(s)
	if f.History != "" {
		q.dropPieces(ctx, s)
	}
	if !s.registering() {
		q.ended(ctx, s)
	}
	return true, nil
}

// ended tells Redis that a job is over.
func (q *Queue) ended(ctx context.Context, s *state) {
	q.noteOver(s)
	if err := q.redis.hint(ctx, func(ctx context.Context) error { return q.redis.dequeue(ctx, s.spec, true) }); err != nil {
		q.kick()
	}
	q.sayOver(ctx, s)
}

// register makes a success available and records its name, after which the job is
// over. It may be called again, and by several at once.
func (q *Queue) register(ctx context.Context, s *state) error {
	r := registeredRecord{At: time.Now().UTC()}
	if q.o.Register != nil {
		res, err := q.o.Register(ctx, Finished{
			Job: s.job(), Inputs: s.spec.Inputs, Files: s.final.Files,
			Metrics: s.final.Metrics, Labels: s.final.Labels, Template: s.final.Template, Steps: s.final.Steps, Trace: s.spec.Trace, Gate: s.final.Gate,
		})
		switch {
		case err == nil:
			r.Result = &res
		case invalid.Is(err):
			r.Error = &tuning.JobError{Code: codeInvalid, Message: fmt.Sprintf("the trained files were refused: %v", err)}
		default:
			return fmt.Errorf("job %s: register: %w", s.id, err)
		}
	}
	key := jobKey(s.id, keyRegistered)
	err := q.create(ctx, key, r)
	if errors.Is(err, store.ErrExists) {
		r, err = read[registeredRecord](ctx, q, key)
	}
	if err != nil {
		return fmt.Errorf("job %s: register: %w", s.id, err)
	}
	s.registered = &r
	q.ended(ctx, s)
	return nil
}

// Codes of a job's error.
const (
	codeInvalid   = "invalid"            // the input can never succeed
	codeFailed    = "attempt_failed"     // an attempt ended with an error
	codeLost      = "worker_lost"        // an attempt's worker fell silent
	codeNoSpace   = "no_space"           // the store is full
	codeStore     = "store_unavailable"  // the store cannot be reached, or refuses
	codeCorrupt   = "corrupt"            // stored bytes have changed
	codeExhausted = "attempts_exhausted" // too many attempts without progress
)

// jobError says why an attempt failed. An error that knows better says so itself.
func jobError(err error) *tuning.JobError {
	var own interface{ JobError() tuning.JobError }
	e := tuning.JobError{Code: codeFailed, Message: err.Error()}
	switch {
	case errors.Is(err, store.ErrNoSpace), errors.Is(err, syscall.ENOSPC): // the latter of the scratch folder
		e.Code, e.Hint = codeNoSpace, "free disk space where the service keeps its data"
	case errors.Is(err, store.ErrDenied), errors.Is(err, store.ErrUnavailable):
		e.Code, e.Hint = codeStore, "the job goes on when the service's store can be used again"
	case errors.Is(err, store.ErrCorrupt):
		e.Code, e.Hint = codeCorrupt, "upload the dataset again and submit a new job"
	case errors.As(err, &own):
		e = own.JobError()
	case invalid.Is(err):
		e.Code = codeInvalid
	}
	const most = 4000
	if len(e.Message) > most {
		e.Message = e.Message[:most] + "…"
	}
	return &e
}

// fruit is what came of the newest attempts that took no checkpoint beyond those before
// them.
type fruit struct {
	tries  int // those attempts, but for those that were handed back
	blamed int // of these, those that the job may be to blame for
	why    *tuning.JobError
}

// fruitless looks at the newest attempts. A full disk or a bucket out of reach is not
// the job's fault: it waits, longer each time, and is not given up.
func (q *Queue) fruitless(ctx context.Context, s *state) (f fruit, err error) {
	for a := s.attempts; a > 0 && !s.advanced(a); a-- {
		end := endRecord{How: endLost}
		if s.ends[a] {
			end, err = read[endRecord](ctx, q, numberKey(s.id, keyEnds, a))
			if errors.Is(err, store.ErrCorrupt) {
				end, err = endRecord{How: endLost}, nil
			}
			if err != nil {
				return fruit{}, err
			}
		}
		if end.How == endStopped {
			continue
		}
		f.tries++
		if end.Error != nil && (end.Error.Code == codeNoSpace || end.Error.Code == codeStore) {
			continue
		}
		f.blamed++
		if f.why == nil {
			f.why = end.Error
		}
		if f.why == nil {
			f.why = &tuning.JobError{
				Code:    codeLost,
				Message: "its worker fell silent: it was killed, ran out of memory, or was cut off",
				Hint:    "a smaller batch_size or max_length needs less memory",
			}
		}
	}
	return f, nil
}

// advanced reports whether attempt a took a checkpoint at a step that no earlier one
// had reached.
func (s *state) advanced(a int) bool {
	before, own := -1, -1
	for _, c := range s.checkpoints {
		if c.attempt < a {
			before = max(before, c.step)
		} else if c.attempt == a {
			own = max(own, c.step)
		}
	}
	return own > before
}

// poisoned fails a job whose attempts get nowhere, and reports whether it did or
// found the job decided.
func (q *Queue) poisoned(ctx context.Context, s *state) (bool, error) {
	fruit, err := q.fruitless(ctx, s)
	if err != nil || fruit.blamed < q.o.Attempts {
		return false, err
	}
	f := finalRecord{
		Status: tuning.Failed, Attempt: s.attempts, By: "poison",
		Error: &tuning.JobError{
			Code:    codeExhausted,
			Message: fmt.Sprintf("%d attempts made no progress; the last one: %s", fruit.blamed, fruit.why.Message),
			Hint:    fruit.why.Hint,
		},
	}
	j := q.view(ctx, s)
	f.Progress, f.Metrics = j.Progress, j.Metrics
	_, err = q.decide(ctx, s, f)
	return err == nil, err
}
