//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"time"
)

// stopping is what happened when the service was stopped under load.
type stopping struct {
	Load     tally   `json:"load"`             // before, during and after
	NotReady float64 `json:"not_ready_ms"`     // from SIGTERM until /readyz said 503
	Closed   float64 `json:"closed_ms"`        // until nobody listened
	Exit     float64 `json:"exit_seconds"`     // until the process had ended
	Code     int     `json:"exit_code"`        //
	Step     int     `json:"step_at_stop"`     // of the job
	Resumed  int     `json:"resumed_at_step"`  // the first one after the restart
	Steps    int     `json:"steps"`            // that the job has in all
	Attempts int     `json:"attempts"`         // at it
	Status   string  `json:"job_status"`       // in the end
	Ready    float64 `json:"restart_seconds"`  // until it was ready again
	Job      float64 `json:"job_done_seconds"` // after that
}

func (s stopping) print(w io.Writer) {
	fmt.Fprintf(w, "SIGTERM under load: %v\n", s.Load)
	fmt.Fprintf(w, "  not ready after %.0f ms, nobody listens after %.0f ms, ended after %.1f s with status %d\n", s.NotReady, s.Closed, s.Exit, s.Code)
	fmt.Fprintf(w, "  the job was at step %d of %d; started again, it went on with step %d and ended %s in attempt %d\n", s.Step, s.Steps, s.Resumed, s.Status, s.Attempts)
}

// job is what is read of a tuning job.
type job struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Attempt  int    `json:"attempt"`
	Progress struct {
		Step  int `json:"step"`
		Total int `json:"total_steps"`
	} `json:"progress"`
	Error struct {
		Message string `json:"message"`
	} `json:"error"`
}

// stopUnderLoad sends SIGTERM in the middle of load and looks at what comes of the
// requests, and of a job.
func (s *site) stopUnderLoad(ctx context.Context, o loadOptions, r *load, p *process, names []string, rate int, draw func(uint64) *rand.Rand) error {
	id, err := submit(ctx, p, o.steps)
	if err != nil {
		return err
	}
	var j job
	for begin := time.Now(); j.Progress.Step < o.steps/10; time.Sleep(50 * time.Millisecond) {
		if j, err = p.job(ctx, id); err != nil {
			return err
		}
		if j.Status == "failed" || time.Since(begin) > 3*time.Minute {
			return fmt.Errorf("the job does not get on: %+v", j)
		}
	}
	s.c.say("the job is at step %d of %d; load begins, SIGTERM follows", j.Progress.Step, o.steps)
	l := newLedger(4096)
	loading, stopLoad := context.WithCancel(ctx)
	defer stopLoad()
	done := make(chan tally, 1)
	go func() {
		done <- attack(loading, mix(p, draw(5), names, o.streams), l, rate, o.clients, time.Minute)
	}()
	time.Sleep(min(3*time.Second, o.duration/3))
	if j, err = p.job(ctx, id); err != nil {
		return err
	}
	st := &r.Stop
	st.Step = j.Progress.Step
	if j.Status != "running" {
		return fmt.Errorf("the job is %s at the time of the SIGTERM; give it more --steps", j.Status)
	}
	begin := time.Now()
	probed := make(chan struct{})
	go func() { defer close(probed); st.probe(ctx, p, begin) }()
	took, err := p.stop(stopWithin)
	st.Exit = took.Seconds()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		st.Code = exit.ExitCode()
	}
	if err != nil {
		r.violation("SIGTERM: %v", err)
	}
	<-probed
	time.Sleep(200 * time.Millisecond) // requests that find nobody
	stopLoad()
	st.Load = <-done
	if t := st.Load; t.Dropped+t.Strange > 0 {
		r.violation("when the service was stopped: %v", t)
		r.Violations = append(r.Violations, l.told...)
	}
	if o.delay > 0 && (st.NotReady < 0 || st.NotReady >= st.Closed) {
		r.violation("the service was not ready after %.0f ms, and nobody listened after %.0f ms: readiness must go first", st.NotReady, st.Closed)
	}
	s.c.say("stopped after %.1f s; %v", st.Exit, st.Load)
	return s.goOn(ctx, o, r, id)
}

