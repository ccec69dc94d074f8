package routes

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"lorikeet/adapters/invalid"
	"lorikeet/inference"
)

// parameters say how a text is written, in transformers' words. What is not given is as
// in inference.DefaultParameters; a test holds the defaults and the bounds of the tags
// against what is done.
type parameters struct {
	MaxNewTokens      *int        `json:"max_new_tokens,omitempty" default:"64" minimum:"1" maximum:"4096"` // tokens at most
	MinNewTokens      *int        `json:"min_new_tokens,omitempty" default:"0" minimum:"0" maximum:"4096"`  // tokens before the text may end
	NumBeams          *int        `json:"num_beams,omitempty" default:"1" minimum:"1" maximum:"16"`         // above 1: beam search
	LengthPenalty     *float64    `json:"length_penalty,omitempty" default:"1" minimum:"-100" maximum:"100"`
	EarlyStopping     *bool       `json:"early_stopping,omitempty" default:"false"` // of beams: end as soon as there are num_beams whole texts
	DoSample          *bool       `json:"do_sample,omitempty" default:"false"`      // draw tokens, rather than take the likeliest; not with beams
	Temperature       *float64    `json:"temperature,omitempty" default:"1" minimum:"0" maximum:"100"`
	TopP              *float64    `json:"top_p,omitempty" default:"1" maximum:"1"`
	TopK              *int        `json:"top_k,omitempty" default:"0" minimum:"0"` // 0: all
	RepetitionPenalty *float64    `json:"repetition_penalty,omitempty" default:"1" minimum:"0.01" maximum:"100"`
	NoRepeatNgram     *int        `json:"no_repeat_ngram_size,omitempty" default:"0" minimum:"0" maximum:"4096"` // 0: off
	Stop              stopStrings `json:"stop,omitempty" swaggertype:"object"`                                   // the text ends before these
	Seed              *int64      `json:"seed,omitempty" minimum:"0"`                                            // of the draw; a random one, told in the answer, if none is given
} // @name GenerationParameters

// mostNewTokens is the longest text that may be asked for.
const mostNewTokens = 4096

// stopStrings are one string, or a list of them.
type stopStrings []string

// What a request may hold of them.
const (
	mostStops = 16
	longStop  = 256 // bytes
)

// UnmarshalJSON reports every bad element, with its index.
func (s *stopStrings) UnmarshalJSON(data []byte) error {
	switch first(data) {
	case '"', '[':
	case 'n': // null is "not given"
		return nil
	default:
		return &invalid.Fault{Reason: "must be a string or a list of strings"}
	}
	list, at, err := oneOrMany(data)
	if err != nil {
		return err
	}
	if n := len(list); n > mostStops {
		return &invalid.Fault{Reason: fmt.Sprintf("holds %d strings; at most %d are looked for", n, mostStops)}
	}
	all := make(stopStrings, len(list))
	var faults []error
	for i, raw := range list {
		field, lone := at(i), loneSurrogate(raw)
		switch err := json.Unmarshal(raw, &all[i]); {
		case err != nil || first(raw) != '"':
			faults = append(faults, invalid.Field(field, "must be a string"))
		case lone != "":
			faults = append(faults, invalid.Field(field, "holds %s, half of a surrogate pair, which is no character", lone))
		case all[i] == "":
			faults = append(faults, invalid.Field(field, "is empty: every text would end at once"))
		case len(all[i]) > longStop:
			faults = append(faults, invalid.Field(field, "is %d bytes; at most %d are looked for", len(all[i]), longStop))
		}
	}
	*s = all
	return errors.Join(faults...)
}

// oneOrMany gives the elements of a list, or what is no list as the only one; at is how
// faults call them.
func oneOrMany(data []byte) (list []json.RawMessage, at func(i int) string, err error) {
	if first(data) != '[' {
		return []json.RawMessage{data}, func(int) string { return "" }, nil
	}
	err = json.Unmarshal(data, &list)
	return list, func(i int) string { return fmt.Sprintf("[%d]", i) }, err
}

