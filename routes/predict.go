package routes

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"lorikeet/adapters"
	"lorikeet/inference"
)

// engine is what HTTP needs of the inference engine.
type engine interface {
	Predict(context.Context, inference.Request) (inference.Answer, error)
	// Generate calls emit, if there is one, on this goroutine with pieces of the text:
	// whole characters, put together the text. An error of emit, or the end of the
	// context, ends the text.
	Generate(ctx context.Context, r inference.GenerateRequest, emit func(text string) error) (inference.Generated, error)
	Models(context.Context) ([]inference.Model, error)
	Stats() inference.Stats
	Ready() error
	Import(context.Context, inference.Import) (adapters.Version, error)
	Merge(context.Context, inference.Merge) (adapters.Version, error)
	Merged(context.Context, adapters.Version) (*inference.Merged, error)
	Residency(context.Context, adapters.Version) (inference.Residency, error)
	Place(ctx context.Context, v adapters.Version, pin bool) error
	Unpin(context.Context, adapters.Version) error
	Unload(context.Context, adapters.Version) error
}

// predict answers POST /predict.
type predict struct {
	engine  engine
	limits  Limits
	metrics *meters
}

// prediction is the answer to a predictRequest; one result per input, in order.
type prediction struct {
	Model   string      `json:"model" example:"bert"`
	Adapter *adapterRef `json:"adapter"` // null: the bare base, or a mixed batch
	Results []result    `json:"results"`
	Usage   usage       `json:"usage"`
	Timings timings     `json:"timings"`
} // @name Prediction

// adapterRef says exactly which weights answered.
type adapterRef struct {
	Name    string `json:"name" example:"imdb"`
	Version int    `json:"version" example:"3"`
	Digest  string `json:"digest" example:"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
} // @name AdapterRef

// result is what the model says of one input.
type result struct {
	Label   string    `json:"label" example:"positive"`
	Index   int       `json:"index" example:"1"`
	Score   float32   `json:"score" example:"0.98"`
	Scores  []score   `json:"scores"`
	Logits  []float32 `json:"logits,omitempty"`
	Adapter *string   `json:"adapter,omitempty" example:"imdb@3"`                                                                 // only in a mixed batch; left out: the bare base
	Digest  string    `json:"digest,omitempty" example:"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"` // of the adapter, only in a mixed batch
	Input   *int      `json:"input,omitempty" example:"0"`                                                                        // only in a fan-out: the index of the text
	// Only where calibrated or abstain_below were asked for:
	Calibrated *bool `json:"calibrated,omitempty" example:"true"` // the scores are calibrated
	Abstained  *bool `json:"abstained,omitempty" example:"false"` // true: no score is high enough; label and index are null
} // @name PredictionResult

// score is one label with its probability (or, for regression, its value).
type score struct {
	Label string  `json:"label" example:"positive"`
	Score float32 `json:"score" example:"0.98"`
} // @name Score

// usage counts tokens, padding left out.
type usage struct {
	InputTokens int `json:"input_tokens" example:"12"`
} // @name Usage

// timings are milliseconds.
type timings struct {
	QueueMS     float64 `json:"queue_ms" example:"0.4"`
	InferenceMS float64 `json:"inference_ms" example:"8.1"`
} // @name Timings

// run classifies texts.
//
//	@Summary		Classify texts
//	@Description	Classifies texts, or scores them for a regression model, with a base model, one adapter for all of them, or one adapter for each (a mixed batch).
//	@Description
//	@Description	`calibrated` asks for scores that are right as often as they say: softmax of the logits over a temperature that the adapter's job fitted on its validation rows. With `abstain_below` a text whose best score is lower gets no label: `abstained` is true, label and index are null. The adapter's metrics recommend a threshold.
//	@Description
//	@Description	With `fan_out`, a list of adapters, every adapter answers every text, in one batch: the results are the answers to the first text in the order of the list, then those to the second, and so on. A text is tokenized once.
//	@ID				predict
//	@Tags			inference
//	@Accept			json
//	@Produce		json
//	@Param			X-Adapter	header		string			false	"adapter to use when the body names none"
//	@Param			X-Canary-Key	header		string			false	"keeps the caller on one version where the traffic of an adapter is split: a user's id, say"
//	@Param			request		body		predictRequest	true	"what to classify, and with what"
//	@Success		200			{object}	prediction
//	@Failure		default	{object}	Problem
//	@Router			/predict [post]
func (p predict) run(ctx context.Context, in predictRequest) (prediction, error) {
	request, err := p.request(ctx, in)
	if err != nil {
		return prediction{}, err
	}
	start := time.Now()
	answer, err := p.engine.Predict(ctx, request)
	if err != nil {
		return prediction{}, unfan(err, len(in.FanOut))
	}
	if len(answer.Rows) != len(request.Inputs) {
		return prediction{}, fmt.Errorf("engine answered %d of %d inputs", len(answer.Rows), len(request.Inputs))
	}
	used := make([]*adapters.Ref, len(answer.Rows))
	for i, row := range answer.Rows {
		used[i] = cmp.Or(row.Adapter, answer.Variant)
	}
	p.metrics.prediction(answer, used, time.Since(start))
	note(ctx, slog.String("model", answer.Model), slog.Int("inputs", len(used)), slog.Int("tokens", answer.InputTokens))

	out := prediction{
		Model: answer.Model,
		Usage: usage{InputTokens: answer.InputTokens},
		Timings: timings{
			QueueMS:     milliseconds(answer.Queue),
			InferenceMS: milliseconds(answer.Inference),
		},
		Results: make([]result, len(answer.Rows)),
	}
	mixed := in.Adapters != nil || in.FanOut != nil
	switch {
	case answer.Variant != nil:
		out.Adapter = refOf(answer.Variant)
	case !mixed:
		out.Adapter = refOf(used[0])
	}
	for i, row := range answer.Rows {
		r, err := in.result(row)
		if err != nil {
			return prediction{}, err
		}
		if mixed && row.Adapter != nil {
			r.Adapter, r.Digest = new(row.Adapter.String()), row.Adapter.Digest
		}
		if n := len(in.FanOut); n > 0 {
			r.Input = new(i / n)
		}
		out.Results[i] = r
	}
	return out, nil
}

func refOf(r *adapters.Ref) *adapterRef {
	if r == nil {
		return nil
	}
	return &adapterRef{Name: r.Name, Version: r.Version, Digest: r.Digest}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
