package routes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"lorikeet/tuning"
	"lorikeet/tuning/queue"
)

// openaiJobs answers /v1/fine_tuning/jobs.
type openaiJobs struct {
	openaiModels
	tune
	rows rows
}

// tuningJob is a job as OpenAI's clients read it. Its id is that of the other routes.
type tuningJob struct {
	ID              string              `json:"id" example:"job_k3v9q2mzt7xw5n4jhd6a"`
	Object          string              `json:"object" example:"fine_tuning.job" enums:"fine_tuning.job"`
	Model           string              `json:"model" example:"bert"`
	CreatedAt       int64               `json:"created_at" example:"1764288000"`
	FinishedAt      *int64              `json:"finished_at" example:"1764288600"`
	EstimatedFinish *int64              `json:"estimated_finish" example:"1764288590"`
	FineTunedModel  *string             `json:"fine_tuned_model" example:"imdb@3"` // what to name in model; null until it succeeded
	OrganizationID  string              `json:"organization_id" example:"default"` // the tenant
	Status          string              `json:"status" example:"running" enums:"queued,running,paused,succeeded,failed,cancelled"`
	Hyperparameters usedHyperparameters `json:"hyperparameters"`
	Method          usedMethod          `json:"method"`
	TrainingFile    string              `json:"training_file" example:"file-9f86d081884c7d659a2f"` // empty: rows that were no file
	ValidationFile  *string             `json:"validation_file" example:"file-2c26b46b68ffc68ff99b"`
	ResultFiles     []string            `json:"result_files" example:"file-results-k3v9q2mzt7xw5n4jhd6a"` // the table of its steps, once it is over
	TrainedTokens   *int                `json:"trained_tokens"`                                           // always null: they are not counted
	Error           *tuningFault        `json:"error"`
	Seed            int64               `json:"seed" example:"42"`
	Metadata        map[string]string   `json:"metadata" example:"team:search"`
	Integrations    []string            `json:"integrations"` // always empty
	Lorikeet        tuningMore          `json:"lorikeet"`
} // @name FineTuningJob

// tuningFault says why a job failed.
type tuningFault struct {
	Code    string  `json:"code" example:"attempts_exhausted"`
	Message string  `json:"message" example:"3 attempts made no progress"`
	Param   *string `json:"param"` // always null
} // @name FineTuningError

// usedHyperparameters are those that a job uses.
type usedHyperparameters struct {
	Epochs     float64 `json:"n_epochs" example:"3"`
	BatchSize  int     `json:"batch_size" example:"16"`
	Multiplier float64 `json:"learning_rate_multiplier" example:"1"` // of the default for the kind of job
} // @name UsedHyperparameters

type usedMethod struct {
	Type       string         `json:"type" example:"supervised" enums:"supervised"`
	Supervised usedSupervised `json:"supervised"`
} // @name UsedMethod

type usedSupervised struct {
	Hyperparameters usedHyperparameters `json:"hyperparameters"`
} // @name UsedSupervised

// tuningMore is what the other routes tell beside that.
type tuningMore struct {
	Kind          string             `json:"kind" example:"lora" enums:"full,lora,instruction"`
	Name          string             `json:"name" example:"imdb"`
	Phase         string             `json:"phase,omitempty" example:"training"`
	QueuePosition *int               `json:"queue_position,omitempty" example:"1"`
	Progress      *tuning.Progress   `json:"progress,omitempty"`
	Metrics       map[string]float64 `json:"metrics,omitempty" example:"eval_accuracy:0.9"`
} // @name FineTuningMore

