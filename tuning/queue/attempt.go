package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning"
)

// Why an attempt's context ends. The work is then worth nothing.
var (
	errDecided = errors.New("the job was decided by another")
	errFenced  = errors.New("a newer attempt has begun")
	errGrace   = errors.New("the attempt did not stop in time")
)

// attempt is one run of a trainer, with the lease that it runs under.
type attempt struct {
	q     *Queue
	w     *Worker
	claim claim
	s     *state // as it was when the attempt began
	n     int
	dir   string
	log   *slog.Logger

	ctx     context.Context // ends when the work is worth nothing
	cancel  context.CancelCauseFunc
	stop    chan struct{} // closed when the trainer is to take a checkpoint and return
	asked   sync.Once
	grace   *time.Timer // set by ask
	settled atomic.Bool // the outcome is being recorded: hold the lease, look no more
	report  *reporter
}

func (w *Worker) attempt(c claim, s *state, dir string) *attempt {
	log := w.q.log.With("job", s.id, "attempt", s.attempts, "worker", w.id)
	if id := s.spec.Trace.ID(); id != "" {
		log = log.With("trace_id", id)
	}
	return &attempt{
		q: w.q, w: w, claim: c, s: s, n: s.attempts,
		dir:  filepath.Join(dir, fmt.Sprintf("%s-%d", s.id, s.attempts)),
		log:  log,
		stop: make(chan struct{}),
	}
}

// run makes the attempt and records what came of it. The end of ctx is the worker's:
// the job is then handed back.
func (a *attempt) run(ctx context.Context) {
	began := time.Now()
	base := context.WithoutCancel(ctx)
	a.ctx, a.cancel = context.WithCancelCause(base)
	defer a.cancel(nil)
	a.report = newReporter(a)

	held, letGo := context.WithCancel(base)
	var wg sync.WaitGroup
	wg.Go(func() { newKeeper(a).run(held) })
	leaving := context.AfterFunc(ctx, func() { a.ask("the worker goes away") })

	outcome, err := a.train()
	a.q.meters.over(a, a.finish(base, outcome, err), began)

	leaving()
	letGo()
	wg.Wait()
	a.asked.Do(func() {}) // waits for one that is at it
	if a.grace != nil {
		a.grace.Stop()
	}
	if err := os.RemoveAll(a.dir); err != nil {
		a.log.Warn("scratch files stay", "error", err)
	}
}

// ask wants the trainer to stop with a checkpoint; a trainer that does not is cut
// off after the grace time.
func (a *attempt) ask(why string) {
	a.asked.Do(func() {
		a.log.Info("attempt is to stop", "why", why)
		a.grace = time.AfterFunc(a.w.o.Grace, func() { a.cancel(errGrace) })
		close(a.stop)
	})
}

func (a *attempt) isAsked() bool {
	select {
	case <-a.stop:
		return true
	default:
		return false
	}
}

