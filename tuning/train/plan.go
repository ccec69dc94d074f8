package train

import (
	"errors"
	"fmt"

	"lorikeet/adapters/invalid"
	"lorikeet/inference"
	"lorikeet/tuning"
	"lorikeet/tuning/data"
)

// Plan is what a job would do, told before it is queued.
type Plan struct {
	Rows           int      `json:"rows"`
	ValidationRows int      `json:"validation_rows"`
	Tokens         int64    `json:"tokens"`         // of the training rows, once
	TrainedTokens  int64    `json:"trained_tokens"` // of all steps together
	Lengths        Lengths  `json:"lengths"`
	TruncatedRows  int      `json:"truncated_rows"`
	Truncated      float64  `json:"truncated_percent"`
	Steps          int      `json:"steps"`
	StepsPerEpoch  int      `json:"steps_per_epoch"`
	Labels         []string `json:"labels,omitempty"`
	Trainable      int64    `json:"trainable_parameters"`
	Total          int64    `json:"total_parameters"`
	Seconds        float64  `json:"estimated_seconds"`
	MemoryBytes    int64    `json:"estimated_memory_bytes"`
	Warnings       []string `json:"warnings,omitempty"`
}

// Lengths are how long the training rows are, in tokens, as far as they are read.
type Lengths struct {
	Median int `json:"median"`
	P95    int `json:"p95"` // 95 of 100 rows have no more
	Max    int `json:"max"`
}

// Limits of the server that a plan is checked against.
type Limits struct {
	MaxRank int
	// Speed is how many tokens a second the base's forward pass takes in on this
	// server's device; 0: not known.
	Speed float64
}

// Check is NewPlan without the figures: of many rows it tokenizes a sample.
func Check(base *inference.Base, spec tuning.Spec, rows, held []data.Row, limits Limits) error {
	_, err := newPlan(base, spec, rows, held, limits, 1000)
	return err
}

// NewPlan checks a job against its base and its rows, as an attempt would, and says
// what it comes to. Its errors hold invalid.Faults.
func NewPlan(base *inference.Base, spec tuning.Spec, rows, held []data.Row, limits Limits) (Plan, error) {
	return newPlan(base, spec, rows, held, limits, 0)
}

func newPlan(base *inference.Base, spec tuning.Spec, rows, held []data.Row, limits Limits, sample int) (Plan, error) {
	a := &attempt{Trainer: &Trainer{}, spec: spec.WithDefaults(), base: base, sample: sample}
	var err error
	if a.recipe, err = recipeOf(a.spec); err != nil {
		return Plan{}, err
	}
	if a.target, err = a.teach(rows); err != nil {
		return Plan{}, err
	}
	var errs []error
	a.train, err = a.encode(rows)
	errs = append(errs, err)
	if a.held, err = a.encode(held); err != nil {
		errs = append(errs, fmt.Errorf("validation: %w", err))
	}
	errs = append(errs, a.measured())
	a.keepHead = base.Generates() || sameHead(base.Facts(), a.target)
	if a.recipe.lora {
		errs = append(errs, a.plan())
		if r := *a.spec.LoRA.R; limits.MaxRank > 0 && r > limits.MaxRank {
			errs = append(errs, invalid.Field("lora.r", "is %d; this server serves ranks up to %d (see --max-rank)", r, limits.MaxRank))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Plan{}, err
	}
	a.steps()
	p := Plan{Rows: len(rows), ValidationRows: len(held), Steps: a.total, StepsPerEpoch: a.per, Labels: a.target.labels, Total: base.Parameters()}
	for _, e := range a.train {
		p.Tokens += int64(e.length())
		if e.tokens.Truncated {
			p.TruncatedRows++
		}
	}
	p.measure(a)
	p.Trainable = a.trainable()
	p.estimate(a, limits)
	p.warn(a)
	return p, nil
}

// trainable counts what learns.
func (a *attempt) trainable() int64 {
	var n int64
	labels := len(a.target.labels)
	if !a.recipe.lora {
		n = a.base.Parameters()
		for _, m := range a.base.Layout {
			if m.Labels {
				n += int64((labels - m.Out) * (m.In + 1))
			}
		}
		return n
	}
	for _, m := range a.base.Layout {
		n += int64(a.ranks.Ranks[m.Path].R * (m.In + m.Out))
		for _, saved := range a.ranks.Saved {
			if saved == m.Path {
				out := m.Out
				if m.Labels {
					out = labels
				}
				n += int64(out * (m.In + 1))
			}
		}
	}
	return n
}

// work is how a step compares with a forward pass: the backward pass is twice as much
// where every weight learns; with LoRA the weights' own gradients are not computed.
const (
	workFull = 3.2
	workLoRA = 2.3
)

func (p *Plan) estimate(a *attempt, limits Limits) {
	epochs := float64(a.total) / float64(a.per)
	work := workLoRA
	if !a.recipe.lora {
		work = workFull
	}
	var trained, evaluated int64
	size := *a.spec.Hyperparameters.BatchSize
	for _, b := range order(len(a.train), size, *a.spec.Hyperparameters.Seed, 0, *a.spec.Hyperparameters.Shuffle, func(i int) int { return a.train[i].alike() }) {
		read, written := 1, 0
		for _, i := range b {
			read = max(read, len(a.train[i].tokens.IDs))
			if a.base.Seq2Seq != nil {
				written = max(written, len(a.train[i].labels))
			}
		}
		trained += int64(size * padded(read, a.maxLength()))
		if written > 0 {
			trained += int64(size * padded(written, a.maxTarget()))
		}
	}
	for _, e := range a.held {
		evaluated += int64(e.length())
	}
	if limits.Speed > 0 {
		const compiling = 8 // seconds, for a handful of graphs
		p.Seconds = compiling + (float64(trained)*work+float64(evaluated))*epochs/limits.Speed
	}
	// Weights, gradients and two moments of what learns, and the activations that the
	// backward pass keeps: about 16 vectors of the hidden size a token and layer, and
	// the attention weights.
	f := a.base.Facts()
	longest := int64(padded(a.longest(), a.longest()))
	tokens := int64(size) * longest
	activations := tokens * int64(f.Layers) * (16*int64(f.Hidden) + longest*int64(f.Hidden)/64)
	if a.base.Generates() { // the scores of the vocabulary, their exponentials and their gradient
		var written int64
		if a.base.Seq2Seq != nil {
			written = int64(padded(a.maxTarget(), a.maxTarget()))
		} else {
			most := 1
			for _, e := range a.train {
				most = max(most, len(e.places()))
			}
			written = int64(share(most, int(longest)))
		}
		activations += 3 * int64(size) * written * int64(f.Vocab)
	}
	p.MemoryBytes = 4 * (p.Total + 3*p.Trainable + activations)
}

// longest is the most tokens that a row can have, read and written.
func (a *attempt) longest() int {
	if a.base.Seq2Seq != nil {
		return a.maxLength() + a.maxTarget()
	}
	return a.maxLength()
}

var _ tuning.Trainer = (*Trainer)(nil).Train
