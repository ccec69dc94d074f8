package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"lorikeet/tuning"
)

// waits has a job wait for a worker that may take it after a delay.
func (m *model) waits(j *modelJob, delay, slack time.Duration) {
	j.status, j.from = tuning.Queued, time.Now().Add(delay)
	j.till = j.from.Add(slack)
	if time.Since(m.flushed) < m.lease/2 {
		// An idle worker may have met it before its own took its lease back, and left it
		// alone for the length of one.
		j.till, j.forgotten = later(j.till, m.flushed.Add(m.lease*3/2+2*slack)), j.orphan
	}
}

// move does one thing to the queue and to the model, and compares them.
func (m *model) move(mv move) error {
	m.count[mv.What]++
	began := time.Now()
	ctx := context.Background()
	slack := 3 * m.poll
	var j *modelJob
	var run *modelRun
	if len(m.jobs) > 0 {
		j = m.jobs[mv.Who%len(m.jobs)]
		m.mu.Lock()
		run = m.runs[j.id]
		m.mu.Unlock()
	}
	switch mv.What {
	case "submit":
		if len(m.jobs) == 6 {
			return nil
		}
		j := &modelJob{priority: mv.Who % 3}
		j.id = m.api.submit("imdb", func(s *tuning.Spec) { s.Priority = j.priority }).ID
		m.waits(j, 0, slack)
		m.jobs = append(m.jobs, j)
	case "heartbeat":
		time.Sleep(m.lease / 4)
	case "expire": // every lease of the dead, also one that Redis has forgotten
		time.Sleep(3 * m.lease)
	case "reconcile":
		if err := m.api.Reconcile(ctx); err != nil {
			return err
		}
	case "collect": // when all that is there is old
		over := 0
		for _, j := range m.jobs {
			m.age(m.t, j.id, 2*time.Hour)
			if j.status.Over() {
				over++
			}
		}
		c, err := m.api.Collect(ctx, func(string) bool { return true }, anAge)
		if err != nil || c.Jobs != over {
			return fmt.Errorf("%d jobs are deleted of %d that are over, %w", c.Jobs, over, err)
		}
		m.forget(func(j *modelJob) bool { return j.status.Over() })
	case "flush":
		m.redis.flush()
		m.flushed = time.Now()
		for _, j := range m.jobs {
			if j.status == tuning.Queued {
				j.till, j.forgotten = later(j.till, time.Now().Add(m.lease+2*slack)), j.orphan
			}
		}
	case "kill", "terminate":
		var alive []int
		for n, w := range m.workers {
			if w != nil {
				alive = append(alive, n)
			}
		}
		n := alive[mv.Who%len(alive)]
		w := m.workers[n]
		m.workers[n] = nil
		if mv.What == "kill" {
			w.kill()
		} else {
			w.stop()
		}
		for _, j := range m.jobs {
			if j.status != tuning.Running || j.worker != n {
				continue
			}
			if j.orphan = mv.What == "kill"; j.orphan {
				m.waits(j, m.lease*3/4-2*m.poll, 2*m.lease)
			} else {
				m.waits(j, 0, slack)
			}
		}
		m.hire()
	default:
		if j == nil {
			return nil
		}
		if err := m.ask(ctx, mv.What, j, run); err != nil {
			return err
		}
	}
	time.Sleep(2 * m.poll)
	return m.compare(began)
}

