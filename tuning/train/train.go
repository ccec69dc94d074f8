// Package train is the one loop that trains. What differs between the kinds of
// fine-tune is a row of the table recipes: which of the weights learn, and what is
// registered at the end. The graphs are those that serve, with dropout and with one
// adapter that learns.
package train

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/gomlx/compute"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/inference"
	"lorikeet/inference/arch"
	"lorikeet/inference/prompt"
	"lorikeet/tuning"
)

// Trainer makes attempts at jobs on a device that it owns meanwhile.
type Trainer struct {
	Backend compute.Backend
	// Base opens a base by the name that jobs call it.
	Base func(ctx context.Context, name string) (*inference.Base, error)
	Log  *slog.Logger
	// CheckpointEvery is how often a checkpoint is taken when the job does not say.
	CheckpointEvery time.Duration
	// Devices of the backend share the examples of each step; 0 is 1. Each holds a copy of
	// the model. The losses are those of one device but for the order of their sums.
	Devices int
}

// Train is a tuning.Trainer.
func (t *Trainer) Train(ctx context.Context, task tuning.Task, r tuning.Reporter) (tuning.Outcome, error) {
	base, err := t.Base(ctx, task.Spec.Model)
	if err != nil {
		return tuning.Outcome{}, err
	}
	defer func() { _ = base.Close() }() // read only
	a := &attempt{Trainer: t, task: task, spec: task.Spec.WithDefaults(), report: r, base: base}
	defer a.close()
	if err := a.setUp(); err != nil {
		return tuning.Outcome{}, err
	}
	r.Phase("evaluating")
	if err := a.measureBase(ctx); err != nil {
		return tuning.Outcome{}, err
	}
	r.Phase("training")
	if err := a.run(ctx); err != nil {
		return tuning.Outcome{}, err
	}
	return a.finish(ctx)
}

// attempt is one attempt at a job.
type attempt struct {
	*Trainer
	task   tuning.Task
	spec   tuning.Spec
	report tuning.Reporter
	base   *inference.Base
	recipe recipe

	target   target
	template prompt.Template // makes prompts of instructions and conversations
	taught   string          // its name; empty: the rows bring prompts of their own
	sample   int             // tokenize only so many rows, to check a job; 0: all
	// keepHead says that the base's own head fits the labels and is trained on.
	keepHead bool
	ranks    adapters.Plan   // LoRA only
	config   adapters.Config // LoRA only

	loop   *loop
	train  []example
	held   []example
	rate   Schedule
	per    int // optimizer steps in an epoch
	total  int // optimizer steps in all
	place  progress
	best   [][]float32 // learned values of the best evaluation; nil: none yet
	saved  time.Time   // of the last checkpoint
	worked time.Duration
}

// progress is where a run stands; it is part of a checkpoint.
type progress struct {
	Step       int                `json:"step"`
	LossSum    float64            `json:"loss_sum"` // of the steps so far
	Metrics    map[string]float64 `json:"metrics,omitempty"`
	Base       map[string]float64 `json:"base,omitempty"` // the base's scores, "base_…", where it generates
	Best       *float64           `json:"best,omitempty"` // value of the metric that early stopping watches
	BestStep   int                `json:"best_step,omitempty"`
	BestResult map[string]float64 `json:"best_metrics,omitempty"`
	Bad        int                `json:"bad,omitempty"` // evaluations since the best
	Stopped    bool               `json:"stopped,omitempty"`
}

// close frees the device's memory; it may be called again.
func (a *attempt) close() {
	if a.loop != nil {
		a.loop.close()
		a.loop = nil
	}
}

