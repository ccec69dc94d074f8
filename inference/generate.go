package inference

import (
	"context"
	"fmt"
	"slices"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/inference/prompt"
)

// GenerateRequest asks a base for a text.
type GenerateRequest struct {
	Model    string      // a base, an adapter or a variant
	Adapter  string      // of a base; "": the bare base
	Prompt   string      // the text as the model reads it; or
	Ask      *prompt.Ask // what a template makes a prompt of
	Template string      // its name; "": the adapter's or the variant's, else the base's own
	Asker    adapters.Asker
	Truncate bool // cut a prompt that is too long, rather than refuse it
	Parameters
}

// Parameters say how a text is written. See DefaultParameters.
type Parameters struct {
	MaxNewTokens      int
	MinNewTokens      int
	NumBeams          int     // above 1: beam search
	LengthPenalty     float64 // of beams
	EarlyStopping     bool    // of beams
	Sample            bool    // false: the likeliest token each time
	Temperature       float64
	TopK              int     // 0: all
	TopP              float64 // 1: all
	RepetitionPenalty float64
	NoRepeatNgram     int // 0: off
	PresencePenalty   float64
	FrequencyPenalty  float64
	Bias              map[int32]float64 // added to the scores of tokens
	Stop              []string
	Seed              *uint64
	Logprobs          *Logprobs // nil: not asked for
}

// DefaultParameters are greedy search for 64 tokens.
func DefaultParameters() Parameters {
	return Parameters{MaxNewTokens: 64, NumBeams: 1, LengthPenalty: 1, Temperature: 1, TopP: 1, RepetitionPenalty: 1}
}

// Generated is what a request was answered with.
type Generated struct {
	Model        string
	Adapter      *adapters.Ref // nil: the bare base
	Variant      *adapters.Ref // the full fine-tune that answered, if one did
	Text         string
	Tokens       []int32 // written, without what ended the text
	Finish       string  // FinishStop | FinishLength
	InputTokens  int
	OutputTokens int           // written, with what ended the text
	Queue        time.Duration // waited for a place in the batch
	First        time.Duration // from the call to the first token
	Inference    time.Duration // from the place in the batch to the end
	Tokenize     time.Duration // making the prompt and its tokens, before all that
}

// Why a text ended.
const (
	FinishStop   = "stop"   // an end token or a stop string
	FinishLength = "length" // max_new_tokens, or the model's length
)

// Generate writes a text. emit, if there is one, is called with each piece of it as it
// comes: whole characters, put together Generated.Text; an error of emit ends the text
// and is returned. With beams there is one piece, at the end. Its errors are those of
// Predict. A text whose ctx ends gives its place in the batch up before the next token.
func (e *Engine) Generate(ctx context.Context, r GenerateRequest, emit func(text string) error) (Generated, error) {
	if err := e.Ready(); err != nil {
		return Generated{}, err
	}
	model, variant, release, names, err := e.resolve(ctx, Request{Model: r.Model, Adapters: []string{r.Adapter}, Inputs: make([]Input, 1), Asker: r.Asker})
	if err != nil {
		return Generated{}, err
	}
	defer release()
	if !model.base.Generates() {
		return Generated{}, invalid.Field("model", "%s scores texts and writes none; POST /predict asks it", model.name)
	}
	if err := model.writer.admits(max(1, r.NumBeams)); err != nil {
		return Generated{}, err
	}
	ctx, leave := context.WithCancel(ctx) // an error below frees the row
	defer leave()
	prepared, err := e.adapters(ctx, model, names, r.Asker)
	if err != nil {
		return Generated{}, err
	}
	start := time.Now()
	d, err := model.draft(ctx, r, prepared[names[0]])
	if err != nil {
		return Generated{}, err
	}
	tokenize := time.Since(start)
	e.meters.tokenize.Observe(tokenize.Seconds())
	if err := model.writer.push(d); err != nil {
		return Generated{}, err
	}
	g := Generated{Model: model.name, InputTokens: len(d.prompt), Tokenize: tokenize}
	if variant != nil && model.version != nil {
		g.Model, g.Variant = variant.Base, &variant.Ref
	}
	if d.adapter != nil {
		g.Adapter = &d.adapter.Ref
	}
	end, err := d.follow(emit)
	if err != nil {
		return Generated{}, err
	}
	g.Text, g.Tokens, g.Finish, g.OutputTokens = end.text, end.tokens, end.finish, end.written
	g.Queue, g.First, g.Inference = end.queue, end.first, end.writes
	return g, nil
}

