// Package tuning says what a fine-tune is. A Spec is what a user asks for, a Job
// is what became of it, and a Task is one attempt at it. The sub-packages do the
// work: data reads the rows, queue hands jobs to workers and loses none, train is
// the one loop that trains, metrics scores the result.
package tuning

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"lorikeet/adapters"
)

// Kind of fine-tune; the last element of the path /tune/{kind}.
type Kind string

// The kinds there are.
const (
	Full        Kind = "full"
	LoRA        Kind = "lora"
	Instruction Kind = "instruction"
)

// Kinds are all of them.
var Kinds = []Kind{Full, LoRA, Instruction}

// Spec is the body of POST /tune/{kind}, defaults filled in by [Spec.Normalize].
type Spec struct {
	Kind            Kind             `json:"kind"`
	Model           string           `json:"model"`
	Name            string           `json:"name"`
	Dataset         *Source          `json:"dataset"`
	Validation      *Source          `json:"validation,omitempty"`
	Method          string           `json:"method,omitempty"`      // lora | full, of an instruction tune
	Template        string           `json:"template,omitempty"`    // how instructions become prompts; empty: the base's own
	SourceLang      string           `json:"source_lang,omitempty"` // "English": a T5 is told "translate English to …: "
	TargetLang      string           `json:"target_lang,omitempty"`
	Hyperparameters *Hyperparameters `json:"hyperparameters,omitempty"`
	LoRA            *LoRAOptions     `json:"lora,omitempty"`
	EarlyStopping   *EarlyStopping   `json:"early_stopping,omitempty"`
	Evaluate        *Evaluate        `json:"evaluate,omitempty"`
	Promote         *Promote         `json:"promote,omitempty"`
	CheckpointEvery int              `json:"checkpoint_every_steps,omitempty"`
	IdempotencyKey  string           `json:"idempotency_key,omitempty"`
	Priority        int              `json:"priority,omitempty"`
	Class           string           `json:"class,omitempty"`
	Metadata        map[string]any   `json:"metadata,omitempty"`
	Tenant          string           `json:"tenant,omitempty"` // whose job it is; no caller sets it, it is the key's. Empty: the default tenant
}

// Hyperparameters of the loop. Pointers tell "absent" from zero.
type Hyperparameters struct {
	Epochs               *float64 `json:"epochs,omitempty"`
	MaxSteps             *int     `json:"max_steps,omitempty"` // 0: as many as the epochs need
	BatchSize            *int     `json:"batch_size,omitempty"`
	GradientAccumulation *int     `json:"gradient_accumulation,omitempty"`
	LearningRate         *float64 `json:"learning_rate,omitempty"`
	WeightDecay          *float64 `json:"weight_decay,omitempty"`
	WarmupRatio          *float64 `json:"warmup_ratio,omitempty"`
	Schedule             *string  `json:"schedule,omitempty"` // linear | cosine | constant
	MaxGradNorm          *float64 `json:"max_grad_norm,omitempty"`
	MaxLength            *int     `json:"max_length,omitempty"`
	MaxTargetLength      *int     `json:"max_target_length,omitempty"` // of what an encoder-decoder writes
	Dropout              *float64 `json:"dropout,omitempty"`           // nil: as the base's config.json says
	Seed                 *int64   `json:"seed,omitempty"`
	Shuffle              *bool    `json:"shuffle,omitempty"`
}

// LoRAOptions carry the names and meanings of PEFT's LoraConfig.
type LoRAOptions struct {
	R             *int            `json:"r,omitempty"`
	Alpha         *float64        `json:"alpha,omitempty"`
	Dropout       *float64        `json:"dropout,omitempty"`
	TargetModules json.RawMessage `json:"target_modules,omitempty"` // list of names, one regular expression, or "all-linear"
	UseRSLoRA     *bool           `json:"use_rslora,omitempty"`
	ModulesToSave []string        `json:"modules_to_save,omitempty"`
}

// EarlyStopping ends a run when Metric has not improved for Patience evaluations,
// and keeps the best.
type EarlyStopping struct {
	Patience int    `json:"patience"`
	Metric   string `json:"metric,omitempty"` // default eval_loss
}

// Evaluate says what is measured and how often; every_steps 0 means once an epoch.
type Evaluate struct {
	Metrics    []string `json:"metrics,omitempty"`
	EverySteps int      `json:"every_steps,omitempty"`
	// GenerateRows is how many of the rows held back a base that generates answers in
	// full, to be compared with theirs (BLEU, chrF, TER, ROUGE, METEOR without synonyms,
	// exact match); 0: none.
	GenerateRows *int `json:"generate_rows,omitempty"`
}

// Promote is a gate: what the job makes becomes the current version of its name only if
// it is better, on the rows held back, than what is current, or than the base. Otherwise
// the job succeeds all the same, and the version is there under its number.
type Promote struct {
	If       string  `json:"if" example:"eval_accuracy"`                            // the metric
	MinDelta float64 `json:"min_delta,omitempty" example:"0"`                       // it must be better by more than this
	Than     string  `json:"than,omitempty" example:"current" enums:"current,base"` // default current
}

// Status of a job.
type Status string

// The statuses there are.
const (
	Queued    Status = "queued"
	Running   Status = "running"
	Paused    Status = "paused"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
)

// Over reports whether a job in this status will never change again.
func (s Status) Over() bool { return s == Succeeded || s == Failed || s == Cancelled }

