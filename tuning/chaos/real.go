//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
	"lorikeet/tuning/queue"
	"lorikeet/tuning/queue/queuetest"
)

// real has workers of the service itself train adapters while they are killed: kill -9 of
// a worker, which its training dies with, and of a training alone, at random steps, and
// FLUSHALL. Each job's files must be those of an undisturbed training of the same spec, to
// the byte, and its history must tell each step once.
type real struct {
	journal
	c       config
	rnd     *rand.Rand
	program string
	redis   *queuetest.Redis
	dir     *store.Dir
	api     *queue.Queue
	rows    string // digest
	workers []*realWorker
}

// realWorker is a `service worker` process.
type realWorker struct {
	lasting
	data string
}

// Of a real training.
const (
	realSteps   = 20
	realEvery   = 3 // steps between checkpoints
	realKinds   = 4 // different specs
	realPerJob  = 2 // kills of one job: three attempts without a checkpoint would fail it
	realPatient = 20 * time.Minute
)

func runReal(ctx context.Context, c config) (rep report, err error) {
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", "lorikeet-chaos-"); err != nil {
			return rep, err
		}
		defer func() {
			if err == nil {
				err = os.RemoveAll(c.dir)
			}
		}()
	}
	r := &real{c: c, rnd: rand.New(rand.NewPCG(c.seed, 2)), //nolint:gosec // it must be repeatable
		journal: journal{out: c.out, counts: map[string]int{}, begin: time.Now()}}
	fmt.Fprintf(c.out, "seed %d: %d real trainings of builtin:tiny-bert, %d steps each, backend %s, %d workers\n", c.seed, c.jobs, realSteps, c.backend, c.workers)
	stop, err := r.open(ctx)
	defer stop()
	if err != nil {
		return rep, err
	}
	want, err := r.undisturbed(ctx)
	if err != nil {
		return rep, err
	}
	rep, err = r.disturbed(ctx, want)
	stop()
	if err != nil {
		return rep, err
	}
	rep.print(c.out)
	if len(rep.Violations) > 0 {
		return rep, fmt.Errorf("%w; store and logs are in %s", errViolated, c.dir)
	}
	return rep, ctx.Err()
}

// open builds the service and starts Redis, the API's half of the queue and the workers.
func (r *real) open(ctx context.Context) (stop func(), err error) {
	var undo []func()
	stop = sync.OnceFunc(func() {
		for _, f := range slices.Backward(undo) {
			f()
		}
	})
	if r.program = r.c.program; r.program == "" {
		r.program = filepath.Join(r.c.dir, "service")
		build := exec.CommandContext(ctx, "go", "build", "-o", r.program, "lorikeet/service") //nolint:gosec // a folder of ours
		if out, err := build.CombinedOutput(); err != nil {
			return stop, fmt.Errorf("build the service: %w: %s", err, out)
		}
	}
	if err := os.MkdirAll(filepath.Join(r.c.dir, "redis"), 0o700); err != nil {
		return stop, err
	}
	if r.redis, err = queuetest.NewRedis(filepath.Join(r.c.dir, "redis")); err != nil {
		return stop, err
	}
	if err := r.redis.Start(); err != nil {
		return stop, err
	}
	undo = append(undo, r.redis.Kill)
	if r.dir, err = store.OpenDir(filepath.Join(r.c.dir, "store")); err != nil {
		return stop, err
	}
	undo = append(undo, func() { _ = r.dir.Close() })
	rdb, err := queue.Connect("redis://" + r.redis.Addr())
	if err != nil {
		return stop, err
	}
	undo = append(undo, func() { _ = rdb.Close() })
	if r.api, err = queue.Open(ctx, queue.Options{Store: r.dir, Redis: rdb, MaxJobs: 1 << 20, Log: slog.New(slog.DiscardHandler)}); err != nil {
		return stop, err
	}
	undo = append(undo, func() { _ = r.api.Close() })

	var text bytes.Buffer
	for i := range 96 {
		word, label := "good", "positive"
		if i%2 == 0 {
			word, label = "bad", "negative"
		}
		fmt.Fprintf(&text, "{\"text\":\"review %d says that it was %s\",\"label\":%q}\n", i, word, label)
	}
	if r.rows, _, err = r.dir.PutBlob(ctx, &text); err != nil {
		return stop, err
	}
	for n := 1; n <= r.c.workers; n++ {
		w := &realWorker{lasting{n: n, patience: time.Minute, log: &r.journal}, filepath.Join(r.c.dir, fmt.Sprint("worker-", n))}
		w.command = func() (*exec.Cmd, error) { return r.worker(w) }
		if err := w.start(); err != nil {
			return stop, err
		}
		r.workers = append(r.workers, w)
		undo = append(undo, w.dismiss)
	}
	return stop, nil
}