// follow passes the pieces on until the text ends.
func (d *draft) follow(emit func(string) error) (*ending, error) {
	for {
		select {
		case p := <-d.pieces:
			if p.end != nil {
				return p.end, p.end.err
			}
			if p.token != nil {
				d.token(*p.token)
			}
			if emit != nil && p.text != "" {
				if err := emit(p.text); err != nil {
					return nil, err
				}
			}
		case <-d.ctx.Done():
			return nil, d.ctx.Err()
		}
	}
}

// draft begins a text: the prompt as the model reads it, and how it goes on.
func (s *served) draft(ctx context.Context, r GenerateRequest, a *Prepared) (*draft, error) {
	ids, err := s.prompt(r, a)
	if err != nil {
		return nil, err
	}
	return s.begin(ctx, ids, r.Parameters, a), nil
}

func (s *served) begin(ctx context.Context, ids []int32, p Parameters, a *Prepared) *draft {
	p.NumBeams = max(1, p.NumBeams)
	d := &draft{ctx: ctx, adapter: a, prompt: ids, beams: p.NumBeams, since: time.Now()}
	limit := s.writer.limit
	var before []int32
	if s.writer.reads() {
		d.most = min(p.MaxNewTokens, limit-1)
		start, _ := s.writer.scripts.family.starts()
		before = []int32{start}
	} else {
		d.most = min(p.MaxNewTokens, limit-len(d.prompt))
		before = slices.Clone(d.prompt)
	}
	rules := &s.base.rules
	d.plain = p.plain(rules)
	if d.beams > 1 {
		d.search = newBeams(&p, rules, before, d.most)
	} else {
		d.search = newWalk(&p, rules, before, d.most)
	}
	d.voice, d.token = newVoice(s.base.Text, p.Stop), p.teller(s.base.Text)
	d.pieces = make(chan piece, d.most+4)
	return d
}

// prompt is the tokens of what is asked.
func (s *served) prompt(r GenerateRequest, a *Prepared) ([]int32, error) {
	asked := prompt.Prompt{Text: r.Prompt}
	if r.Ask != nil {
		name := r.Template
		switch {
		case name != "":
		case a != nil:
			name = a.Template
		case s.version != nil:
			name = s.version.Template
		}
		template, err := prompt.Named(name, s.base.Chat)
		if err != nil {
			return nil, err
		}
		if asked, err = template.Prompt(*r.Ask); err != nil {
			return nil, err
		}
	}
	ids, cut := s.base.EncodePrompt(asked, s.promptLimit(r))
	if cut && !r.Truncate {
		return nil, fmt.Errorf("%w: %w", ErrTooLong, invalid.Field("prompt", "is longer than the %d tokens that %s takes; shorten it or set truncate", s.promptLimit(r), s.name))
	}
	if len(ids) == 0 {
		return nil, invalid.Field("prompt", "has no tokens: %s needs something to go on from", s.name)
	}
	return ids, nil
}

// promptLimit leaves a decoder room to answer: what was asked for, up to half its
// length where the prompt has to be cut for it, else a single token.
func (s *served) promptLimit(r GenerateRequest) int {
	limit := s.writer.limit
	switch {
	case s.writer.reads():
		return limit
	case r.Truncate:
		return limit - min(max(1, r.MaxNewTokens), limit/2)
	}
	return limit - 1
}

// EncodePrompt gives the tokens that a base reads for a prompt, at most limit, and
// whether it was cut. An encoder-decoder loses the end of what is too long; a decoder,
// which goes on from the end, loses the beginning, but for the token that every text
// begins with. limit 0: any length.
func (b *Base) EncodePrompt(p prompt.Prompt, limit int) (ids []int32, cut bool) {
	if b.Seq2Seq != nil {
		e := b.Text.Encode(p.Text, nil, limit)
		return e.IDs, e.Truncated
	}
	if p.Whole {
		ids = b.Text.EncodePlain(p.Text)
	} else {
		ids = b.Text.Encode(p.Text, nil, 0).IDs
		if end, ok := b.Text.EOS(); ok && len(ids) > 0 && ids[len(ids)-1] == end { // a tokenizer that ends every text
			ids = ids[:len(ids)-1]
		}
	}
	if limit == 0 || len(ids) <= limit {
		return ids, false
	}
	head := 0
	if begin, ok := b.Text.BOS(); ok && ids[0] == begin {
		head = 1
	}
	return append(slices.Clone(ids[:head]), ids[len(ids)-limit+head:]...), true
}
