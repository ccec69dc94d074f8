package routes

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"lorikeet/adapters"
	"lorikeet/inference"
	"lorikeet/inference/arch"
)

// completionOrder is texts to be written, or labels to be given.
type completionOrder struct {
	completions
	model    askedModel
	texts    []inference.GenerateRequest // of a model that writes: one for each choice
	inputs   []inference.Input           // of a classifier: one for each prompt
	n        int                         // choices for each prompt
	truncate bool
	top      int    // likeliest tokens to tell; -1: no log probabilities
	blame    string // the field that holds the prompt
	usage    bool   // a stream is to tell it
	chunk    func(completionHead, *delta, json.RawMessage) any

	head completionHead
}

// completionHead is the same in all chunks of a stream.
type completionHead struct {
	id          string
	created     int64
	model       string
	fingerprint string
}

// delta is a stretch of one of the texts. A nil one tells the usage.
type delta struct {
	index  int
	first  bool
	text   string
	tokens []inference.TokenLogprob
	finish string // with the last
	scored bool   // log probabilities were asked for
	offset int    // characters of the text before
}

// writtenText is one of the texts, whole.
type writtenText struct {
	text   string
	tokens []inference.TokenLogprob
	finish string
}

// rows asks for n texts after one prompt.
func (o *completionOrder) rows(r inference.GenerateRequest, n int) {
	o.n = n
	for i := range n {
		row := r
		row.Seed = new(*r.Seed + uint64(i))
		o.texts = append(o.texts, row)
	}
}

// completionAnswer is an answer, or a stream that is about to begin.
type completionAnswer[T any] struct {
	body  *T
	order *completionOrder
}

func (a completionAnswer[T]) write(w http.ResponseWriter, r *http.Request) error {
	if a.body != nil {
		return encode(w, r, http.StatusOK, a.body)
	}
	return a.order.stream(w, r)
}

// completed has the texts written, unless they are to be streamed.
func completed[T any](ctx context.Context, o *completionOrder, prefix string, stream bool, whole func(completionHead, []writtenText, openaiUsage) T) (completionAnswer[T], error) {
	var random [12]byte
	_, _ = rand.Read(random[:]) // never fails
	o.head = completionHead{prefix + hex.EncodeToString(random[:]), time.Now().Unix(), o.model.name(), o.model.fingerprint()}
	if stream {
		return completionAnswer[T]{order: o}, nil
	}
	ctx, stop := until(ctx, o.closing)
	defer stop()
	choices, used, err := o.write(ctx, func(delta) error { return nil })
	if err != nil {
		return completionAnswer[T]{}, err
	}
	return completionAnswer[T]{body: new(whole(o.head, choices, used))}, nil
}

// write has the engine answer. emit is called for one stretch after the other.
func (o *completionOrder) write(ctx context.Context, emit func(delta) error) (choices []writtenText, used openaiUsage, err error) {
	if o.model.scores() {
		choices, used, err = o.labels(ctx, emit)
	} else {
		choices, used, err = o.generate(ctx, emit)
	}
	err = endedBy(ctx, err)
	used.Total = used.Prompt + used.Completion
	note(ctx, slog.String("model", o.model.name()), slog.Int("choices", len(choices)), slog.Int("tokens", used.Prompt), slog.Int("output_tokens", used.Completion))
	return choices, used, o.blamed(err)
}

// generate writes the texts at once: they are rows of the one running batch.
func (o *completionOrder) generate(ctx context.Context, emit func(delta) error) ([]writtenText, openaiUsage, error) {
	choices := make([]writtenText, len(o.texts))
	answers := make([]inference.Generated, len(o.texts))
	var one sync.Mutex // emits at a time
	texts, ctx := errgroup.WithContext(ctx)
	for i, r := range o.texts {
		texts.Go(func() error {
			start := time.Now()
			var waiting []inference.TokenLogprob // for the text that they are in; of a stop string it never comes
			if o.top >= 0 {
				r.Logprobs = &inference.Logprobs{Top: o.top, Each: func(p inference.TokenLogprob) { waiting = append(waiting, p) }}
			}
			begun, length := false, 0
			answer, err := o.engine.Generate(ctx, r, func(text string) error {
				d := delta{index: i, first: !begun, text: text, tokens: waiting, scored: o.top >= 0, offset: length}
				choices[i].tokens = append(choices[i].tokens, waiting...)
				begun, waiting, length = true, nil, length+len([]rune(text))
				one.Lock()
				defer one.Unlock()
				return emit(d)
			})
			if err != nil {
				o.metrics.failedText(err)
				return err
			}
			o.metrics.generation(answer, time.Since(start))
			choices[i].text, choices[i].finish, answers[i] = answer.Text, answer.Finish, answer
			one.Lock()
			defer one.Unlock()
			return emit(delta{index: i, first: !begun, finish: answer.Finish, scored: o.top >= 0, offset: length})
		})
	}
	if err := texts.Wait(); err != nil {
		return nil, openaiUsage{}, err
	}
	var used openaiUsage
	for i, a := range answers {
		if i%o.n == 0 {
			used.Prompt += a.InputTokens
		}
		used.Completion += a.OutputTokens
	}
	return choices, used, nil
}

