package routes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"lorikeet/adapters/invalid"
	"lorikeet/inference"
)

// completionRequest is the body of POST /v1/completions.
type completionRequest struct {
	Model  string  `json:"model" example:"t5"`          // a base, or a fine-tuned model by its name or name@version
	Prompt prompts `json:"prompt" swaggertype:"object"` // one text, or a list of them
	sampling
	MaxTokens *int         `json:"max_tokens,omitempty" default:"16" minimum:"1"` // of each text
	Logprobs  *int         `json:"logprobs,omitempty" minimum:"0" maximum:"20"`   // tell the log probability of each token, and of so many of the likeliest beside it
	BestOf    *int         `json:"best_of,omitempty" minimum:"1" maximum:"8"`     // nothing but n is supported
	Echo      *unsupported `json:"echo,omitempty" swaggertype:"boolean"`
	Suffix    *unsupported `json:"suffix,omitempty" swaggertype:"string"`
	Canary    string       `json:"-" header:"X-Canary-Key" swaggerignore:"true"`
} // @name CompletionRequest

// prompts are one text, or a list of them.
type prompts []string

// UnmarshalJSON reports every bad element, with its index.
func (p *prompts) UnmarshalJSON(data []byte) error {
	if c := first(data); c != '"' && c != '[' {
		return &invalid.Fault{Reason: "must be a text or a list of texts; lists of tokens are not supported"}
	}
	list, at, err := oneOrMany(data)
	if err != nil {
		return err
	}
	if n := len(list); n > mostChoices {
		return &invalid.Fault{Reason: fmt.Sprintf("holds %d texts; at most %d are gone on from in one request", n, mostChoices)}
	}
	all := make(prompts, len(list))
	var faults []error
	for i, raw := range list {
		if lone := loneSurrogate(raw); lone != "" {
			faults = append(faults, invalid.Field(at(i), "holds %s, half of a surrogate pair, which is no character", lone))
		} else if first(raw) != '"' || json.Unmarshal(raw, &all[i]) != nil {
			faults = append(faults, invalid.Field(at(i), "must be a text; lists of tokens are not supported"))
		}
	}
	*p = all
	return errors.Join(faults...)
}

// completion answers a completionRequest.
type completion struct {
	ID          string             `json:"id" example:"cmpl-5f0c2b7e9a1d4c3f8e6b7a90"`
	Object      string             `json:"object" example:"text_completion" enums:"text_completion"`
	Created     int64              `json:"created" example:"1764288000"`
	Model       string             `json:"model" example:"t5"` // exactly what answered
	Fingerprint string             `json:"system_fingerprint" example:"fp_9f86d081884c"`
	Choices     []completionChoice `json:"choices"`
	Usage       openaiUsage        `json:"usage"`
} // @name Completion

// completionChoice is one of the texts.
type completionChoice struct {
	Index        int                 `json:"index" example:"0"`
	Text         string              `json:"text" example:"Guten Morgen."`
	Logprobs     *completionLogprobs `json:"logprobs"` // null where not asked for
	FinishReason *string             `json:"finish_reason" example:"stop" enums:"stop,length"`
} // @name CompletionChoice

// completionLogprobs are lists of like length, one element for each token.
type completionLogprobs struct {
	Tokens   []string             `json:"tokens" example:"Guten"`
	Logprobs []float64            `json:"token_logprobs" example:"-0.02"`
	Top      []map[string]float64 `json:"top_logprobs"`
	Offsets  []int                `json:"text_offset" example:"0"` // where the token begins in the text, in characters
} // @name CompletionLogprobs

// complete goes on from prompts.
//
//	@Summary		Go on from a text (OpenAI)
//	@Description	Goes on from one prompt or several, as OpenAI's older API does; the prompt is read as it is, without a template. The choices are n for each prompt, in order. A classifier answers with its label. With `stream` the answer is server-sent events: `data:` chunks of object text_completion, then `data: [DONE]`.
//	@ID				createCompletion
//	@Tags			openai
//	@Accept			json
//	@Produce		json
//	@Param			X-Canary-Key	header	string	false	"keeps the caller on one version where the traffic of a model is split: a user's id, say"
//	@Param			request	body		completionRequest	true	"what to go on from, and how"
//	@Success		200		{object}	completion
//	@Failure		default	{object}	Problem
//	@Router			/v1/completions [post]
func (c completions) complete(ctx context.Context, in completionRequest) (answer completionAnswer[completion], err error) {
	var faults []error
	if len(in.Prompt) == 0 {
		faults = append(faults, invalid.Field("prompt", "is missing; send a text or a list of texts"))
	}
	p, n, wrong := in.read("max_tokens", in.MaxTokens, 16)
	faults = append(faults, wrong)
	if in.BestOf != nil && *in.BestOf != n {
		faults = append(faults, invalid.Field("best_of", "is %d; only the value of n, %d, is supported", *in.BestOf, n))
	}
	if total := n * len(in.Prompt); total > mostChoices {
		faults = append(faults, invalid.Field("n", "makes %d texts with %d prompts; at most %d are written in one request", total, len(in.Prompt), mostChoices))
	}
	top := -1
	if in.Logprobs != nil {
		if top = *in.Logprobs; top < 0 || top > inference.MostLogprobs {
			faults = append(faults, invalid.Field("logprobs", "must be from 0 to %d, not %d", inference.MostLogprobs, top))
		}
	}
	model, err := c.model(ctx, in.Model, in.Canary, faults)
	if err != nil {
		return answer, err
	}
	o := &completionOrder{completions: c, model: model, top: top, chunk: textDelta, usage: in.usage(), blame: "prompt"}
	if model.scores() {
		for _, text := range in.Prompt {
			o.inputs = append(o.inputs, inference.Input{Text: text})
		}
		o.n, o.truncate = n, in.Truncate == nil || *in.Truncate
	} else {
		for _, text := range in.Prompt {
			o.rows(inference.GenerateRequest{Model: model.name(), Prompt: text, Truncate: in.Truncate != nil && *in.Truncate, Parameters: p}, n)
		}
	}
	return completed(ctx, o, "cmpl-", in.streams(), textWhole)
}
