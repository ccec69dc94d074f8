package routes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning"
	"lorikeet/tuning/queue"
)

// jobs is the half of the tuning queue that HTTP needs.
type jobs interface {
	Submit(context.Context, tuning.Spec, queue.Inputs) (job tuning.Job, replayed bool, err error)
	SendingKey(context.Context, queue.Sending) (key string, err error)
	Get(ctx context.Context, id string) (tuning.Job, error)
	Tenant(ctx context.Context, id string) (string, error) // whose job it is
	Wait(ctx context.Context, id string, most time.Duration) (tuning.Job, error)
	List(context.Context, queue.Filter) (jobs []tuning.Job, more bool, err error)
	Cancel(ctx context.Context, id string) (tuning.Job, error)
	Delete(ctx context.Context, id string) error
	Missing(id string) error // for a job that is not there
	Pause(ctx context.Context, id string) (tuning.Job, error)
	Resume(ctx context.Context, id string) (tuning.Job, error)
	Events(ctx context.Context, id, after string, limit int) ([]tuning.Event, error) // limit 0: all
	Follow(ctx context.Context, id, after string) (<-chan tuning.Event, error)
	Checkpoints(ctx context.Context, id string) ([]queue.Checkpoint, error)
	Stats(context.Context) (queue.Stats, error)
}

// job is a tuning job. What was asked for is in spec, and its hyperparameters once
// more beside it.
type job struct {
	tuning.Job
	Hyperparameters *tuning.Hyperparameters `json:"hyperparameters,omitempty"`
} // @name Job

func jobOf(j tuning.Job) job { return job{Job: j, Hyperparameters: j.Spec.Hyperparameters} }

// tuningJobs answers /tune/jobs.
type tuningJobs struct {
	queue     jobs
	heartbeat time.Duration
}

// listJobsRequest asks for a page of jobs, the newest first.
type listJobsRequest struct {
	Status string `json:"-" query:"status"`
	paging
}

var statuses = []tuning.Status{tuning.Queued, tuning.Running, tuning.Paused, tuning.Succeeded, tuning.Failed, tuning.Cancelled}

// list shows jobs.
//
//	@Summary	List jobs
//	@Description	Lists tuning jobs, the newest first.
//	@ID			listJobs
//	@Tags		tuning
//	@Produce	json
//	@Param		status	query		string	false	"only jobs in this status"	Enums(queued, running, paused, succeeded, failed, cancelled)
//	@Param		limit	query		int		false	"jobs in a page"			minimum(1)	maximum(100)	default(20)
//	@Param		after	query		string	false	"last_id of the page before"
//	@Success	200		{object}	page[job]
//	@Failure		default	{object}	Problem
//	@Router		/tune/jobs [get]
func (t tuningJobs) list(ctx context.Context, in listJobsRequest) (page[job], error) {
	err := in.check()
	if in.Status != "" && !slices.Contains(statuses, tuning.Status(in.Status)) {
		err = errors.Join(err, invalid.Field("status", "%q is none of %v", brief(in.Status), statuses))
	}
	if err != nil {
		return page[job]{}, err
	}
	found, more, err := t.queue.List(ctx, queue.Filter{Status: tuning.Status(in.Status), Limit: in.Limit, After: in.After})
	if err != nil {
		return page[job]{}, err
	}
	views := make([]job, len(found))
	for i, j := range found {
		views[i] = jobOf(j)
	}
	return pageOf(views, more, func(j job) string { return j.ID }), nil
}

// jobRequest names a job.
type jobRequest struct {
	ID string `json:"-" path:"id"`
}

// getJobRequest names a job, and how long to wait for it to be over.
type getJobRequest struct {
	ID   string `json:"-" path:"id"`
	Wait int    `json:"-" query:"wait" default:"0"`
}

// longestWait is how long one request may wait for a job, in seconds.
const longestWait = 300

// get shows a job.
//
//	@Summary		Show a job
//	@Description	Shows a job. With wait, answers when the job is over or after so many seconds, whichever comes first.
//	@ID				getJob
//	@Tags			tuning
//	@Produce		json
//	@Param			id		path		string	true	"the job"
//	@Param			wait	query		int		false	"seconds to wait for the job to be over"	minimum(0)	maximum(300)	default(0)
//	@Success		200		{object}	job
//	@Failure		default	{object}	Problem
//	@Router			/tune/jobs/{id} [get]
func (t tuningJobs) get(ctx context.Context, in getJobRequest) (job, error) {
	if in.Wait < 0 || in.Wait > longestWait {
		return job{}, invalid.Field("wait", "must be from 0 to %d seconds, not %d", longestWait, in.Wait)
	}
	if in.Wait > 0 {
		j, err := t.queue.Wait(ctx, in.ID, time.Duration(in.Wait)*time.Second)
		if err == nil {
			return jobOf(j), nil
		}
		if context.Cause(ctx) != errDraining {
			return job{}, err
		}
		// The service stops: tell how the job stands now.
		ctx = context.WithoutCancel(ctx)
	}
	j, err := t.queue.Get(ctx, in.ID)
	return jobOf(j), err
}

// cancel ends a job.
//
//	@Summary		Cancel a job
//	@Description	Ends a job for good. 409 when it is over already.
//	@ID				cancelJob
//	@Tags			tuning
//	@Produce		json
//	@Param			id	path		string	true	"the job"
//	@Success		200	{object}	job
//	@Failure		default	{object}	Problem
//	@Router			/tune/jobs/{id}/cancel [post]
func (t tuningJobs) cancel(ctx context.Context, in jobRequest) (job, error) {
	j, err := t.queue.Cancel(ctx, in.ID)
	return jobOf(j), err
}

