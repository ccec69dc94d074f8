package routes

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/inference"
	"lorikeet/inference/prompt"
)

// generate answers POST /generate.
type generate struct {
	engine    engine
	metrics   *meters
	heartbeat time.Duration
	closing   context.Context // ends when what is still being written has to stop
}

// generateRequest asks for a text. It says what to write about in one of three ways:
// instruction, with its input if there is one; prompt; messages.
type generateRequest struct {
	Model        string     `json:"model,omitempty" example:"t5"`                                    // a base, a variant, or an adapter (which stands for its base with it); may be left out when there is only one base
	Adapter      choice     `json:"adapter,omitempty" example:"translator" swaggertype:"string"`     // the current version, or "translator@3"; null: the bare base
	Instruction  *string    `json:"instruction,omitempty" example:"Translate to German."`            // what to do; the template makes a prompt of it and its input
	Input        *string    `json:"input,omitempty" example:"Good morning."`                         // what the instruction is about
	Prompt       *string    `json:"prompt,omitempty"`                                                // the text as the model reads it
	Messages     []turn     `json:"messages,omitempty"`                                              // a conversation that ends with the user
	Template     string     `json:"template,omitempty" example:"plain" enums:"plain,t5,alpaca,chat"` // how instruction or messages become a prompt; the adapter's own, else the base's, unless named
	Parameters   parameters `json:"parameters,omitempty"`
	Stream       *bool      `json:"stream,omitempty" default:"false"`        // answer with server-sent events, as the text is written; so does Accept: text/event-stream
	ReturnTokens bool       `json:"return_tokens,omitempty" default:"false"` // give the ids of the tokens too
	Truncate     bool       `json:"truncate,omitempty" default:"false"`      // cut a prompt that is too long for the model, rather than refuse it
	Header       string     `json:"-" header:"X-Adapter" swaggerignore:"true"`
	Canary       string     `json:"-" header:"X-Canary-Key" swaggerignore:"true"`
	Accept       string     `json:"-" header:"Accept" swaggerignore:"true"`
} // @name GenerateRequest

func (in generateRequest) streams() bool {
	if in.Stream != nil {
		return *in.Stream
	}
	return wantsStream(in.Accept)
}

// turn is one message of a conversation.
type turn struct {
	Role    string `json:"role" example:"user" enums:"system,user,assistant"`
	Content string `json:"content" example:"Good morning."`
} // @name Turn

// generation is the answer to a generateRequest.
type generation struct {
	Model   string      `json:"model" example:"t5"`
	Adapter *adapterRef `json:"adapter"` // null: the bare base
	Text    string      `json:"text" example:"Guten Morgen."`
	ending
} // @name Generation

// generationEnd is the last object of a stream.
type generationEnd struct {
	Model   string      `json:"model"`
	Adapter *adapterRef `json:"adapter"`
	ending
}

// ending tells how a text came out.
type ending struct {
	Tokens       *[]int32          `json:"tokens,omitempty"` // with return_tokens; without the one that ended the text
	FinishReason string            `json:"finish_reason" example:"stop" enums:"stop,length"`
	Usage        generationUsage   `json:"usage"`
	Timings      generationTimings `json:"timings"`
	Seed         *uint64           `json:"seed,omitempty" example:"7"` // of what was drawn; the same one draws it again
	Warnings     []string          `json:"warnings,omitempty" example:"parameters.temperature does nothing without do_sample"`
}

// generationUsage counts tokens.
type generationUsage struct {
	InputTokens  int `json:"input_tokens" example:"12"`
	OutputTokens int `json:"output_tokens" example:"5"` // with the one that ended the text
} // @name GenerationUsage

// generationTimings are milliseconds, but for the last.
type generationTimings struct {
	QueueMS         float64 `json:"queue_ms" example:"0.4"`         // until the text had a place in the batch
	FirstTokenMS    float64 `json:"first_token_ms" example:"12.5"`  // until its first token was there
	InferenceMS     float64 `json:"inference_ms" example:"48.2"`    // from the place in the batch to the end
	TokensPerSecond float64 `json:"tokens_per_second" example:"83"` // of output, while it had its place
} // @name GenerationTimings

// writing is an answer, or a stream that is about to begin.
type writing struct {
	answer *generation
	stream *textOrder
}

func (o writing) write(w http.ResponseWriter, r *http.Request) error {
	if o.stream == nil {
		return encode(w, r, http.StatusOK, o.answer)
	}
	return o.stream.write(w, r)
}

// run writes a text.
//
//	@Summary		Write a text
//	@Description	Writes a text with a base that generates (T5, mT5, MarianMT, the LLaMA family), one of its adapters, or a variant: greedily, with beams, or by drawing tokens. Ask with exactly one of instruction (and its input), prompt and messages. Instruction and messages become a prompt by a template: the one that the adapter was tuned with, else the base's own chat template, else plain; a prompt is read as it is.
//	@Description
//	@Description	With `stream`, or `Accept: text/event-stream`, the answer is server-sent events: `data: {"text":"…"}` for each piece, whole characters always; then one `data:` object with finish_reason, usage, model, adapter and timings; then `data: [DONE]`. What goes wrong before the first piece is answered with a status as usual; what goes wrong later is an `event: error` whose data is a Problem, and the stream ends. A comment keeps a silent stream open. Closing the connection ends the text.
//	@Description
//	@Description	A parameter that does nothing, such as temperature without do_sample, is accepted and named in `warnings`.
//	@ID				generate
//	@Tags			inference
//	@Accept			json
//	@Produce		json
//	@Param			X-Adapter	header		string			false	"adapter to use when the body names none"
//	@Param			X-Canary-Key	header		string			false	"keeps the caller on one version where the traffic of an adapter is split: a user's id, say"
//	@Param			request		body		generateRequest	true	"what to write, and how"
//	@Success		200			{object}	generation
//	@Failure		default		{object}	Problem
//	@Router			/generate [post]
func (g generate) run(ctx context.Context, in generateRequest) (writing, error) {
	t, err := g.order(ctx, in)
	if err != nil {
		return writing{}, err
	}
	if in.streams() {
		return writing{stream: &t}, nil
	}
	ctx, stop := until(ctx, g.closing)
	defer stop()
	answer, err := t.ask(ctx, nil)
	if err != nil {
		return writing{}, err
	}
	return writing{answer: &generation{Model: answer.Model, Adapter: t.adapter(answer), Text: answer.Text, ending: t.ending(answer)}}, nil
}

