package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"lorikeet/tuning"
)

// follow gives the events of a job until it is over. When the connection breaks it goes on
// after the last event that came, for as long as ctx lasts; what the service refuses ends
// it. It returns the job as it ended.
func follow(ctx context.Context, c *client, id string, each func(event) error) (tuning.Job, json.RawMessage, error) {
	var last string
	pause := time.Second / 2
	for {
		over, err := followOnce(ctx, c, id, &last, each)
		var p *Problem
		switch {
		case ctx.Err() != nil:
			return tuning.Job{}, nil, ctx.Err()
		case err != nil && errors.As(err, &p) && p.Status < 500 && p.Status != http.StatusTooManyRequests:
			return tuning.Job{}, nil, err
		case errors.Is(err, errStop):
			return tuning.Job{}, nil, err
		case err == nil:
			pause = time.Second / 2
			var j tuning.Job
			text, err := c.get(ctx, path("tune", "jobs", id), nil, &j)
			if err == nil && j.Status.Over() {
				return j, text, nil
			}
			if over && err == nil {
				return j, text, fmt.Errorf("job %s: its events say that it is over, its status is %s", id, j.Status)
			}
		}
		select {
		case <-ctx.Done():
			return tuning.Job{}, nil, ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, 10*time.Second)
	}
}

// errStop is what each says when it cannot go on.
var errStop = errors.New("stopped")

// followOnce reads one connection's events.
func followOnce(ctx context.Context, c *client, id string, last *string, each func(event) error) (over bool, err error) {
	r := request{method: get, path: path("tune", "jobs", id, "events"), accept: "text/event-stream", header: map[string]string{}}
	if *last != "" {
		r.header["Last-Event-ID"] = *last
	}
	res, err := c.send(ctx, r)
	if err != nil {
		return false, err
	}
	defer func() { _ = res.Body.Close() }() // read only
	if res.StatusCode == http.StatusNoContent {
		return true, nil
	}
	for e, err := range events(res.Body) {
		if err != nil {
			return false, err
		}
		if e.ID != "" {
			*last = e.ID
		}
		if err := each(e); err != nil {
			return false, fmt.Errorf("%w: %w", errStop, err)
		}
	}
	return false, nil
}

// waitFor follows a job with a bar, prints how it ended, and returns an error with the
// status jobFailed when it did not succeed.
func (a *app) waitFor(ctx context.Context, c *client, out io.Writer, b *bar, id string) error {
	j, text, err := follow(ctx, c, id, func(e event) error { return tell(b, e) })
	b.done()
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return fmt.Errorf("no longer watched; the job goes on: service jobs wait %s", id)
		}
		return err
	}
	if a.json {
		err = answer(out, text)
	} else if j.Status == tuning.Succeeded {
		err = facts(out, "registered", registered(j), "gate", verdict(j.Result), "metrics", bestMetrics(j.Metrics))
	}
	if j.Status != tuning.Succeeded {
		return errors.Join(err, coded{unsuccessful(j), jobFailed})
	}
	return err
}

func unsuccessful(j tuning.Job) error {
	if j.Error == nil {
		return fmt.Errorf("job %s: %s", j.ID, j.Status)
	}
	return fmt.Errorf("job %s: %s: %s", j.ID, j.Status, clean(strings.Join([]string{j.Error.Message, j.Error.Hint}, "\n")))
}

func registered(j tuning.Job) string {
	if j.Result == nil {
		return ""
	}
	return j.Result.Adapter
}

// tell shows one event.
func tell(b *bar, e event) error {
	switch e.Name {
	case "step":
		var d tuning.StepData
		if err := json.Unmarshal([]byte(e.Data), &d); err != nil {
			return fmt.Errorf("event %s: %w", e.ID, err)
		}
		share := 0.0
		if d.TotalSteps > 0 {
			share = float64(d.Step) / float64(d.TotalSteps)
		}
		b.draw(share, fmt.Sprintf("step %d of %d, loss %s, %s rows/s", d.Step, d.TotalSteps, figure(d.Loss), figure(d.SamplesPerSecond)))
	case "eval":
		var d tuning.EvalData
		if err := json.Unmarshal([]byte(e.Data), &d); err != nil {
			return fmt.Errorf("event %s: %w", e.ID, err)
		}
		b.note("step %d: %s", d.Step, bestMetrics(d.Metrics))
	case "status":
		var d struct{ Status, Phase, Message string }
		if err := json.Unmarshal([]byte(e.Data), &d); err != nil {
			return fmt.Errorf("event %s: %w", e.ID, err)
		}
		line := d.Status
		for _, more := range []string{d.Phase, d.Message} {
			if more != "" {
				line += ", " + more
			}
		}
		b.note("%s", line)
	}
	return nil
}