// run trains from where the attempt stands to the end.
func (a *attempt) run(ctx context.Context) error {
	h := a.spec.Hyperparameters
	size, accumulate := *h.BatchSize, *h.GradientAccumulation
	a.saved = time.Now()
	begin, first := time.Now(), a.place.Step
	epoch, batches := -1, [][]int(nil)
	for a.place.Step < a.total && !a.place.Stopped {
		if err := a.stopped(ctx); err != nil {
			return err
		}
		if e := a.place.Step / a.per; e != epoch {
			epoch = e
			batches = order(len(a.train), size, *h.Seed, epoch, *h.Shuffle, func(i int) int { return a.train[i].alike() })
		}
		at := a.place.Step % a.per * accumulate
		micro, examples := a.micro(batches[at:min(at+accumulate, len(batches))], size)
		start := time.Now()
		rate := a.rate.At(a.place.Step)
		loss, norm, err := a.loop.one(ctx, micro, rate)
		if errors.Is(err, errNaN) {
			return invalid.Field("hyperparameters.learning_rate", "the loss became %v at step %d: lower the learning rate (it was %g there)", loss, a.place.Step+1, rate)
		}
		if err != nil {
			return err
		}
		a.place.Step++
		a.place.LossSum += loss
		a.worked = time.Since(begin)
		a.report.Event("step", tuning.StepData{Step: a.place.Step, TotalSteps: a.total, Epoch: float64(a.place.Step) / float64(a.per),
			Loss: loss, LearningRate: rate, GradNorm: norm, SamplesPerSecond: float64(examples) / time.Since(start).Seconds()})
		if err := a.after(ctx); err != nil {
			return err
		}
	}
	if n := a.place.Step - first; n > 0 {
		a.Log.Info("trained", "job", a.task.Job, "steps", n, "seconds", time.Since(begin).Seconds())
	}
	return nil
}

// smallest keeps a step whose answers were all cut off from dividing by nothing.
const smallest = 1e-9

// micro packs the batches of one step, in as many parts as there are devices. Each
// example weighs the same, whatever batch it is in; of texts to write, each token does.
func (a *attempt) micro(batches [][]int, size int) ([]batch, int) {
	n, asked := 0, 0.0
	for _, b := range batches {
		n += len(b)
		for _, at := range b {
			asked += a.asked(a.train[at])
		}
	}
	part := (size + len(a.loop.seats) - 1) / len(a.loop.seats)
	var micro []batch
	for _, b := range batches {
		for share := range slices.Chunk(b, part) {
			rows := make([]example, len(share))
			for i, at := range share {
				rows[i] = a.train[at]
			}
			micro = append(micro, a.loop.pack(rows, part, 1/max(asked, smallest)))
		}
	}
	return micro, n
}

// after does what may be due after a step: an evaluation, then a checkpoint.
func (a *attempt) after(ctx context.Context) error {
	every := a.per
	if e := a.spec.Evaluate; e != nil && e.EverySteps > 0 {
		every = e.EverySteps
	}
	evaluated := false
	if len(a.held) > 0 && (a.place.Step%every == 0 || a.place.Step == a.total) {
		evaluated = true
		if err := a.evaluate(ctx); err != nil {
			return err
		}
	}
	due := time.Since(a.saved) >= a.CheckpointEvery
	if n := a.spec.CheckpointEvery; n > 0 {
		due = a.place.Step%n == 0
	}
	if due && a.place.Step < a.total || evaluated && a.place.Stopped {
		return a.checkpoint(ctx)
	}
	return nil
}

// stopped takes a checkpoint and says so when the job is to stop here.
func (a *attempt) stopped(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-a.report.Stop():
		if err := a.checkpoint(ctx); err != nil {
			return err
		}
		return tuning.ErrStopped
	default:
		return nil
	}
}

// steps counts the optimizer steps of an epoch and of the run.
func (a *attempt) steps() {
	h := a.spec.Hyperparameters
	batches := (len(a.train) + *h.BatchSize - 1) / *h.BatchSize
	a.per = (batches + *h.GradientAccumulation - 1) / *h.GradientAccumulation
	a.total = int(math.Ceil(*h.Epochs * float64(a.per)))
	if *h.MaxSteps > 0 {
		a.total = *h.MaxSteps
	}
	a.total = max(1, a.total)
	a.rate = Schedule{Name: *h.Schedule, Peak: *h.LearningRate, Total: a.total,
		Warmup: int(math.Ceil(*h.WarmupRatio * float64(a.total)))}
}

// target is what the rows teach: labels, or a number.
type target struct {
	labels  []string
	index   map[string]int
	problem arch.Problem
}