func tuningJobOf(j tuning.Job) tuningJob {
	spec := j.Spec.WithDefaults()
	h := spec.Hyperparameters
	used := usedHyperparameters{Epochs: *h.Epochs, BatchSize: *h.BatchSize, Multiplier: *h.LearningRate / standardRate(spec)}
	out := tuningJob{ID: j.ID, Object: "fine_tuning.job", Model: j.Model, CreatedAt: j.CreatedAt.Unix(), OrganizationID: tenantName(spec.Tenant),
		Status: string(j.Status), Hyperparameters: used, Method: usedMethod{"supervised", usedSupervised{used}}, ResultFiles: []string{},
		Seed: *h.Seed, Metadata: map[string]string{}, Integrations: []string{},
		Lorikeet: tuningMore{Kind: string(j.Kind), Name: j.Name, Phase: j.Phase, QueuePosition: j.QueuePosition, Progress: j.Progress, Metrics: j.Metrics}}
	if spec.Dataset != nil && spec.Dataset.ID != "" {
		out.TrainingFile = fileID(spec.Dataset.ID)
	}
	if spec.Validation != nil && spec.Validation.ID != "" {
		out.ValidationFile = new(fileID(spec.Validation.ID))
	}
	for name, value := range spec.Metadata {
		if text, ok := value.(string); ok { // what the other routes were given may be anything
			out.Metadata[name] = text
		}
	}
	if j.FinishedAt != nil {
		out.FinishedAt = new(j.FinishedAt.Unix())
	}
	if p := j.Progress; j.Status == tuning.Running && p != nil && p.ETASeconds > 0 {
		out.EstimatedFinish = new(time.Now().Unix() + int64(p.ETASeconds))
	}
	if j.Result != nil {
		out.FineTunedModel = &j.Result.Adapter
	}
	if hasResults(j) {
		out.ResultFiles = []string{resultsID(j.ID)}
	}
	if j.Error != nil {
		out.Error = &tuningFault{Code: j.Error.Code, Message: j.Error.Message}
		if j.Error.Hint != "" {
			out.Error.Message += "; " + j.Error.Hint
		}
	}
	return out
}

// standardRate is the learning rate that a multiplier of 1 means.
func standardRate(s tuning.Spec) float64 {
	s.Hyperparameters = nil
	return *s.WithDefaults().Hyperparameters.LearningRate
}

// list shows jobs.
//
//	@Summary		List fine-tuning jobs (OpenAI)
//	@Description	Lists tuning jobs, the newest first, also those that other routes made.
//	@ID				openaiListJobs
//	@Tags			openai
//	@Produce		json
//	@Param			limit	query		int		false	"jobs in a page"	minimum(1)	maximum(100)	default(20)
//	@Param			after	query		string	false	"id of the last job of the page before"
//	@Success		200		{object}	listing[tuningJob]
//	@Failure		default	{object}	Problem
//	@Router			/v1/fine_tuning/jobs [get]
func (t openaiJobs) list(ctx context.Context, in paging) (listing[tuningJob], error) {
	if err := in.check(); err != nil {
		return listing[tuningJob]{}, err
	}
	found, more, err := t.jobs.List(ctx, queue.Filter{Limit: in.Limit, After: in.After})
	if err != nil {
		return listing[tuningJob]{}, err
	}
	views := make([]tuningJob, len(found))
	for i, j := range found {
		views[i] = tuningJobOf(j)
	}
	return listingOf(pageOf(views, more, func(j tuningJob) string { return j.ID })), nil
}

// tuningJobRequest names a job, and says how often the request was sent before.
type tuningJobRequest struct {
	ID    string `json:"-" path:"fine_tuning_job_id"`
	Again int    `json:"-" header:"X-Stainless-Retry-Count" default:"0"`
}

// get shows a job.
//
//	@Summary		Show a fine-tuning job (OpenAI)
//	@Description	Shows a tuning job.
//	@ID				openaiGetJob
//	@Tags			openai
//	@Produce		json
//	@Param			fine_tuning_job_id	path	string	true	"the job"
//	@Success		200		{object}	tuningJob
//	@Failure		default	{object}	Problem
//	@Router			/v1/fine_tuning/jobs/{fine_tuning_job_id} [get]
func (t openaiJobs) get(ctx context.Context, in jobIDRequest) (tuningJob, error) {
	j, err := t.jobs.Get(ctx, in.ID)
	return tuningJobOf(j), err
}

// jobIDRequest names a job.
type jobIDRequest struct {
	ID string `json:"-" path:"fine_tuning_job_id"`
}