// labels asks a classifier. Its label is the text, its labels are the likeliest tokens.
func (o *completionOrder) labels(ctx context.Context, emit func(delta) error) ([]writtenText, openaiUsage, error) {
	start := time.Now()
	answer, err := o.engine.Predict(ctx, inference.Request{Model: o.model.name(), Inputs: o.inputs, Truncate: o.truncate})
	if err != nil {
		return nil, openaiUsage{}, err
	}
	used := make([]*adapters.Ref, len(answer.Rows))
	var choices []writtenText
	for i, row := range answer.Rows {
		used[i] = cmp.Or(row.Adapter, answer.Variant)
		c, err := o.label(row)
		if err != nil {
			return nil, openaiUsage{}, fmt.Errorf("input %d: %w", i, err)
		}
		for range o.n {
			choices = append(choices, c)
		}
	}
	o.metrics.prediction(answer, used, time.Since(start))
	for i, c := range choices {
		d := delta{index: i, first: true, text: c.text, tokens: c.tokens, scored: o.top >= 0}
		if err := emit(d); err != nil {
			return nil, openaiUsage{}, err
		}
		if err := emit(delta{index: i, finish: c.finish, scored: o.top >= 0, offset: len([]rune(c.text))}); err != nil {
			return nil, openaiUsage{}, err
		}
	}
	return choices, openaiUsage{Prompt: answer.InputTokens, Completion: len(choices)}, nil
}

func (o *completionOrder) label(row inference.Row) (writtenText, error) {
	r, err := resultOf(row, nil, false)
	if err != nil {
		return writtenText{}, err
	}
	c := writtenText{text: r.Label, finish: inference.FinishStop}
	if row.Problem == arch.Regression {
		c.text = strconv.FormatFloat(float64(r.Score), 'g', -1, 32)
		return c, nil
	}
	if o.top >= 0 {
		of := func(s score) inference.TokenLogprob {
			return inference.TokenLogprob{Bytes: []byte(s.Label), Logprob: math.Log(float64(s.Score))}
		}
		token := of(score{r.Label, r.Score})
		for _, s := range r.Scores[:min(o.top, len(r.Scores))] {
			token.Top = append(token.Top, of(s))
		}
		c.tokens = []inference.TokenLogprob{token}
	}
	return c, nil
}

// blamed makes the engine's faults name fields of this request.
func (o *completionOrder) blamed(err error) error {
	return relabelled(err, func(field string) string {
		switch {
		case field == "prompt", strings.HasPrefix(field, "inputs"):
			return o.blame
		case strings.HasPrefix(field, "adapter"):
			return "model"
		}
		return field
	})
}

// stream answers with the texts as they come.
func (o *completionOrder) stream(w http.ResponseWriter, r *http.Request) error {
	var usage json.RawMessage // left out, unless it is to come; then null in every chunk but the last
	if o.usage {
		usage = rawNull
	}
	var used openaiUsage
	out, err := textStream{o.heartbeat, o.closing, ""}.run(w, r, func(ctx context.Context, out *eventWriter) (err error) {
		_, used, err = o.write(ctx, func(d delta) error {
			if d.text == "" && d.finish == "" {
				return nil
			}
			return left(out.data("", o.chunk(o.head, &d, usage)))
		})
		return err
	})
	if out == nil {
		return err
	}
	if o.usage {
		text, err := json.Marshal(used)
		if err != nil {
			return err
		}
		if out.data("", o.chunk(o.head, nil, text)) != nil {
			return nil
		}
	}
	_ = out.send(done)
	return nil
}