// train prepares the files and runs the trainer.
func (a *attempt) train() (outcome tuning.Outcome, err error) {
	// Between the claim and the attempt's record the job may have been decided.
	if err := a.fence(a.ctx); err != nil {
		return outcome, err
	}
	if err := a.report.begin(a.ctx); err != nil {
		return outcome, err
	}
	a.log.Info("attempt begins")
	task, err := a.prepare()
	if err != nil {
		return outcome, err
	}
	if a.isAsked() {
		return outcome, tuning.ErrStopped
	}
	defer func() {
		if p := recover(); p != nil {
			a.log.Error("the trainer panicked", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("the trainer panicked: %v", p)
		}
	}()
	return a.w.o.Trainer(a.ctx, task, a.report)
}

// fence fails, and ends the attempt, when its work is worth nothing any more.
func (a *attempt) fence(ctx context.Context) error {
	s, err := a.q.load(ctx, a.s.id)
	if errors.Is(err, tuning.ErrNotFound) { // decided, and deleted since
		a.cancel(errDecided)
		return errDecided
	}
	if err != nil {
		return err
	}
	if err := a.judge(ctx, s); err != nil {
		return err
	}
	return context.Cause(a.ctx)
}

// judge acts on what the job's records say to its running attempt.
func (a *attempt) judge(ctx context.Context, s *state) error {
	var why error
	switch {
	case s.final == nil && s.cancel:
		if _, err := a.q.cancelled(ctx, s); err != nil {
			return err
		}
		why = errDecided
	case s.final != nil:
		why = errDecided
	case s.attempts > a.n || s.ends[a.n]:
		why = errFenced
	case s.paused:
		a.ask("the job is paused")
		return nil
	default:
		return nil
	}
	a.cancel(why)
	return why
}

// finish records what came of the attempt, gives the lease back and says how it ended.
func (a *attempt) finish(ctx context.Context, outcome tuning.Outcome, err error) string {
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	if err == nil {
		err = a.succeed(ctx, outcome)
	}
	cause := context.Cause(a.ctx)
	if cause == nil && (errors.Is(err, errDecided) || errors.Is(err, errFenced)) {
		cause = err
	}
	a.settled.Store(true)
	switch {
	case errors.Is(cause, errDecided), errors.Is(cause, errFenced):
		a.log.Info("attempt is discarded", "why", cause)
		a.report.close(ctx)
		a.w.release(ctx, a.claim, 0, errors.Is(cause, errDecided))
		return attemptDiscarded
	case err == nil:
		a.log.Info("job succeeded", "steps", outcome.Steps)
		return attemptSucceeded
	case errors.Is(cause, errGrace):
		a.handBack(ctx, endRecord{How: endStopped, Error: jobError(errGrace)}, 0)
		return attemptStopped
	case errors.Is(err, tuning.ErrStopped) && a.isAsked():
		a.handBack(ctx, endRecord{How: endStopped}, 0)
		return attemptStopped
	case invalid.Is(err):
		a.log.Info("job failed", "error", err)
		a.fail(ctx, jobError(err))
		return attemptFailed
	}
	a.log.Warn("attempt failed", "error", err)
	a.again(ctx, jobError(err))
	return attemptRetried
}

// finishTime bounds the recording of an outcome; uploads have no bound but the lease.
const finishTime = 10 * time.Minute

// succeed stores what was trained and decides the job: blobs first, then the final
// record, then the registration, which whoever finds it missing does again.
func (a *attempt) succeed(ctx context.Context, outcome tuning.Outcome) error {
	a.report.Phase("registering")
	files, err := a.q.upload(a.ctx, outcome.Files)
	if err != nil {
		return err
	}
	// From here on this goroutine alone looks: the final record is about to be its
	// own.
	a.settled.Store(true)
	if err := a.fence(ctx); err != nil {
		return err
	}
	a.report.finished(outcome)
	a.report.close(ctx)
	s, err := a.q.load(ctx, a.s.id)
	if err != nil {
		return err
	}
	progress := a.report.progress()
	won, err := a.q.decide(ctx, s, finalRecord{
		Status: tuning.Succeeded, Attempt: a.n, By: a.w.id,
		Files: files, Metrics: outcome.Metrics, Labels: outcome.Labels, Template: outcome.Template, Steps: outcome.Steps, Gate: outcome.Gate, Progress: progress,
	})
	if err != nil {
		return err
	}
	if !won {
		return errDecided
	}
	if err := a.q.register(ctx, s); err != nil {
		// The job has succeeded all the same; this is repaired.
		a.log.Warn("job succeeded and is not registered yet", "error", err)
		a.w.release(ctx, a.claim, a.q.o.RetryDelay, false)
		return nil
	}
	a.w.release(ctx, a.claim, 0, true)
	return nil
}

// fail decides the job as failed.
func (a *attempt) fail(ctx context.Context, e *tuning.JobError) {
	a.report.close(ctx)
	s, err := a.q.load(ctx, a.s.id)
	if err == nil && s.final == nil {
		l := a.report.now()
		_, err = a.q.decide(ctx, s, finalRecord{
			Status: tuning.Failed, Attempt: a.n, By: a.w.id, Error: e, Progress: l.Progress, Metrics: l.Metrics,
		})
	}
	if err != nil {
		// The next attempt will meet the same fault.
		a.log.Error("a failure cannot be recorded", "error", err)
		a.w.release(ctx, a.claim, a.q.o.RetryDelay, false)
		return
	}
	a.w.release(ctx, a.claim, 0, true)
}

// again ends an attempt that failed and leaves the job to a later one, unless there
// were too many.
func (a *attempt) again(ctx context.Context, e *tuning.JobError) {
	end := endRecord{How: endFailed, Error: e}
	a.end(ctx, end)
	s, err := a.q.load(ctx, a.s.id)
	if err != nil {
		a.handBack(ctx, end, a.q.o.RetryDelay)
		return
	}
	fruit, err := a.q.fruitless(ctx, s)
	if err == nil && fruit.blamed >= a.q.o.Attempts {
		a.report.close(ctx)
		if _, err = a.q.poisoned(ctx, s); err == nil {
			a.w.release(ctx, a.claim, 0, true)
			return
		}
	}
	delay := min(a.q.o.RetryDelay<<min(max(fruit.tries-1, 0), 10), 10*time.Minute)
	a.handBack(ctx, end, delay)
}

// end records that the attempt is over. It is no harm when it cannot: the next worker
// then waits until the lease runs out.
func (a *attempt) end(ctx context.Context, r endRecord) {
	r.Worker, r.At = a.w.id, time.Now().UTC()
	if err := a.q.create(ctx, numberKey(a.s.id, keyEnds, a.n), r); err != nil {
		a.log.Warn("the attempt's end is not recorded", "error", err)
	}
}

// handBack gives the job to whoever comes next, or lets it rest when it is paused.
func (a *attempt) handBack(ctx context.Context, r endRecord, delay time.Duration) {
	data := statusData{Status: tuning.Queued, Attempt: a.n}
	s, err := a.q.load(ctx, a.s.id)
	switch {
	case err == nil && s.status().Over():
		data.Status = s.status()
	case err == nil && s.paused:
		data.Status = tuning.Paused
	}
	if r.Error != nil {
		data.Message = r.Error.Message
	}
	if !data.Status.Over() {
		a.report.status(data)
	}
	// All is said before others may see that the attempt has ended, and say more.
	a.report.close(ctx)
	if r.How == endStopped {
		a.end(ctx, r)
	}
	if err == nil && s.paused {
		a.w.rest(ctx, a.claim)
	} else {
		a.w.release(ctx, a.claim, delay, false)
	}
}