// read checks the parameters, everything at once, and fills in what is not given. The
// warnings tell what is given and does nothing, as transformers does.
func (p parameters) read() (out inference.Parameters, warnings []string, err error) {
	out = inference.DefaultParameters()
	standard := out
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, invalid.Field("parameters."+field, format, args...))
	}
	whole := func(field string, into, given *int, low, high int) {
		if given == nil {
			return
		}
		if *into = *given; *given < low || *given > high {
			fault(field, "must be from %d to %d, not %d", low, high, *given)
		}
	}
	whole("max_new_tokens", &out.MaxNewTokens, p.MaxNewTokens, 1, mostNewTokens)
	whole("min_new_tokens", &out.MinNewTokens, p.MinNewTokens, 0, mostNewTokens)
	whole("num_beams", &out.NumBeams, p.NumBeams, 1, 16)
	whole("no_repeat_ngram_size", &out.NoRepeatNgram, p.NoRepeatNgram, 0, 4096)
	number := func(field string, into, given *float64, low, high float64) {
		if given == nil {
			return
		}
		if *into = *given; !(*given >= low && *given <= high) {
			fault(field, "must be from %v to %v, not %v", low, high, *given)
		}
	}
	number("length_penalty", &out.LengthPenalty, p.LengthPenalty, -100, 100)
	number("temperature", &out.Temperature, p.Temperature, 0, 100)
	number("repetition_penalty", &out.RepetitionPenalty, p.RepetitionPenalty, 0.01, 100)
	if p.TopP != nil {
		if out.TopP = *p.TopP; !(out.TopP > 0 && out.TopP <= 1) {
			fault("top_p", "must be above 0 and at most 1, not %v", out.TopP)
		}
	}
	if p.TopK != nil {
		if out.TopK = *p.TopK; out.TopK < 0 {
			fault("top_k", "must not be negative, is %d; 0 keeps all tokens", out.TopK)
		}
	}
	if p.Seed != nil {
		if *p.Seed < 0 {
			fault("seed", "must not be negative, is %d", *p.Seed)
		}
		out.Seed = new(uint64(*p.Seed)) // #nosec G115 -- or it has failed
	}
	out.EarlyStopping = p.EarlyStopping != nil && *p.EarlyStopping
	out.Sample = p.DoSample != nil && *p.DoSample
	out.Stop = slices.Clone(p.Stop)

	if out.MinNewTokens > out.MaxNewTokens {
		fault("min_new_tokens", "is %d, more than max_new_tokens, which is %d", out.MinNewTokens, out.MaxNewTokens)
	}
	if out.Sample && out.NumBeams > 1 {
		fault("do_sample", "does not go with beam search; set num_beams to 1, or leave do_sample out")
	}
	if out.Sample && out.Temperature == 0 {
		fault("temperature", "must be above 0 to draw tokens; leave do_sample out to take the likeliest token each time")
	}
	if len(faults) > 0 {
		return out, nil, errors.Join(faults...)
	}
	idle := func(field string, changed bool, needs string) {
		if changed {
			warnings = append(warnings, fmt.Sprintf("parameters.%s does nothing without %s", field, needs))
		}
	}
	if !out.Sample {
		// Temperature 0 is how other APIs ask for the likeliest token.
		idle("temperature", out.Temperature != standard.Temperature && out.Temperature != 0, "do_sample")
		idle("top_p", out.TopP != standard.TopP, "do_sample")
		idle("top_k", out.TopK != standard.TopK, "do_sample")
	} else if out.Seed == nil {
		out.Seed = new(rand.Uint64() >> 11) // #nosec G404 -- JavaScript reads whole numbers of 53 bits; texts, not secrets
	}
	if out.NumBeams == 1 {
		idle("length_penalty", out.LengthPenalty != standard.LengthPenalty, "num_beams above 1")
		idle("early_stopping", out.EarlyStopping, "num_beams above 1")
	}
	return out, warnings, nil
}