// order checks what can be checked without the model, everything at once.
func (g generate) order(ctx context.Context, in generateRequest) (textOrder, error) {
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, invalid.Field(field, format, args...))
	}
	r := inference.GenerateRequest{Template: in.Template, Truncate: in.Truncate, Asker: askerOf(ctx, in.Canary)}
	var field string
	if r.Adapter, field = in.Adapter.or(in.Header); r.Adapter != "" {
		faults = append(faults, checkRef(field, r.Adapter))
	}
	var err error
	if r.Model, err = modelOrOnly(ctx, g.engine, in.Model); err != nil && !invalid.Is(err) {
		return textOrder{}, err
	}
	faults = append(faults, err)

	var ways []string
	if in.Prompt != nil {
		ways = append(ways, "prompt")
		r.Prompt = *in.Prompt
	}
	if in.Messages != nil {
		ways = append(ways, "messages")
		r.Ask = &prompt.Ask{Messages: make([]prompt.Message, len(in.Messages))}
		for i, m := range in.Messages {
			r.Ask.Messages[i] = prompt.Message(m)
		}
		faults = append(faults, prompt.CheckMessages(r.Ask.Messages, false))
	}
	if in.Instruction != nil {
		ways = append(ways, "instruction")
		r.Ask = &prompt.Ask{Instruction: *in.Instruction}
		if in.Input != nil {
			r.Ask.Input = *in.Input
		}
		if strings.TrimSpace(*in.Instruction) == "" {
			fault("instruction", "is empty; send a text that needs no instruction as prompt")
		}
	}
	switch {
	case len(ways) > 1:
		fault(ways[1], "excludes %s; send exactly one of prompt, messages and instruction", ways[0])
	case len(ways) == 0 && in.Input != nil:
		fault("input", "goes with an instruction; send a text that needs none as prompt")
	case len(ways) == 0:
		fault("prompt", "is missing; send exactly one of prompt, messages and instruction")
	case in.Input != nil && in.Instruction == nil:
		fault("input", "goes with an instruction, not with %s", ways[0])
	}
	switch {
	case in.Template == "":
	case !slices.Contains(prompt.Names, in.Template):
		fault("template", "%q is none of %s", brief(in.Template), strings.Join(prompt.Names, ", "))
	case len(ways) == 1 && in.Prompt != nil:
		fault("template", "makes a prompt of an instruction or of messages; a prompt is read as it is")
	}
	t := textOrder{by: g, tokens: in.ReturnTokens}
	r.Parameters, t.warnings, err = in.Parameters.read()
	if err = errors.Join(append(faults, err)...); err != nil {
		return textOrder{}, err
	}
	t.request = r
	return t, nil
}

// ask has the engine write the text, and counts what came of it. emit may be nil.
func (t *textOrder) ask(ctx context.Context, emit func(string) error) (inference.Generated, error) {
	start := time.Now()
	answer, err := t.by.engine.Generate(ctx, t.request, emit)
	if err = endedBy(ctx, err); err != nil {
		t.by.metrics.failedText(err)
		return answer, err
	}
	t.by.metrics.generation(answer, time.Since(start))
	attrs := []slog.Attr{slog.String("model", answer.Model), slog.Int("tokens", answer.InputTokens), slog.Int("output_tokens", answer.OutputTokens),
		slog.String("finish", answer.Finish), slog.Float64("queue_ms", milliseconds(answer.Queue)), slog.Float64("first_token_ms", milliseconds(answer.First))}
	if ref := cmp.Or(answer.Variant, answer.Adapter); ref != nil {
		attrs = append(attrs, slog.String("adapter", ref.String()))
	}
	note(ctx, attrs...)
	return answer, nil
}

func (t *textOrder) adapter(a inference.Generated) *adapterRef {
	return refOf(cmp.Or(a.Variant, a.Adapter))
}

func (t *textOrder) ending(a inference.Generated) ending {
	e := ending{
		FinishReason: a.Finish,
		Usage:        generationUsage{InputTokens: a.InputTokens, OutputTokens: a.OutputTokens},
		Timings:      generationTimings{QueueMS: milliseconds(a.Queue), FirstTokenMS: milliseconds(a.First), InferenceMS: milliseconds(a.Inference)},
		Warnings:     t.warnings,
	}
	if a.Inference > 0 {
		e.Timings.TokensPerSecond = float64(a.OutputTokens) / a.Inference.Seconds()
	}
	if t.tokens {
		e.Tokens = new(list(a.Tokens))
	}
	if t.request.Sample {
		e.Seed = t.request.Seed
	}
	return e
}
