package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning"
	"lorikeet/tuning/queue/queuetest"
)

// move is one thing that happens; who says to which job or worker.
type move struct {
	What string
	Who  int
}

// What may happen, the frequent more often.
var moves = []string{"submit", "submit", "submit", "step", "checkpoint", "checkpoint", "finish", "fail", "refuse", "kill", "terminate",
	"expire", "heartbeat", "flush", "reconcile", "cancel", "pause", "pause", "resume", "resume", "delete", "delete", "collect"}

// Whatever happens in whatever order, the queue does what a simple model of it does: each
// job is at every moment in the state it should be in, idle workers have work when there is
// some, that of the highest priority, and no attempt is made that the model does not know
// a reason for. The clock is fake, so that "within a lease" is exact; rapid makes what
// fails as short as it can.
func TestTheQueueDoesWhatItsModelDoes(t *testing.T) {
	if testing.Short() {
		t.Skip("many runs")
	}
	t.Parallel()
	count := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) move {
			return move{rapid.SampledFrom(moves).Draw(t, "what"), rapid.IntRange(0, 11).Draw(t, "who")}
		}), 25, 80).Draw(rt, "moves")
		var err error
		t.Run("run", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { err = newModel(t, count).play(list) })
		})
		if err != nil {
			rt.Fatal(err)
		}
	})
	t.Log(count)
}

// model is what should be true, and the site where it is compared with what is.
type model struct {
	*site
	api     *process
	workers []*process // nil: dead
	jobs    []*modelJob
	gone    []*modelJob // deleted
	flushed time.Time
	count   map[string]int

	mu   sync.Mutex
	runs map[string]*modelRun // by job: the trainers that live
}

type modelJob struct {
	id       string
	priority int
	status   tuning.Status // queued also means: waiting for its dead worker's lease
	asked    bool          // to pause, ever
	paused   bool
	worker   int

	orphan    bool // the newest attempt's worker is dead
	forgotten bool // and Redis has lost its lease

	attempts []modelAttempt
	told     int // the highest step that was told

	from, till time.Time // when an idle worker may take it, and by when it has
}

type modelAttempt struct{ fruitful, blamed bool }

// barren counts the attempts since the last that came further.
func (j *modelJob) barren() (n int) {
	for i := len(j.attempts) - 1; i >= 0 && !j.attempts[i].fruitful; i-- {
		if j.attempts[i].blamed {
			n++
		}
	}
	return n
}

// modelRun is a trainer that does what it is told.
type modelRun struct {
	worker, attempt, step int
	orders                chan order
}

// order is what a trainer is to do; it does not finish before step least.
type order struct {
	what  string
	least int
}

func newModel(t *testing.T, count map[string]int) *model {
	m := &model{site: fakeSite(t), count: count, runs: map[string]*modelRun{}}
	m.api = m.open(true, func(o *Options) { o.Keep = time.Hour })
	for range 2 {
		m.hire()
	}
	time.Sleep(2 * m.poll)
	return m
}

func (m *model) hire() {
	p, n := m.open(true), len(m.workers)
	w, err := NewWorker(p.Queue, WorkerOptions{Trainer: m.trains(p, n), Dir: filepath.Join(m.dir, "scratch"), Grace: m.lease})
	must(m.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	old := p.cancel
	p.cancel = func() { cancel(); old() }
	p.wg.Go(func() { _ = w.Run(ctx) })
	m.workers = append(m.workers, p)
}

func (m *model) trains(p *process, n int) tuning.Trainer {
	return func(ctx context.Context, task tuning.Task, r tuning.Reporter) (tuning.Outcome, error) {
		run := &modelRun{worker: n, attempt: task.Attempt, orders: make(chan order)}
		if task.Resume != "" {
			data, err := os.ReadFile(filepath.Join(task.Resume, "state"))
			if err != nil {
				return tuning.Outcome{}, err
			}
			if run.step, err = strconv.Atoi(string(data)); err != nil {
				return tuning.Outcome{}, err
			}
		}
		m.mu.Lock()
		m.runs[task.Job] = run
		m.mu.Unlock()
		defer func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.runs[task.Job] == run {
				delete(m.runs, task.Job)
			}
		}()
		for {
			var o order
			select {
			case <-r.Stop():
				return tuning.Outcome{}, tuning.ErrStopped
			case <-ctx.Done():
				return tuning.Outcome{}, context.Cause(ctx)
			case o = <-run.orders:
			}
			file := filepath.Join(task.Dir, "state")
			switch o.what {
			case "fail":
				return tuning.Outcome{}, errors.New("a loose cable")
			case "refuse":
				return tuning.Outcome{}, invalid.Field("rows", "teach nothing")
			case "finish":
				for run.step < o.least {
					run.step++
					r.Event("step", tuning.StepData{Step: run.step})
				}
				err := os.WriteFile(file, []byte(task.Job), 0o600)
				return tuning.Outcome{Files: map[string]string{"adapter": file}, Steps: run.step}, err
			}
			run.step++
			r.Event("step", tuning.StepData{Step: run.step})
			if o.what == "checkpoint" {
				if err := os.WriteFile(file, fmt.Append(nil, run.step), 0o600); err != nil {
					return tuning.Outcome{}, err
				}
				if err := r.Checkpoint(ctx, run.step, map[string]string{"state": file}); err != nil {
					return tuning.Outcome{}, err
				}
			}
		}
	}
}

// play makes the moves, then lets every job end.
func (m *model) play(list []move) error {
	defer func() {
		for _, w := range m.workers {
			if w != nil {
				w.stop()
			}
		}
	}()
	for i, mv := range list {
		if err := m.move(mv); err != nil {
			return fmt.Errorf("after move %d, %+v: %w", i, mv, err)
		}
	}
	for i := 0; ; i++ {
		open := false
		for n, j := range m.jobs {
			if !j.status.Over() {
				open = true
				if err := m.move(move{map[bool]string{true: "resume", false: "finish"}[j.paused], n}); err != nil {
					return fmt.Errorf("when all is to end: %w", err)
				}
			}
		}
		if !open {
			break
		}
		if i > 100 {
			return errors.New("jobs do not end")
		}
		if err := m.move(move{What: "heartbeat"}); err != nil {
			return fmt.Errorf("when all is to end: %w", err)
		}
	}
	for _, j := range slices.Concat(m.jobs, m.gone) {
		if n := m.called[j.id]; (n == 1) != (j.status == tuning.Succeeded) {
			return fmt.Errorf("job %s is %s and was registered %d times", j.id, j.status, n)
		}
		if slices.Contains(m.gone, j) {
			if _, err := m.api.Get(context.Background(), j.id); !errors.Is(err, tuning.ErrNotFound) {
				return fmt.Errorf("job %s is deleted: %w", j.id, err)
			}
			continue
		}
		if j.status != tuning.Succeeded {
			continue
		}
		events, err := m.api.Events(context.Background(), j.id, "", 0)
		if err == nil {
			err = queuetest.CheckHistory(events, j.told)
		}
		if err != nil {
			return fmt.Errorf("job %s: %w", j.id, err)
		}
	}
	return nil
}
