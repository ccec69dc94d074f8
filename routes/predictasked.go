package routes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
	"lorikeet/inference"
)

// predictRequest asks for the classes, or the values, of some texts.
type predictRequest struct {
	Model    string    `json:"model,omitempty" example:"bert"`                        // a base, a variant, or an adapter (which stands for its base with it); may be left out when there is only one base
	Adapter  choice    `json:"adapter,omitempty" example:"imdb" swaggertype:"string"` // the current version, or "imdb@3"; null: the bare base
	Inputs   inputs    `json:"inputs" swaggertype:"object"`                           // one text, a list of texts, or a list of {"text","text_pair"}
	Adapters []*string `json:"adapters,omitempty" example:"imdb"`                     // one per input, null for the bare base; excludes adapter
	FanOut   []*string `json:"fan_out,omitempty" example:"imdb,topic"`                // every one of these answers every input, null being the bare base; excludes adapter and adapters
	// Of a classification whose labels exclude each other:
	Calibrated   bool     `json:"calibrated,omitempty" example:"false"`  // scores that are right as often as they say; refused where an adapter has no calibration
	AbstainBelow *float64 `json:"abstain_below,omitempty" example:"0.7"` // answer no label where the best score, calibrated if the adapter is, is below this

	TopK     *int   `json:"top_k,omitempty" example:"2"`                  // how many of the scores to return; default all
	Logits   bool   `json:"logits,omitempty" example:"false"`             // return the logits too
	Truncate *bool  `json:"truncate,omitempty" example:"true"`            // cut what is too long for the model (default), or refuse it
	Header   string `json:"-" header:"X-Adapter" swaggerignore:"true"`    // the adapter, when the body names none
	Canary   string `json:"-" header:"X-Canary-Key" swaggerignore:"true"` // keeps the caller on one version
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
	if t := in.AbstainBelow; t != nil && !(*t >= 0 && *t <= 1) {
		fault("abstain_below", "must be between 0 and 1, is %v", *t)
	}
	texts, names, wrong := in.asked(p.limits.Inputs)
	faults = append(faults, wrong...)
	model, err := modelOrOnly(ctx, p.engine, in.Model)
	if err != nil && !invalid.Is(err) {
		return inference.Request{}, err
	}
	faults = append(faults, err)
	if err := errors.Join(faults...); err != nil {
		return inference.Request{}, err
	}
	return inference.Request{
		Model:    model,
		Adapters: names,
		Inputs:   texts,
		Asker:    askerOf(ctx, in.Canary),
		Truncate: in.Truncate == nil || *in.Truncate,
	}, nil
}

// asked lays out the rows of a request: the texts, and the adapter of each, "" for the
// bare base; no names at all: the bare base for all.
func (in predictRequest) asked(most int) (texts inputs, names []string, faults []error) {
	if in.FanOut != nil {
		return in.fanOut(most)
	}
	if in.Adapters == nil {
		if adapter, field := in.Adapter.or(in.Header); adapter != "" {
			faults = append(faults, checkRef(field, adapter))
			names = slices.Repeat([]string{adapter}, len(in.Inputs))
		}
		return in.Inputs, names, faults
	}
	if in.Adapter.name != "" {
		faults = append(faults, invalid.Field("adapters", "excludes adapter; send one of the two"))
	}
	if len(in.Adapters) != len(in.Inputs) {
		faults = append(faults, invalid.Field("adapters", "holds %d names for %d inputs; send one per input, null for the bare base, or name them in fan_out to ask all of them about every input", len(in.Adapters), len(in.Inputs)))
	}
	names, wrong := named("adapters", in.Adapters)
	return in.Inputs, names, append(faults, wrong...)
}

// named reads a list of adapters, null being the bare base, "".
func named(field string, list []*string) (names []string, faults []error) {
	names = make([]string, len(list))
	for i, name := range list {
		if name != nil {
			names[i] = *name
			faults = append(faults, checkRef(fmt.Sprintf("%s[%d]", field, i), *name))
		}
	}
	return names, faults
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
	bases, err := basesOf(ctx, e)
	var names []string
	for _, b := range bases {
		names = append(names, b.Name)
	}
	slices.Sort(names)
	return names, err
}

// basesOf are the models that are no variants, with baseNames' error.
func basesOf(ctx context.Context, e engine) ([]inference.Model, error) {
	if err := e.Ready(); err != nil {
		return nil, err
	}
	models, err := e.Models(ctx)
	if err != nil {
		return nil, err
	}
	var bases []inference.Model
	for _, m := range models {
		if m.Kind == "base" {
			bases = append(bases, m)
		}
	}
	return bases, nil
}
