package routes

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"lorikeet/adapters/invalid"
	"lorikeet/inference"
)

// sampling is what /v1/chat/completions and /v1/completions both say of how texts are
// written. The last ones are not OpenAI's; vLLM has them under the same names.
type sampling struct {
	Temperature      *float64           `json:"temperature,omitempty" default:"1" minimum:"0" maximum:"2"` // 0: the likeliest token each time
	TopP             *float64           `json:"top_p,omitempty" default:"1" minimum:"0" maximum:"1"`
	N                *int               `json:"n,omitempty" default:"1" minimum:"1" maximum:"8"` // texts to write
	Stop             stopStrings        `json:"stop,omitempty" swaggertype:"object"`             // the text ends before these
	Seed             *int64             `json:"seed,omitempty" example:"7"`                      // of the first text's draw; the next ones count on from it
	PresencePenalty  *float64           `json:"presence_penalty,omitempty" default:"0" minimum:"-2" maximum:"2"`
	FrequencyPenalty *float64           `json:"frequency_penalty,omitempty" default:"0" minimum:"-2" maximum:"2"`
	LogitBias        map[string]float64 `json:"logit_bias,omitempty"` // token ids to what is added to their scores, from -100 to 100
	Stream           *bool              `json:"stream,omitempty" default:"false"`
	StreamOptions    *streamOptions     `json:"stream_options,omitempty"`
	User             *string            `json:"user,omitempty" example:"user-1234"` // passed over

	TopK              *int     `json:"top_k,omitempty" default:"0" minimum:"0"` // 0: all
	RepetitionPenalty *float64 `json:"repetition_penalty,omitempty" default:"1" minimum:"0.01" maximum:"100"`
	Truncate          *bool    `json:"truncate,omitempty" default:"false"` // cut a prompt that is too long, rather than refuse it
}

// streamOptions are of a stream.
type streamOptions struct {
	IncludeUsage       *bool    `json:"include_usage,omitempty" default:"false"`             // one chunk more, without choices, tells the usage
	IncludeObfuscation *ignored `json:"include_obfuscation,omitempty" swaggertype:"boolean"` // passed over
} // @name StreamOptions

func (s sampling) streams() bool { return s.Stream != nil && *s.Stream }

func (s sampling) usage() bool {
	return s.StreamOptions != nil && s.StreamOptions.IncludeUsage != nil && *s.StreamOptions.IncludeUsage
}

// mostChoices is how many texts one request may ask for, with all its prompts.
const mostChoices = 32

// read checks everything at once. most is the bound on tokens that was asked for, nil
// for none, and field its name.
func (s sampling) read(field string, most *int, standard int) (p inference.Parameters, n int, err error) {
	p = inference.DefaultParameters()
	p.MaxNewTokens, p.Sample = standard, true
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, invalid.Field(field, format, args...))
	}
	number := func(field string, into, given *float64, low, high float64) {
		if given == nil {
			return
		}
		if *into = *given; !(*given >= low && *given <= high) {
			fault(field, "must be from %v to %v, not %v", low, high, *given)
		}
	}
	number("temperature", &p.Temperature, s.Temperature, 0, 2)
	number("top_p", &p.TopP, s.TopP, 0, 1)
	number("presence_penalty", &p.PresencePenalty, s.PresencePenalty, -2, 2)
	number("frequency_penalty", &p.FrequencyPenalty, s.FrequencyPenalty, -2, 2)
	number("repetition_penalty", &p.RepetitionPenalty, s.RepetitionPenalty, 0.01, 100)
	p.TopP = max(p.TopP, math.SmallestNonzeroFloat32) // 0 keeps the likeliest token, as a very small share does
	if p.Temperature == 0 {
		p.Sample, p.Temperature = false, 1
	}
	if s.TopK != nil {
		if p.TopK = *s.TopK; p.TopK < 0 {
			fault("top_k", "must not be negative, is %d; 0 keeps all tokens", p.TopK)
		}
	}
	if most != nil {
		if p.MaxNewTokens = *most; *most < 1 {
			fault(field, "must be at least 1, not %d", *most)
		}
		p.MaxNewTokens = min(p.MaxNewTokens, mostNewTokens) // beyond what any model here writes
	}
	n = 1
	if s.N != nil {
		if n = *s.N; n < 1 || n > 8 {
			fault("n", "must be from 1 to 8, not %d", n)
		}
	}
	p.Stop = slices.Clone(s.Stop)
	p.Seed = new(rand.Uint64()) // #nosec G404 -- texts, not secrets
	if s.Seed != nil {
		p.Seed = new(uint64(*s.Seed)) // #nosec G115 -- any 64 bits will do
	}
	if s.StreamOptions != nil && !s.streams() {
		fault("stream_options", "go with stream")
	}
	if len(s.LogitBias) > mostBiases {
		fault("logit_bias", "holds %d tokens; at most %d are taken", len(s.LogitBias), mostBiases)
		return p, n, errors.Join(faults...)
	}
	for token, bias := range s.LogitBias {
		id, bad := strconv.ParseInt(token, 10, 32)
		switch {
		case bad != nil || id < 0:
			fault("logit_bias", "%q is not the id of a token", brief(token))
		case !(bias >= -100 && bias <= 100):
			fault("logit_bias."+token, "must be from -100 to 100, not %v", bias)
		default:
			if p.Bias == nil {
				p.Bias = map[int32]float64{}
			}
			p.Bias[int32(id)] = bias
		}
	}
	return p, n, errors.Join(faults...)
}

const mostBiases = 1024

// parts is the content of a message: a text, or a list of parts that are all texts.
type parts string

// UnmarshalJSON joins the parts.
func (p *parts) UnmarshalJSON(data []byte) error {
	if lone := loneSurrogate(data); lone != "" {
		return &invalid.Fault{Reason: fmt.Sprintf("holds %s, half of a surrogate pair, which is no character", lone)}
	}
	switch first(data) {
	case '"':
		return json.Unmarshal(data, (*string)(p))
	case '[':
		var list []json.RawMessage
		if err := json.Unmarshal(data, &list); err != nil {
			return err
		}
		var faults []error
		*p = ""
		for i, raw := range list {
			var part struct {
				Type string
				Text *string
			}
			at := fmt.Sprintf("[%d]", i)
			switch err := json.Unmarshal(raw, &part); {
			case err != nil:
				faults = append(faults, invalid.Field(at, `must be an object such as {"type": "text", "text": "…"}`))
			case part.Type != "text":
				faults = append(faults, invalid.Field(at+".type", "%q is not supported: these models read text alone", brief(part.Type)))
			case part.Text == nil:
				faults = append(faults, invalid.Field(at+".text", "is missing"))
			default:
				*p += parts(*part.Text)
			}
			if len(faults) > maxFaults {
				break
			}
		}
		return errors.Join(faults...)
	}
	return &invalid.Fault{Reason: `must be a text, or a list of parts {"type": "text", "text": "…"}`}
}
