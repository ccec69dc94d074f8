package routes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
	"lorikeet/inference"
	"lorikeet/tuning"
	"lorikeet/tuning/datasets"
	"lorikeet/tuning/queue"
	"lorikeet/tuning/train"
)

// planner knows what a base can be taught.
type planner interface {
	// Check refuses, with faults, what can never succeed: rows of the wrong kind,
	// modules the base does not have.
	Check(context.Context, tuning.Spec, datasets.Inputs) error
	// Plan says what a fine-tune would do and cost, without doing it.
	Plan(context.Context, tuning.Spec, datasets.Inputs) (train.Plan, error)
}

// tune takes in fine-tunes.
type tune struct {
	engine  engine
	rows    rowSource
	planner planner
	jobs    jobs
}

// rowSource turns what a spec names into rows in the store.
type rowSource interface {
	Inputs(context.Context, tuning.Spec) (datasets.Inputs, error)
}

// tuneRequest is the body of POST /tune/{kind}: a Spec, and how to take it.
type tuneRequest struct {
	tuning.Spec
	Tenant string `json:"-" swaggerignore:"true"` // hides the spec's: it is the caller's, not the body's
	DryRun bool   `json:"-" query:"dry_run" swaggerignore:"true"`
	Key    string `json:"-" header:"Idempotency-Key" swaggerignore:"true"`
} // @name TuneRequest

// submission is a job taken in, or the plan of a dry run.
type submission struct {
	job      *job
	plan     *train.Plan
	replayed bool
}

func (s submission) MarshalJSON() ([]byte, error) {
	if s.plan != nil {
		return json.Marshal(s.plan)
	}
	return json.Marshal(s.job)
}

func (s submission) header(h http.Header) int {
	if s.plan != nil {
		return http.StatusOK
	}
	h.Set("Location", "/tune/jobs/"+s.job.ID)
	if s.replayed {
		h.Set("Idempotency-Replayed", "true")
	}
	return 0
}

// full trains every weight.
//
//	@Summary		Tune all weights
//	@Description	Queues a full fine-tune. On success it is registered as a variant: a model of its own, served under its name. All faults of the request come back at once.
//	@ID				tuneFull
//	@Tags			tuning
//	@Accept			json
//	@Produce		json
//	@Param			dry_run			query		bool		false	"say what it would cost, and queue nothing"
//	@Param			Idempotency-Key	header		string		false	"the same key and the same request make one job"
//	@Param			request			body		tuneRequest	true	"what to tune, and how"
//	@Success		202				{object}	job
//	@Success		200				{object}	train.Plan	"the plan of a dry run"
//	@Failure		default	{object}	Problem
//	@Router			/tune/full [post]
func (t tune) full(ctx context.Context, in tuneRequest) (submission, error) {
	return t.submit(ctx, tuning.Full, in)
}

// lora trains an adapter.
//
//	@Summary		Tune a LoRA adapter
//	@Description	Queues the training of a LoRA adapter. On success it is registered as the next version of its name and served by the next request. All faults of the request come back at once.
//	@ID				tuneLora
//	@Tags			tuning
//	@Accept			json
//	@Produce		json
//	@Param			dry_run			query		bool		false	"say what it would cost, and queue nothing"
//	@Param			Idempotency-Key	header		string		false	"the same key and the same request make one job"
//	@Param			request			body		tuneRequest	true	"what to tune, and how"
//	@Success		202				{object}	job
//	@Success		200				{object}	train.Plan	"the plan of a dry run"
//	@Failure		default	{object}	Problem
//	@Router			/tune/lora [post]
func (t tune) lora(ctx context.Context, in tuneRequest) (submission, error) {
	return t.submit(ctx, tuning.LoRA, in)
}

// instruction trains on instructions and answers.
//
//	@Summary		Tune on instructions
//	@Description	Queues a fine-tune of a base that writes (T5, mT5, MarianMT, the LLaMA family) on rows of one of these kinds: instruction, input and output; messages; source and target, such as a text and its translation. `method` says whether a LoRA adapter learns (the default; served as the next version of its name) or all weights (served as a variant). Only the answers are learned, not the prompts.
//	@Description
//	@Description	`template` says how instructions become prompts: plain, t5, alpaca, or chat, the base's own; it is kept with the result, so that /generate asks as it was taught. For translations, `source_lang` and `target_lang` put T5's "translate English to German: " before every source. `hyperparameters.max_target_length` bounds the answers of an encoder-decoder, in tokens. `evaluate.generate_rows` of the validation rows (default 50, 0 for none) are answered in full at every evaluation, which adds eval_bleu, eval_chrf, eval_rougeL, eval_exact_match and others to eval_loss and eval_token_accuracy. All faults of the request come back at once.
//	@ID				tuneInstruction
//	@Tags			tuning
//	@Accept			json
//	@Produce		json
//	@Param			dry_run			query		bool		false	"say what it would cost, and queue nothing"
//	@Param			Idempotency-Key	header		string		false	"the same key and the same request make one job"
//	@Param			request			body		tuneRequest	true	"what to tune, and how"
//	@Success		202				{object}	job
//	@Success		200				{object}	train.Plan	"the plan of a dry run"
//	@Failure		default	{object}	Problem
//	@Router			/tune/instruction [post]
func (t tune) instruction(ctx context.Context, in tuneRequest) (submission, error) {
	return t.submit(ctx, tuning.Instruction, in)
}

func (t tune) submit(ctx context.Context, kind tuning.Kind, in tuneRequest) (submission, error) {
	spec := in.Spec
	var faults []error
	if spec.Kind != "" && spec.Kind != kind {
		faults = append(faults, invalid.Field("kind", "is %q, but the path says %q; leave it out", brief(string(spec.Kind)), kind))
	}
	spec.Kind = kind
	if in.Key != "" {
		if spec.IdempotencyKey != "" && spec.IdempotencyKey != in.Key {
			faults = append(faults, invalid.Field("idempotency_key", "differs from the header Idempotency-Key; send one of the two"))
		}
		spec.IdempotencyKey = in.Key
	}
	spec = spec.WithDefaults()
	faults = append(faults, spec.Validate())
	if err := errors.Join(faults...); err != nil {
		return submission{}, err
	}
	if err := t.known(ctx, spec.Model); err != nil {
		return submission{}, err
	}
	rows, err := t.rows.Inputs(ctx, spec)
	if err != nil {
		return submission{}, err
	}
	if err := t.planner.Check(ctx, spec, rows); err != nil {
		return submission{}, err
	}
	if in.DryRun {
		plan, err := t.planner.Plan(ctx, spec, rows)
		if err != nil {
			return submission{}, err
		}
		return submission{plan: &plan}, nil
	}
	taken, replayed, err := t.jobs.Submit(ctx, spec, queue.Inputs{Train: rows.Train, Validation: rows.Validation})
	if err != nil {
		return submission{}, err
	}
	note(ctx, slog.String("job", taken.ID), slog.Bool("replayed", replayed))
	view := jobOf(taken)
	return submission{job: &view, replayed: replayed}, nil
}

// known checks the base before a job waits for hours to find that there is none.
func (t tune) known(ctx context.Context, model string) error {
	bases, err := baseNames(ctx, t.engine)
	if err != nil {
		return err
	}
	if slices.Contains(bases, model) {
		return nil
	}
	return fmt.Errorf("%w: %q; there is: %s", inference.ErrUnknownModel, brief(model), strings.Join(bases, ", "))
}
