package routes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
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

// predictRequest asks for the classes, or the values, of some texts.
type predictRequest struct {
	Model    string    `json:"model,omitempty" example:"bert"`                        // a base, a variant, or an adapter (which stands for its base with it); may be left out when there is only one base
	Adapter  choice    `json:"adapter,omitempty" example:"imdb" swaggertype:"string"` // the current version, or "imdb@3"; null: the bare base
	Inputs   inputs    `json:"inputs" swaggertype:"object"`                           // one text, a list of texts, or a list of {"text","text_pair"}
	Adapters []*string `json:"adapters,omitempty" example:"imdb"`                     // one per input, null for the bare base; excludes adapter
	TopK     *int      `json:"top_k,omitempty" example:"2"`                           // how many of the scores to return; default all
	Logits   bool      `json:"logits,omitempty" example:"false"`                      // return the logits too
	Truncate *bool     `json:"truncate,omitempty" example:"true"`                     // cut what is too long for the model (default), or refuse it
	Header   string    `json:"-" header:"X-Adapter" swaggerignore:"true"`             // the adapter, when the body names none
} // @name PredictRequest

// choice is an adapter's name, null for the bare base, or nothing said.
type choice struct {
	said bool
	name string // "" with said: null
}

// UnmarshalJSON tells null from nothing: a header must not override either.
func (c *choice) UnmarshalJSON(data []byte) error {
	c.said = true
	if string(data) == "null" {
		return nil
	}
	if first(data) != '"' {
		return &invalid.Fault{Reason: "must be the name of an adapter, or null for the bare base"}
	}
	if err := json.Unmarshal(data, &c.name); err != nil {
		return err
	}
	if c.name == "" {
		return &invalid.Fault{Reason: "is empty; name an adapter, or say null for the bare base"}
	}
	return nil
}

// or is the adapter that was said, else the header's, and the field that names it.
func (c choice) or(header string) (name, field string) {
	if c.said {
		return c.name, "adapter"
	}
	return header, "X-Adapter"
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
//	@ID				predict
//	@Tags			inference
//	@Accept			json
//	@Produce		json
//	@Param			X-Adapter	header		string			false	"adapter to use when the body names none"
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
		return prediction{}, err
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
	mixed := in.Adapters != nil
	switch {
	case answer.Variant != nil:
		out.Adapter = refOf(answer.Variant)
	case !mixed:
		out.Adapter = refOf(used[0])
	}
	for i, row := range answer.Rows {
		r, err := resultOf(row, in.TopK, in.Logits)
		if err != nil {
			return prediction{}, fmt.Errorf("input %d: %w", i, err)
		}
		if mixed && row.Adapter != nil {
			r.Adapter, r.Digest = new(row.Adapter.String()), row.Adapter.Digest
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

// request checks what can be checked without the model, everything at once.
func (p predict) request(ctx context.Context, in predictRequest) (inference.Request, error) {
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, invalid.Field(field, format, args...))
	}
	switch n := len(in.Inputs); {
	case n == 0:
		fault("inputs", "holds no text; send one text or a list of them")
	case n > p.limits.Inputs:
		fault("inputs", "holds %d texts; at most %d are answered in one request", n, p.limits.Inputs)
	}
	if in.TopK != nil && *in.TopK < 1 {
		fault("top_k", "must be at least 1, not %d", *in.TopK)
	}
	adapter, field := in.Adapter.or(in.Header)
	if adapter != "" && in.Adapters == nil {
		faults = append(faults, checkRef(field, adapter))
	}
	if in.Adapters != nil {
		adapter = ""
		if in.Adapter.name != "" {
			fault("adapters", "excludes adapter; send one of the two")
		}
		if len(in.Adapters) != len(in.Inputs) {
			fault("adapters", "holds %d names for %d inputs; send one per input, null for the bare base", len(in.Adapters), len(in.Inputs))
		}
	}
	var names []string
	if in.Adapters != nil {
		names = make([]string, len(in.Adapters))
	}
	for i, name := range in.Adapters {
		if name != nil {
			names[i] = *name
			faults = append(faults, checkRef(fmt.Sprintf("adapters[%d]", i), *name))
		}
	}
	model, err := modelOrOnly(ctx, p.engine, in.Model)
	if err != nil && !invalid.Is(err) {
		return inference.Request{}, err
	}
	faults = append(faults, err)
	if err := errors.Join(faults...); err != nil {
		return inference.Request{}, err
	}
	if in.Adapters == nil && adapter != "" {
		names = slices.Repeat([]string{adapter}, len(in.Inputs))
	}
	return inference.Request{
		Model:    model,
		Adapters: names,
		Inputs:   in.Inputs,
		Truncate: in.Truncate == nil || *in.Truncate,
	}, nil
}

// modelOrOnly checks the model that a request names, or finds the only base. An error
// that is no fault is the engine's.
func modelOrOnly(ctx context.Context, e engine, name string) (string, error) {
	if name != "" {
		return name, checkRef("model", name)
	}
	bases, err := baseNames(ctx, e)
	if err != nil {
		return "", err
	}
	if len(bases) != 1 {
		return "", invalid.Field("model", "is missing; there is: %s", strings.Join(bases, ", "))
	}
	return bases[0], nil
}

// baseNames lists the bases, in order. While they are still being loaded it is the
// engine's error: what is not there yet must not be called unknown.
func baseNames(ctx context.Context, e engine) ([]string, error) {
	if err := e.Ready(); err != nil {
		return nil, err
	}
	models, err := e.Models(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range models {
		if m.Kind == "base" {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}