// forget moves the jobs to those that are deleted.
func (m *model) forget(deleted func(*modelJob) bool) {
	for _, j := range m.jobs {
		if deleted(j) {
			m.gone = append(m.gone, j)
		}
	}
	m.jobs = slices.DeleteFunc(m.jobs, deleted)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// ask does something to one job.
func (m *model) ask(ctx context.Context, what string, j *modelJob, run *modelRun) error {
	over, waiting := j.status.Over(), j.status == tuning.Queued
	var err, want error
	switch what {
	case "cancel":
		_, err = m.api.Cancel(ctx, j.id)
		if over {
			want = tuning.ErrOver
		} else {
			j.status = tuning.Cancelled
		}
	case "pause":
		_, err = m.api.Pause(ctx, j.id)
		if over {
			want = tuning.ErrOver
			break
		}
		j.asked, j.paused = true, true
		if !j.orphan {
			j.status = tuning.Paused
		}
	case "resume":
		_, err = m.api.Resume(ctx, j.id)
		switch {
		case over:
			want = tuning.ErrOver
		case !j.asked:
			want = tuning.ErrState
		case j.paused:
			j.paused = false
			if !waiting {
				m.waits(j, 0, 3*m.poll)
			}
		}
	case "delete":
		if err = m.api.Delete(ctx, j.id); over {
			m.forget(func(o *modelJob) bool { return o == j })
		} else {
			want = tuning.ErrState
		}
	default:
		if j.status == tuning.Running {
			m.train(what, j, run)
		}
	}
	if !errors.Is(err, want) {
		return fmt.Errorf("%s of a job that is %s: %v, want %v", what, j.status, err, want)
	}
	return nil
}

// train tells a trainer what to do.
func (m *model) train(what string, j *modelJob, run *modelRun) {
	last := &j.attempts[len(j.attempts)-1]
	if what == "step" || what == "checkpoint" {
		j.told = max(j.told, run.step+1)
	}
	run.orders <- order{what, j.told}
	switch what {
	case "checkpoint":
		last.fruitful = true
	case "finish":
		j.status = tuning.Succeeded
	case "refuse":
		j.status = tuning.Failed
	case "fail":
		last.blamed = true
		n := j.barren()
		if n >= 3 {
			j.status = tuning.Failed
			break
		}
		m.waits(j, m.poll<<max(n-1, 0), 3*m.poll)
	}
}

// compare looks at every job after a move that began then.
func (m *model) compare(then time.Time) error {
	var began []*modelJob
	idle := 2
	for _, j := range m.jobs {
		got, err := m.api.Get(context.Background(), j.id)
		if err != nil {
			return err
		}
		m.mu.Lock()
		run := m.runs[j.id]
		m.mu.Unlock()
		if run != nil && m.workers[run.worker] == nil {
			run = nil // of a dead worker
		}
		if run != nil {
			idle--
		}
		fresh, err := m.state(j, got, run)
		if err != nil {
			return fmt.Errorf("job %s: it is %s in attempt %d, the model %s after %d attempts (paused %v, orphan %v): %w",
				j.id, got.Status, got.Attempt, j.status, len(j.attempts), j.paused, j.orphan, err)
		}
		if fresh {
			began = append(began, j)
		}
	}
	for _, waiting := range m.jobs {
		if waiting.forgotten && idle > 0 {
			// To a worker it looks as if one that Redis has forgotten had it: it is left
			// alone for a lease from when it is met.
			waiting.forgotten, waiting.till = false, later(waiting.till, time.Now().Add(m.lease+2*m.poll))
		}
		if waiting.status != tuning.Queued || waiting.forgotten || time.Now().Before(waiting.till) {
			continue
		}
		if idle > 0 {
			return fmt.Errorf("job %s waits and %d workers are idle", waiting.id, idle)
		}
		for _, b := range began {
			if b.priority < waiting.priority && waiting.till.Before(then) {
				return fmt.Errorf("job %s of priority %d was taken before %s of priority %d", b.id, b.priority, waiting.id, waiting.priority)
			}
		}
	}
	return nil
}

// state compares one job, and lets the model follow where it may go either way.
func (m *model) state(j *modelJob, got tuning.Job, run *modelRun) (fresh bool, err error) {
	running := run != nil && run.attempt == got.Attempt && got.Status == tuning.Running
	same := got.Attempt == len(j.attempts)
	early := time.Now().Before(j.from)
	switch {
	case j.status == tuning.Running:
		if !same || !running {
			return false, errors.New("its attempt should still be made")
		}
		return false, nil
	case run != nil && !running:
		return false, errors.New("a trainer works on it")
	case j.status != tuning.Queued:
		if !same || got.Status != j.status {
			return false, errors.New("it is as it is")
		}
		return false, nil
	}
	if j.orphan && !(same && got.Status == tuning.Running && run == nil) {
		// Someone took it over.
		if early {
			return false, errors.New("its lease has not run out")
		}
		j.orphan = false
		j.attempts[len(j.attempts)-1].blamed = true
		switch {
		case j.barren() >= 3:
			j.status = tuning.Failed
		case j.paused:
			j.status = tuning.Paused
		}
		if j.status != tuning.Queued {
			return m.state(j, got, run)
		}
	}
	switch {
	case j.orphan && same, same && got.Status == tuning.Queued && run == nil:
		return false, nil
	case got.Attempt != len(j.attempts)+1 || !running || early || j.paused:
		return false, errors.New("that attempt has no reason")
	}
	j.status, j.worker = tuning.Running, run.worker
	j.attempts = append(j.attempts, modelAttempt{})
	return true, nil
}
