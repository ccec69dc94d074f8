package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning"
)

// Exit statuses of a child, for who looks at processes; the parent goes by what was
// told.
const (
	exitDone   = 0 // an outcome, or a stop that was asked for
	exitFailed = 1
	exitTask   = 2 // no task could be read
	exitOrphan = 3
)

// orphanGrace is how long a trainer may take to return after its parent died. It is
// short: another worker may already have the job, and the device.
const orphanGrace = 5 * time.Second

var errOrphan = errors.New("the parent process is gone")

// exit ends a process whose trainer does not return; a variable for tests.
var exit = os.Exit

// Serve is the child's side: it reads a task from in, runs the trainer, tells out
// what happens, and returns the process's exit status. It takes SIGTERM and SIGINT as
// the wish to stop with a checkpoint. Nothing else may write to out or read from in,
// which is read until it ends.
func Serve(ctx context.Context, in io.Reader, out io.Writer, trainer tuning.Trainer) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	dec := json.NewDecoder(bufio.NewReader(in))
	var first toChild
	if err := dec.Decode(&first); err != nil || first.Task == nil {
		fmt.Fprintln(os.Stderr, "no task on standard input:", err)
		return exitTask
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &teller{out: out, stop: make(chan struct{}), gone: cancel, answers: map[int]chan error{}}
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-signals:
			close(r.stop)
		case <-done:
		}
	}()
	go func() {
		r.listen(dec)
		cancel(errOrphan)
		select {
		case <-done:
		case <-time.After(orphanGrace):
			exit(exitOrphan)
		}
	}()

	outcome, err := guarded(ctx, trainer, *first.Task, r)
	switch {
	case err == nil:
		r.tell(fromChild{Outcome: &outcome})
	case errors.Is(err, tuning.ErrStopped):
		r.tell(fromChild{Stopped: true})
	case errors.Is(context.Cause(ctx), errOrphan):
		return exitOrphan
	default:
		r.tell(fromChild{Error: newFailure(err)})
		return exitFailed
	}
	return exitDone
}

// guarded turns a panic of the trainer into an error.
func guarded(ctx context.Context, trainer tuning.Trainer, task tuning.Task, r tuning.Reporter) (outcome tuning.Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n%s", p, debug.Stack())
			err = fmt.Errorf("the trainer panicked: %v", p)
		}
	}()
	return trainer(ctx, task, r)
}

func newFailure(err error) *failure {
	f := &failure{Code: codeFailed, Message: err.Error(), Faults: invalid.Faults(err)}
	var own interface{ JobError() tuning.JobError }
	switch {
	case errors.As(err, &own):
		e := own.JobError()
		f.Code, f.Message, f.Hint = e.Code, e.Message, e.Hint
	case len(f.Faults) > 0:
		f.Code = codeInvalid
	}
	return f
}

// teller is the child's [tuning.Reporter].
type teller struct {
	stop chan struct{}
	gone context.CancelCauseFunc

	mu      sync.Mutex
	out     io.Writer
	n       int // checkpoints told
	answers map[int]chan error
	closed  bool // no answer will come
}

func (r *teller) tell(m fromChild) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(m)
}

func (r *teller) write(m fromChild) {
	data, err := line(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	if _, err := r.out.Write(data); err != nil {
		r.gone(errOrphan)
	}
}

// Phase implements [tuning.Reporter].
func (r *teller) Phase(phase string) { r.tell(fromChild{Phase: phase}) }

// Event implements [tuning.Reporter].
func (r *teller) Event(typ string, data any) {
	raw, err := json.Marshal(data)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s event: %v\n", typ, err)
		return
	}
	r.tell(fromChild{Event: &event{Type: typ, Data: raw}})
}

// Checkpoint implements [tuning.Reporter].
func (r *teller) Checkpoint(ctx context.Context, step int, files map[string]string) error {
	answer := make(chan error, 1)
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return errOrphan
	}
	r.n++
	r.answers[r.n] = answer
	r.write(fromChild{Checkpoint: &checkpoint{N: r.n, Step: step, Files: files}})
	r.mu.Unlock()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Stop implements [tuning.Reporter].
func (r *teller) Stop() <-chan struct{} { return r.stop }

// listen hands out the parent's answers until there are no more.
func (r *teller) listen(dec *json.Decoder) {
	for {
		var m toChild
		err := dec.Decode(&m)
		r.mu.Lock()
		if err != nil {
			r.closed = true
			for _, answer := range r.answers {
				answer <- errOrphan
			}
			clear(r.answers)
			r.mu.Unlock()
			return
		}
		if m.Stored != nil && r.answers[m.Stored.N] != nil {
			var failed error
			if m.Stored.Error != "" {
				failed = errors.New(m.Stored.Error)
			}
			r.answers[m.Stored.N] <- failed
			delete(r.answers, m.Stored.N)
		}
		r.mu.Unlock()
	}
}