// remove deletes a job.
//
//	@Summary		Delete a job
//	@Description	Deletes a job that is over, with its events and checkpoints. What it trained stays, and an idempotency key that it had is not good for another. 409 when the job is not over: cancel it first.
//	@ID				deleteJob
//	@Tags			tuning
//	@Param			id	path	string	true	"the job"
//	@Success		204	"deleted"
//	@Failure		default	{object}	Problem
//	@Router			/tune/jobs/{id} [delete]
func (t tuningJobs) remove(ctx context.Context, in jobRequest) (none, error) {
	return none{}, t.queue.Delete(ctx, in.ID)
}

// pause stops a job for a while.
//
//	@Summary		Pause a job
//	@Description	Takes a job off its worker after a checkpoint, or off the queue, until it is resumed. 409 when it is over.
//	@ID				pauseJob
//	@Tags			tuning
//	@Produce		json
//	@Param			id	path		string	true	"the job"
//	@Success		200	{object}	job
//	@Failure		default	{object}	Problem
//	@Router			/tune/jobs/{id}/pause [post]
func (t tuningJobs) pause(ctx context.Context, in jobRequest) (job, error) {
	j, err := t.queue.Pause(ctx, in.ID)
	return jobOf(j), err
}

// resume lets a paused job go on.
//
//	@Summary		Resume a job
//	@Description	Puts a paused job back into the queue; it goes on from its last checkpoint. 409 when it is over.
//	@ID				resumeJob
//	@Tags			tuning
//	@Produce		json
//	@Param			id	path		string	true	"the job"
//	@Success		200	{object}	job
//	@Failure		default	{object}	Problem
//	@Router			/tune/jobs/{id}/resume [post]
func (t tuningJobs) resume(ctx context.Context, in jobRequest) (job, error) {
	j, err := t.queue.Resume(ctx, in.ID)
	return jobOf(j), err
}

// jobMetrics are the series of a job.
type jobMetrics struct {
	Steps       []tuning.StepData `json:"steps"`
	Evaluations []tuning.EvalData `json:"evaluations"`
} // @name JobCurves

// metrics collects the step and eval events of a job.
//
//	@Summary		Show the curves of a job
//	@Description	Gives the series of a job: loss, learning rate, gradient norm and speed at each step, and every evaluation.
//	@ID				jobMetrics
//	@Tags			tuning
//	@Produce		json
//	@Param			id	path		string	true	"the job"
//	@Success		200	{object}	jobMetrics
//	@Failure		default	{object}	Problem
//	@Router			/tune/jobs/{id}/metrics [get]
func (t tuningJobs) metrics(ctx context.Context, in jobRequest) (jobMetrics, error) {
	out := jobMetrics{Steps: []tuning.StepData{}, Evaluations: []tuning.EvalData{}}
	events, err := t.queue.Events(ctx, in.ID, "", 0)
	if err != nil {
		return jobMetrics{}, err
	}
	for _, e := range events {
		if err := out.add(e); err != nil {
			return jobMetrics{}, fmt.Errorf("job %s: event %s: %w", in.ID, e.ID, err)
		}
	}
	return out, nil
}

func (m *jobMetrics) add(e tuning.Event) error {
	switch e.Type {
	case "step":
		var d tuning.StepData
		if err := json.Unmarshal(e.Data, &d); err != nil {
			return err
		}
		m.Steps = append(m.Steps, d)
	case "eval":
		var d tuning.EvalData
		if err := json.Unmarshal(e.Data, &d); err != nil {
			return err
		}
		m.Evaluations = append(m.Evaluations, d)
	}
	return nil
}

// checkpoint is a point a job can go on from.
type checkpoint struct {
	Step      int                `json:"step" example:"120"`
	Attempt   int                `json:"attempt" example:"1"`
	Best      bool               `json:"best" example:"true"` // by the evaluation at this step
	Bytes     int64              `json:"bytes" example:"904112"`
	Metrics   map[string]float64 `json:"metrics,omitempty" example:"eval_loss:0.29"`
	CreatedAt time.Time          `json:"created_at"`
} // @name Checkpoint

// checkpoints lists what a job can go on from.
//
//	@Summary		List the checkpoints of a job
//	@Description	Lists the checkpoints that are kept of a job, the newest first: the last two, and the best by evaluation.
//	@ID				jobCheckpoints
//	@Tags			tuning
//	@Produce		json
//	@Param			id	path		string	true	"the job"
//	@Success		200	{object}	page[checkpoint]
//	@Failure		default	{object}	Problem
//	@Router			/tune/jobs/{id}/checkpoints [get]
func (t tuningJobs) checkpoints(ctx context.Context, in jobRequest) (page[checkpoint], error) {
	found, err := t.queue.Checkpoints(ctx, in.ID)
	if err != nil {
		return page[checkpoint]{}, err
	}
	views := make([]checkpoint, len(found))
	for i, c := range found {
		views[i] = checkpoint{Step: c.Step, Attempt: c.Attempt, Best: c.Best, Bytes: c.Bytes, Metrics: c.Metrics, CreatedAt: c.CreatedAt}
	}
	return pageOf(views, false, func(c checkpoint) string { return fmt.Sprint(c.Step) }), nil
}