// worker starts one.
func (r *real) worker(w *realWorker) (*exec.Cmd, error) {
	if err := os.MkdirAll(w.data, 0o700); err != nil {
		return nil, err
	}
	logs, err := os.OpenFile(filepath.Join(w.data, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // ours
	if err != nil {
		return nil, err
	}
	defer logs.Close()
	cmd := exec.Command(r.program, "worker", "--redis", "redis://"+r.redis.Addr(), "--store", filepath.Join(r.c.dir, "store"), "--data", w.data, //nolint:gosec // our program
		"--base", "tiny-bert=builtin:tiny-bert", "--backend", r.c.backend)
	cmd.Stderr = logs
	return cmd, cmd.Start()
}

// submit sends one job of a kind of spec.
func (r *real) submit(ctx context.Context, kind int, name string) (string, error) {
	of := func(n int) *int { return &n }
	seed, rate := int64(kind), 1e-3
	spec := tuning.Spec{Kind: tuning.LoRA, Model: "tiny-bert", Name: name, CheckpointEvery: realEvery, Dataset: &tuning.Source{ID: "ds_0"},
		Hyperparameters: &tuning.Hyperparameters{MaxSteps: of(realSteps), BatchSize: of(4), MaxLength: of(16), Seed: &seed, LearningRate: &rate},
		LoRA:            &tuning.LoRAOptions{R: of(4 + 4*(kind%2))}}
	j, _, err := r.api.Submit(ctx, spec, queue.Inputs{Train: r.rows})
	return j.ID, err
}

// files waits for a success and returns the digests of what was trained.
func (r *real) files(ctx context.Context, id string) (map[string]string, error) {
	j, err := r.api.Wait(ctx, id, realPatient)
	if err != nil {
		return nil, err
	}
	if j.Status != tuning.Succeeded {
		return nil, fmt.Errorf("job %s is %s after %d attempts: %+v", id, j.Status, j.Attempt, j.Error)
	}
	final, err := record[struct{ Files map[string]queue.File }](ctx, r.dir, "jobs/"+id+"/final")
	if err != nil {
		return nil, err
	}
	digests := map[string]string{}
	for name, f := range final.Files {
		digests[name] = f.Digest
	}
	events, err := r.api.Events(ctx, id, "", 0)
	if err == nil {
		err = queuetest.CheckHistory(events, realSteps)
	}
	return digests, err
}

// undisturbed trains each kind once, in peace.
func (r *real) undisturbed(ctx context.Context) (want []map[string]string, err error) {
	var ids []string
	for kind := range min(realKinds, r.c.jobs) {
		id, err := r.submit(ctx, kind, fmt.Sprint("peace-", kind))
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	for _, id := range ids {
		files, err := r.files(ctx, id)
		if err != nil {
			return nil, err
		}
		want = append(want, files)
	}
	r.note("%d trainings in peace are done", len(ids))
	return want, nil
}

// disturbed trains all jobs while it harms them.
func (r *real) disturbed(ctx context.Context, want []map[string]string) (report, error) {
	var ids []string
	plans := map[string][]realHarm{}
	for n := range r.c.jobs {
		id, err := r.submit(ctx, n%realKinds, fmt.Sprint("name-", n%7))
		if err != nil {
			return report{}, err
		}
		ids = append(ids, id)
		plans[id] = r.plan()
	}
	hctx, peace := context.WithCancel(ctx)
	var harm sync.WaitGroup
	harm.Go(func() {
		for hctx.Err() == nil {
			sleep(hctx, 10*time.Millisecond)
			r.harm(hctx, plans)
		}
	})
	rep := report{Accepted: len(ids), Statuses: map[tuning.Status]int{}, Wasted: map[string]int{}}
	for n, id := range ids {
		got, err := r.files(ctx, id)
		if ctx.Err() != nil {
			break // nothing is known of the rest
		}
		if err != nil {
			r.violation("%v", err)
			continue
		}
		rep.Finished++
		rep.Statuses[tuning.Succeeded]++
		if !maps.Equal(got, want[n%realKinds]) {
			r.violation("job %s is not what an undisturbed training gives: %v, want %v", id, got, want[n%realKinds])
		}
		if j, err := r.api.Get(ctx, id); err == nil {
			rep.Attempts += j.Attempt
			rep.Wasted["killed"] += j.Attempt - 1
			r.note("%d of %d: %s succeeded in attempt %d, bytes as in peace", n+1, len(ids), id, j.Attempt)
		}
	}
	peace()
	harm.Wait()
	if err := context.Cause(ctx); err != nil {
		return rep, fmt.Errorf("%w: %d of %d trainings were over", err, rep.Finished, rep.Accepted)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rep.Lost = rep.Accepted - rep.Finished
	rep.Faults, rep.Violations, rep.Took = r.counts, r.violations, time.Since(r.begin)
	return rep, nil
}

// realHarm is what is to be done to a job, at which step.
type realHarm struct {
	what string
	step int
}

// plan decides what a job meets: up to realPerJob kills, each at a step of its own.
func (r *real) plan() (list []realHarm) {
	for range r.rnd.IntN(realPerJob + 1) {
		list = append(list, realHarm{[]string{"kill a training", "kill a training", "kill a worker"}[r.rnd.IntN(3)], r.rnd.IntN(realSteps)})
	}
	return list
}

// harm looks at what each worker trains and kills it at its step.
func (r *real) harm(ctx context.Context, plans map[string][]realHarm) {
	for _, w := range r.workers {
		job, child := w.training()
		if job == "" || child == 0 || len(plans[job]) == 0 {
			continue
		}
		j, err := r.api.Get(ctx, job)
		h := plans[job][0]
		if err != nil || j.Status != tuning.Running || j.Progress == nil || j.Progress.Step < h.step || j.Progress.Step == realSteps {
			continue
		}
		pid := child
		if h.what == "kill a worker" {
			pid = w.pid()
		}
		plans[job] = plans[job][1:]
		if send(pid, syscall.SIGKILL) == nil {
			r.count(h.what)
			r.note("%s at step %d of %s", h.what, j.Progress.Step, job)
		}
	}
	if r.rnd.IntN(2000) == 0 {
		rdb, err := queue.Connect("redis://" + r.redis.Addr())
		if err == nil {
			err = errors.Join(rdb.FlushAll(ctx).Err(), rdb.Close())
		}
		if err == nil {
			r.count("flush")
			r.note("flush")
		}
	}
}

// training is the job that a worker trains, and the process that does.
func (w *realWorker) training() (job string, pid int) {
	scratch, _ := filepath.Glob(filepath.Join(w.data, "work", "process-*", "job_*"))
	if len(scratch) == 0 {
		return "", 0
	}
	job, _, _ = strings.Cut(filepath.Base(scratch[len(scratch)-1]), "-")
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", w.pid()))
	for _, file := range tasks {
		data, err := os.ReadFile(file) //nolint:gosec // of /proc
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(data)) {
			if n, err := strconv.Atoi(field); err == nil {
				pid = n
			}
		}
	}
	return job, pid
}
