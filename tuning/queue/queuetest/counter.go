// Package queuetest is what the tests of the queue and the chaos runner share: a
// training that proves how it was run, the check of a job's history, and a Redis that
// can be harmed. It knows nothing of the queue itself.
package queuetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"lorikeet/tuning"
)

// Counter stands for a training. Each step hashes the state, which begins with the job's
// id, so that the result says whether every step was run once and in order, whatever
// happened to the attempts. It sleeps, and burns nothing.
type Counter struct {
	Steps int
	Every int           // steps between checkpoints; 0: none
	Step  time.Duration // how long one takes
	// Before is called before each step and may fail it; nil: nothing.
	Before func(ctx context.Context, task tuning.Task, step int) error
	Deaf   bool // it does not listen to Stop
}

// Answer is what an undisturbed run of a job gives.
func (c Counter) Answer(job string) string {
	state := job
	for step := 1; step <= c.Steps; step++ {
		state = advance(state, step)
	}
	return state
}

func advance(state string, step int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", state, step))
	return hex.EncodeToString(sum[:])
}

// saved is a checkpoint.
type saved struct {
	Step  int
	State string
}

// Train is a [tuning.Trainer].
func (c Counter) Train(ctx context.Context, task tuning.Task, r tuning.Reporter) (tuning.Outcome, error) {
	at := saved{State: task.Job}
	if task.Resume != "" {
		data, err := os.ReadFile(filepath.Join(task.Resume, "state"))
		if err != nil {
			return tuning.Outcome{}, err
		}
		if err := json.Unmarshal(data, &at); err != nil {
			return tuning.Outcome{}, err
		}
	}
	checkpoint := func() error {
		data, err := json.Marshal(at)
		if err != nil {
			return err
		}
		file := filepath.Join(task.Dir, "state")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			return err
		}
		return r.Checkpoint(ctx, at.Step, map[string]string{"state": file})
	}
	r.Phase("training")
	for at.Step < c.Steps {
		stop := r.Stop()
		if c.Deaf {
			stop = nil
		}
		select {
		case <-stop:
			if err := checkpoint(); err != nil {
				return tuning.Outcome{}, err
			}
			return tuning.Outcome{}, tuning.ErrStopped
		case <-ctx.Done():
			return tuning.Outcome{}, context.Cause(ctx)
		case <-time.After(c.Step):
		}
		if c.Before != nil {
			if err := c.Before(ctx, task, at.Step+1); err != nil {
				return tuning.Outcome{}, err
			}
		}
		at.Step++
		at.State = advance(at.State, at.Step)
		r.Event("step", tuning.StepData{Step: at.Step, TotalSteps: c.Steps, Loss: 1 / float64(at.Step)})
		if c.Every > 0 && at.Step%c.Every == 0 && at.Step < c.Steps {
			r.Event("eval", tuning.EvalData{Step: at.Step, Metrics: map[string]float64{"eval_loss": 1 / float64(at.Step)}, Best: at.Step == 2*c.Every})
			if err := checkpoint(); err != nil {
				return tuning.Outcome{}, err
			}
		}
	}
	out := filepath.Join(task.Dir, "adapter")
	if err := os.WriteFile(out, []byte(at.State), 0o600); err != nil {
		return tuning.Outcome{}, err
	}
	return tuning.Outcome{Files: map[string]string{"adapter": out}, Steps: at.Step, Metrics: map[string]float64{"eval_accuracy": 0.9}}, nil
}
