//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/store"
	"lorikeet/tuning"
	"lorikeet/tuning/child"
	"lorikeet/tuning/queue"
	"lorikeet/tuning/queue/queuetest"
)

// workerVariable holds a setup in the environment of a worker process.
const workerVariable = "LORIKEET_CHAOS_WORKER"

// setup is what a worker process is told.
type setup struct {
	Dir   string
	Redis string
	N     int
	Class string
	Slots int
	Lease time.Duration
	Clock *queuetest.Clock // nil: the right one
}

// wrong sets the clock that the process is to have.
func (w setup) wrong() error {
	if w.Clock == nil {
		return nil
	}
	return w.Clock.Set()
}

// skewed reports [queuetest.ErrNoSkew] where no process can have a wrong clock, by trying
// it on one.
func skewed() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self) //nolint:gosec // this program
	cmd.Env = append(os.Environ(), workerVariable+`={"Clock":{"Rate":2}}`)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %w: %s", queuetest.ErrNoSkew, err, out)
	}
	return nil
}

// Times of the jobs. A checkpoint comes every quarter of a second.
const (
	stepTime = 25 * time.Millisecond
	every    = 10
)

// workerProcess is the body of a worker.
func workerProcess(text string) int {
	fail := func(err error) int { fmt.Fprintln(os.Stderr, err); return 1 }
	var w setup
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return fail(err)
	}
	if err := w.wrong(); err != nil {
		return fail(err)
	}
	if w.Dir == "" {
		return 0 // it was only tried
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("process", w.N, "pid", os.Getpid())
	q, shut, err := open(ctx, w, log)
	if err != nil {
		return fail(err)
	}
	trainer, err := w.trainer(log)
	if err != nil {
		return fail(err)
	}
	worker, err := queue.NewWorker(q, queue.WorkerOptions{
		Trainer: trainer, Class: w.Class, Slots: w.Slots, Dir: filepath.Join(w.Dir, "scratch"), Grace: w.Lease,
	})
	if err != nil {
		return fail(err)
	}
	below, done := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = q.Run(below) })
	running.Go(func() { collect(below, q, w.Lease, log) })
	err = worker.Run(ctx)
	done()
	running.Wait()
	if serr := shut(); err == nil {
		err = serr
	}
	if err != nil {
		return fail(err)
	}
	return 0
}

// open opens the queue as a process of the service does.
func open(ctx context.Context, w setup, log *slog.Logger) (q *queue.Queue, shut func() error, err error) {
	dir, err := store.OpenDir(filepath.Join(w.Dir, "store"))
	if err != nil {
		return nil, nil, err
	}
	faulty := &faultyStore{Dir: dir, control: filepath.Join(w.Dir, "control")}
	rdb, err := queue.Connect("redis://" + w.Redis)
	if err != nil {
		return nil, nil, err
	}
	q, err = queue.Open(ctx, queue.Options{
		Store: faulty, Redis: rdb, Log: log, Lease: w.Lease, Poll: w.Lease / 20, Every: w.Lease / 2, RetryDelay: w.Lease / 10,
		MaxJobs: 1 << 20, Attempts: patience, Keep: keepJobs,
		Register: func(ctx context.Context, f queue.Finished) (tuning.Result, error) { return register(ctx, faulty, f) },
	})
	if err != nil {
		return nil, nil, err
	}
	return q, func() error { return errors.Join(q.Close(), rdb.Close(), dir.Close()) }, nil
}

// keepJobs is more than a run takes: a job that is deleted for its age was so old by a
// wrong clock only.
const keepJobs = time.Hour

// collect does what the service does every hour, in every process and all the time.
func collect(ctx context.Context, q *queue.Queue, every time.Duration, log *slog.Logger) {
	for ctx.Err() == nil {
		c, err := q.Collect(ctx, func(string) bool { return true }, 24*time.Hour)
		if c.Jobs != 0 || err != nil && ctx.Err() == nil {
			log.Warn("collected", "jobs", c.Jobs, "error", err)
		}
		sleep(ctx, every)
	}
}

// patience is how many attempts without a checkpoint fail a job. More than the three of
// the service, since here one job may well meet three faults in a row that are not its
// own.
const patience = 6

// register does what the service does: one version of an adapter for each job.
func register(ctx context.Context, s adapters.Store, f queue.Finished) (tuning.Result, error) {
	r, err := adapters.OpenRegistry(ctx, s)
	if err != nil {
		return tuning.Result{}, err
	}
	v := adapters.Version{Ref: adapters.Ref{Name: f.Job.Name}, Kind: adapters.KindAdapter, Base: f.Job.Model,
		Files: map[string]adapters.File{}, Job: f.Job.ID, CreatedAt: time.Now()}
	for name, file := range f.Files {
		v.Files[name] = adapters.File{Digest: file.Digest, Size: file.Size}
	}
	if v, err = r.Register(ctx, v); err != nil {
		return tuning.Result{}, err
	}
	return tuning.Result{Adapter: v.String(), Digest: v.Digest, Kind: v.Kind}, nil
}

// attemptVariable is set in the environment of a process that makes one attempt.
const attemptVariable = "LORIKEET_CHAOS_ATTEMPT"

// trainer makes each attempt in a child process, as the service does, and notes which
// worker is at which job.
func (w setup) trainer(log *slog.Logger) (tuning.Trainer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	attempts := child.Trainer(child.Options{Log: log, Command: func(tuning.Task) *exec.Cmd {
		cmd := exec.Command(self) //nolint:gosec // this program
		cmd.Env = append(os.Environ(), attemptVariable+"=1")
		return cmd
	}})
	return func(ctx context.Context, task tuning.Task, r tuning.Reporter) (tuning.Outcome, error) {
		if err := os.WriteFile(filepath.Join(w.Dir, "running", task.Job), fmt.Append(nil, w.N), 0o600); err != nil {
			return tuning.Outcome{}, err
		}
		return attempts(ctx, task, r)
	}, nil
}

// attemptProcess is the body of a child: it runs a job's counter, or dies of it.
func attemptProcess() int {
	var w setup
	if err := json.Unmarshal([]byte(os.Getenv(workerVariable)), &w); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := w.wrong(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return child.Serve(context.Background(), os.Stdin, os.Stdout, func(ctx context.Context, task tuning.Task, r tuning.Reporter) (tuning.Outcome, error) {
		steps, _ := task.Spec.Metadata["steps"].(float64)
		c := queuetest.Counter{Steps: int(steps), Every: every, Step: stepTime}
		if poison, _ := task.Spec.Metadata["poison"].(bool); poison {
			c.Before = func(_ context.Context, _ tuning.Task, step int) error {
				if step < every/2 {
					return nil
				}
				return syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}
		return c.Train(ctx, task, r)
	})
}

// role runs what this process was started for, when it is not the runner.
func role() (code int, other bool) {
	if os.Getenv(attemptVariable) != "" {
		return attemptProcess(), true
	}
	if text := os.Getenv(workerVariable); text != "" {
		return workerProcess(text), true
	}
	return 0, false
}