// probe asks a service that stops whether it is ready, until nobody listens.
func (st *stopping) probe(ctx context.Context, p *process, begin time.Time) {
	st.NotReady = -1
	for ctx.Err() == nil && time.Since(begin) < stopWithin {
		switch p.get("/readyz") {
		case http.StatusServiceUnavailable:
			if st.NotReady < 0 {
				st.NotReady = milliseconds(time.Since(begin))
			}
		case 0:
			st.Closed = milliseconds(time.Since(begin))
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// goOn starts the service again and waits for the job.
func (s *site) goOn(ctx context.Context, o loadOptions, r *load, id string) error {
	st := &r.Stop
	start := time.Now()
	p, err := s.service(ctx, o)
	if err != nil {
		return err
	}
	st.Ready = time.Since(start).Seconds()
	start = time.Now()
	var j job
	for j.Status != "succeeded" {
		if j, err = p.job(ctx, id); err != nil {
			return err
		}
		if j.Status == "failed" || j.Status == "cancelled" || time.Since(start) > 4*time.Minute {
			r.violation("after the restart the job does not end: %+v", j)
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	st.Job, st.Status, st.Attempts = time.Since(start).Seconds(), j.Status, j.Attempt
	steps, err := p.steps(ctx, id)
	if err != nil {
		return err
	}
	st.Steps = len(steps)
	last := 0
	for i, step := range steps {
		if step.N != i+1 {
			r.violation("event %d of the job is step %d", i+1, step.N)
			break
		}
		if step.Attempt > last && last > 0 && st.Resumed == 0 {
			st.Resumed = step.N
		}
		last = step.Attempt
	}
	if len(steps) != o.steps {
		r.violation("the job has %d steps, want %d", len(steps), o.steps)
	}
	_, err = p.stop(stopWithin)
	return err
}

// submit tunes an adapter on rows that are sent along.
func submit(ctx context.Context, p *process, steps int) (string, error) {
	var rows []map[string]string
	for i := range 64 {
		word, label := "awful", "negative"
		if i%2 == 0 {
			word, label = "great", "positive"
		}
		rows = append(rows, map[string]string{"text": fmt.Sprintf("The %s number %d was %s.", []string{"film", "soup", "phone"}[i%3], i, word), "label": label})
	}
	r, err := call(ctx, scrapes, http.MethodPost, p.url+"/tune/lora", map[string]any{"model": "bert", "name": "tuned", "dataset": map[string]any{"rows": rows},
		"hyperparameters": map[string]any{"max_steps": steps, "batch_size": 4}})
	if err != nil {
		return "", err
	}
	if r.status != http.StatusAccepted {
		return "", refused{r}
	}
	var j job
	err = json.Unmarshal(r.body, &j)
	return j.ID, err
}

func (p *process) job(ctx context.Context, id string) (job, error) {
	var j job
	r, err := call(ctx, scrapes, http.MethodGet, p.url+"/tune/jobs/"+id, nil)
	if err == nil && r.status != http.StatusOK {
		err = refused{r}
	}
	if err != nil {
		return j, err
	}
	return j, json.Unmarshal(r.body, &j)
}

// step is one that the job reported.
type step struct{ N, Attempt int }

// steps lists the steps that a job reported, in order, with the attempt that made each.
func (p *process) steps(ctx context.Context, id string) ([]step, error) {
	var all []step
	attempt, after := 0, ""
	for {
		r, err := call(ctx, scrapes, http.MethodGet, p.url+"/tune/jobs/"+id+"/events?limit=1000&after="+after, nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Data []struct {
				Type string `json:"type"`
				Data struct {
					Step    int    `json:"step"`
					Status  string `json:"status"`
					Attempt int    `json:"attempt"`
				} `json:"data"`
			} `json:"data"`
			More bool   `json:"has_more"`
			Last string `json:"last_id"`
		}
		if err := json.Unmarshal(r.body, &page); err != nil || r.status != http.StatusOK {
			return nil, errors.Join(err, refused{r})
		}
		for _, e := range page.Data {
			attempt = max(attempt, e.Data.Attempt)
			if e.Type == "step" {
				all = append(all, step{e.Data.Step, attempt})
			}
		}
		if !page.More {
			return all, nil
		}
		after = page.Last
	}
}