// cancel ends a job.
//
//	@Summary		Cancel a fine-tuning job (OpenAI)
//	@Description	Ends a job for good. 409 when it is over already.
//	@ID				openaiCancelJob
//	@Tags			openai
//	@Produce		json
//	@Param			fine_tuning_job_id	path	string	true	"the job"
//	@Param			X-Stainless-Retry-Count	header	int	false	"how often an OpenAI client has sent this before: a job that is cancelled then is no conflict"	default(0)
//	@Success		200		{object}	tuningJob
//	@Failure		default	{object}	Problem
//	@Router			/v1/fine_tuning/jobs/{fine_tuning_job_id}/cancel [post]
func (t openaiJobs) cancel(ctx context.Context, in tuningJobRequest) (tuningJob, error) {
	j, err := t.jobs.Cancel(ctx, in.ID)
	if errors.Is(err, tuning.ErrOver) && j.Status == tuning.Cancelled && in.Again > 0 {
		err = nil // by the request whose answer was lost
	}
	return tuningJobOf(j), err
}

// pause stops a job for a while.
//
//	@Summary		Pause a fine-tuning job (OpenAI)
//	@Description	Takes a job off its worker after a checkpoint, or off the queue, until it is resumed. It is shown as running until then. 409 when it is over.
//	@ID				openaiPauseJob
//	@Tags			openai
//	@Produce		json
//	@Param			fine_tuning_job_id	path	string	true	"the job"
//	@Success		200		{object}	tuningJob
//	@Failure		default	{object}	Problem
//	@Router			/v1/fine_tuning/jobs/{fine_tuning_job_id}/pause [post]
func (t openaiJobs) pause(ctx context.Context, in jobIDRequest) (tuningJob, error) {
	j, err := t.jobs.Pause(ctx, in.ID)
	return tuningJobOf(j), err
}

// resume lets a paused job go on.
//
//	@Summary		Resume a fine-tuning job (OpenAI)
//	@Description	Puts a paused job back into the queue; it goes on from its last checkpoint. 409 when it is over.
//	@ID				openaiResumeJob
//	@Tags			openai
//	@Produce		json
//	@Param			fine_tuning_job_id	path	string	true	"the job"
//	@Success		200		{object}	tuningJob
//	@Failure		default	{object}	Problem
//	@Router			/v1/fine_tuning/jobs/{fine_tuning_job_id}/resume [post]
func (t openaiJobs) resume(ctx context.Context, in jobIDRequest) (tuningJob, error) {
	j, err := t.jobs.Resume(ctx, in.ID)
	return tuningJobOf(j), err
}

// jobPageRequest asks for a page of what belongs to a job.
type jobPageRequest struct {
	ID    string `json:"-" path:"fine_tuning_job_id"`
	Limit int    `json:"-" query:"limit" default:"20"`
	After string `json:"-" query:"after"`
}

func (in jobPageRequest) paging() (paging, error) {
	p := paging{Limit: in.Limit, After: in.After}
	return p, p.check()
}

// events shows the history of a job.
//
//	@Summary		List events of a fine-tuning job (OpenAI)
//	@Description	Lists what happened to a job, the newest first: steps and evaluations are of type metrics, all else of type message. GET /tune/jobs/{id}/events has them as a stream.
//	@ID				openaiListJobEvents
//	@Tags			openai
//	@Produce		json
//	@Param			fine_tuning_job_id	path	string	true	"the job"
//	@Param			limit	query		int		false	"events in a page"	minimum(1)	maximum(100)	default(20)
//	@Param			after	query		string	false	"id of the last event of the page before"
//	@Success		200		{object}	listing[tuningEvent]
//	@Failure		default	{object}	Problem
//	@Router			/v1/fine_tuning/jobs/{fine_tuning_job_id}/events [get]
func (t openaiJobs) events(ctx context.Context, in jobPageRequest) (listing[tuningEvent], error) {
	want, err := in.paging()
	if err != nil {
		return listing[tuningEvent]{}, err
	}
	found, err := t.jobs.Events(ctx, in.ID, "", 0)
	if err != nil {
		return listing[tuningEvent]{}, err
	}
	slices.Reverse(found)
	want.After = strings.TrimPrefix(want.After, eventPrefix)
	p, err := cut(found, want, func(e tuning.Event) string { return e.ID }, beforeEvent)
	if err != nil {
		return listing[tuningEvent]{}, err
	}
	views := make([]tuningEvent, len(p.Data))
	for i, e := range p.Data {
		if views[i], err = eventOf(e); err != nil {
			return listing[tuningEvent]{}, fmt.Errorf("job %s: event %s: %w", in.ID, e.ID, err)
		}
	}
	return listingOf(pageOf(views, p.HasMore, func(e tuningEvent) string { return e.ID })), nil
}