// Job is a job as GET /tune/jobs/{id} shows it.
type Job struct {
	ID            string             `json:"id"`
	Kind          Kind               `json:"kind"`
	Status        Status             `json:"status"`
	Phase         string             `json:"phase,omitempty"` // downloading | training | evaluating | registering
	Model         string             `json:"model"`
	Name          string             `json:"name"`
	QueuePosition *int               `json:"queue_position,omitempty"`
	Progress      *Progress          `json:"progress,omitempty"`
	Attempt       int                `json:"attempt"`
	Metrics       map[string]float64 `json:"metrics,omitempty"`
	Result        *Result            `json:"result,omitempty"`
	Error         *JobError          `json:"error,omitempty"`
	CreatedAt     time.Time          `json:"created_at"`
	StartedAt     *time.Time         `json:"started_at,omitempty"`
	FinishedAt    *time.Time         `json:"finished_at,omitempty"`
	Spec          Spec               `json:"spec"` // the inline rows are left out
}

// Progress of a running job.
type Progress struct {
	Step       int     `json:"step"`
	TotalSteps int     `json:"total_steps"`
	Epoch      float64 `json:"epoch"`
	Percent    float64 `json:"percent"`
	ETASeconds float64 `json:"eta_seconds"`
	Loss       float64 `json:"loss"`
}

// Result names what a successful job registered, for example "imdb@3".
type Result struct {
	Adapter string `json:"adapter"`
	Digest  string `json:"digest"`
	Kind    string `json:"kind"` // adapter | variant
	// Of a job with a gate: whether the version became current, and why, or why not.
	Promoted *bool  `json:"promoted,omitempty" example:"false"`
	Reason   string `json:"reason,omitempty" example:"eval_accuracy is 0.91; imdb@3 has 0.93 on the same rows"`
}

// JobError says why a job failed and what to do about it.
type JobError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Event is one line of a job's history. Type is step, eval, checkpoint or status;
// Data is the JSON object that the stream shows. ID is given by the event log and
// grows.
type Event struct {
	ID   string          `json:"id"`
	Type string          `json:"type"`
	Time time.Time       `json:"time"`
	Data json.RawMessage `json:"data"`
}

// StepData is the data of a step event.
type StepData struct {
	Step             int     `json:"step"`
	TotalSteps       int     `json:"total_steps"`
	Epoch            float64 `json:"epoch"`
	Loss             float64 `json:"loss"`
	LearningRate     float64 `json:"learning_rate"`
	GradNorm         float64 `json:"grad_norm"`
	SamplesPerSecond float64 `json:"samples_per_second"`
}

// EvalData is the data of an eval event; the metrics carry the prefix "eval_".
type EvalData struct {
	Step    int                `json:"step"`
	Epoch   float64            `json:"epoch"`
	Metrics map[string]float64 `json:"metrics"`
	Best    bool               `json:"best"`
}

// Task is what one attempt at a job gets to work with. All paths are local files
// that belong to the attempt.
type Task struct {
	Job        string `json:"job"`
	Attempt    int    `json:"attempt"`
	Spec       Spec   `json:"spec"`
	Train      string `json:"train"`                // JSON lines, canonical rows (see tuning/data)
	Validation string `json:"validation,omitempty"` // the same; empty: none
	Resume     string `json:"resume,omitempty"`     // folder of checkpoint files; empty: from the start
	// Current is the version that a job with a gate is compared with; nil: none.
	Current   *Current  `json:"current,omitempty"`
	Dir       string    `json:"dir"`                 // scratch folder
	CreatedAt time.Time `json:"created_at,omitzero"` // of the job
	Trace     Trace     `json:"trace,omitempty"`     // of the request that submitted it
}

// Current is a version of a job's name on this machine.
type Current struct {
	Dir      string `json:"dir"` // its files
	Version  int    `json:"version"`
	Template string `json:"template,omitempty"`
}

// Reporter is how an attempt tells its worker what happens. The worker's
// implementation forwards to the event log and the record store.
type Reporter interface {
	// Phase tells a change of phase: downloading, training, evaluating.
	Phase(phase string)
	// Event reports a step or eval event; data is StepData or EvalData.
	Event(typ string, data any)
	// Checkpoint hands over the files (name to local path) of a checkpoint taken
	// after step. It returns when they are durable; the files may then be deleted.
	Checkpoint(ctx context.Context, step int, files map[string]string) error
	// Stop is closed when the attempt should write a checkpoint and return
	// ErrStopped: the job was paused, or this worker is going away.
	Stop() <-chan struct{}
}

// Outcome of a successful attempt.
type Outcome struct {
	Files    map[string]string  `json:"files"`   // name to local path: what will be registered
	Metrics  map[string]float64 `json:"metrics"` // final metrics, "eval_…" and "train_loss"
	Labels   []string           `json:"labels,omitempty"`
	Template string             `json:"template,omitempty"` // what made the prompts of the rows
	Steps    int                `json:"steps"`
	Gate     *adapters.Gate     `json:"gate,omitempty"` // of a job with Promote
}

// Trainer makes one attempt. It returns ErrStopped after Stop, ctx's error when ctx
// ends (the lease was lost or the job cancelled), an error that holds an
// invalid.Fault when the job can never succeed, and anything else when a new
// attempt may help.
type Trainer func(ctx context.Context, task Task, r Reporter) (Outcome, error)

// Errors that callers act on.
var (
	ErrStopped  = errors.New("stopped after a checkpoint")
	ErrNotFound = errors.New("no such job")
	ErrOver     = errors.New("the job is over")
	ErrConflict = errors.New("the idempotency key was used for another request")
	ErrFull     = errors.New("the queue is full")
	ErrQuota    = errors.New("too many jobs")
	ErrState    = errors.New("the job is not in a state that allows this")
)