// beforeEvent tells which events of a list with the newest first come after one: their ids
// tell.
func beforeEvent(after string) (func(tuning.Event) bool, bool) {
	_, known := queue.EventBefore(after, after)
	return func(e tuning.Event) bool {
		before, _ := queue.EventBefore(e.ID, after)
		return before
	}, known
}

// tuningCheckpoint is a point a job can go on from.
type tuningCheckpoint struct {
	ID        string             `json:"id" example:"ftckpt-k3v9q2mzt7xw5n4jhd6a-120"`
	Object    string             `json:"object" example:"fine_tuning.job.checkpoint" enums:"fine_tuning.job.checkpoint"`
	CreatedAt int64              `json:"created_at" example:"1764288000"`
	Model     string             `json:"fine_tuned_model_checkpoint" example:""` // empty: a job goes on from a checkpoint, which cannot be asked like a model
	Job       string             `json:"fine_tuning_job_id" example:"job_k3v9q2mzt7xw5n4jhd6a"`
	Metrics   map[string]float64 `json:"metrics" example:"step:120,train_loss:0.31,valid_loss:0.29"`
	Step      int                `json:"step_number" example:"120"`
} // @name FineTuningCheckpoint

// checkpoints lists what a job can go on from.
//
//	@Summary		List checkpoints of a fine-tuning job (OpenAI)
//	@Description	Lists the checkpoints that are kept of a job, the newest first. A paused or lost job goes on from the newest; they are not models that can be asked.
//	@ID				openaiListJobCheckpoints
//	@Tags			openai
//	@Produce		json
//	@Param			fine_tuning_job_id	path	string	true	"the job"
//	@Param			limit	query		int		false	"checkpoints in a page"	minimum(1)	maximum(100)	default(10)
//	@Param			after	query		string	false	"id of the last checkpoint of the page before"
//	@Success		200		{object}	listing[tuningCheckpoint]
//	@Failure		default	{object}	Problem
//	@Router			/v1/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints [get]
func (t openaiJobs) checkpoints(ctx context.Context, in checkpointPageRequest) (listing[tuningCheckpoint], error) {
	want, err := jobPageRequest(in).paging()
	if err != nil {
		return listing[tuningCheckpoint]{}, err
	}
	found, err := t.jobs.Checkpoints(ctx, in.ID)
	if err != nil {
		return listing[tuningCheckpoint]{}, err
	}
	views := make([]tuningCheckpoint, len(found))
	for i, c := range found {
		views[i] = tuningCheckpoint{ID: checkpointID(in.ID, strconv.Itoa(c.Step)), Object: "fine_tuning.job.checkpoint",
			CreatedAt: c.CreatedAt.Unix(), Job: in.ID, Step: c.Step, Metrics: map[string]float64{"step": float64(c.Step)}}
		if c.Progress != nil {
			views[i].Metrics["train_loss"] = c.Progress.Loss
		}
		for name, x := range c.Metrics {
			views[i].Metrics[validName(name)] = x
		}
	}
	p, err := cut(views, want, func(c tuningCheckpoint) string { return c.ID }, func(after string) (func(tuningCheckpoint) bool, bool) {
		// While a job runs only its last checkpoints are kept.
		step, err := strconv.Atoi(strings.TrimPrefix(after, checkpointID(in.ID, "")))
		return func(c tuningCheckpoint) bool { return c.Step < step }, err == nil
	})
	return listingOf(p), err
}

func checkpointID(job, step string) string {
	return "ftckpt-" + strings.TrimPrefix(job, "job_") + "-" + step
}

// checkpointPageRequest is a jobPageRequest with the shorter pages of OpenAI's API.
type checkpointPageRequest struct {
	ID    string `json:"-" path:"fine_tuning_job_id"`
	Limit int    `json:"-" query:"limit" default:"10"`
	After string `json:"-" query:"after"`
}

// createdJob is a job that was taken in.
type createdJob struct {
	tuningJob
	replayed bool
}

func (c createdJob) unchanged() bool { return c.replayed }

func (c createdJob) header(h http.Header) int {
	if c.replayed {
		h.Set("Idempotency-Replayed", "true")
	}
	return 0
}
