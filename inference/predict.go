package inference

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/inference/arch"
	"lorikeet/inference/text"
)

// Input is a text, or a pair of them.
type Input struct {
	Text string
	Pair *string
}

// Request asks for the scores of some texts.
type Request struct {
	Model    string   // a base, an adapter or a variant
	Adapters []string // one for each input, "" for the bare base; nil: none
	Inputs   []Input
	Asker    adapters.Asker // who asks, where the traffic of a name is split
	Truncate bool           // cut texts that are too long, rather than refuse them
}

// Row is the answer to one input.
type Row struct {
	Logits  []float32
	Labels  []string // beside Logits
	Problem arch.Problem
	Adapter *adapters.Ref // nil: the bare base
	Tokens  int
	// Temperature makes calibrated scores of the logits; 0: the model is not calibrated.
	Temperature float64
}

// Answer is what Predict returns: one row for each input, in order.
type Answer struct {
	Model       string
	Variant     *adapters.Ref // the full fine-tune that answered, if one did
	Rows        []Row
	InputTokens int
	Queue       time.Duration // the longest that a text waited for its batch
	Inference   time.Duration // the longest that its batch ran
	Tokenize    time.Duration // making tokens of all texts
	Device      time.Duration // the part of Inference that the device took
	Batch       int           // texts in the largest of its batches, those of others too
}

// Predict scores texts. Each input may name its own adapter: they share batches.
// Its errors are adapters.ErrNotFound, ErrUnknownModel, ErrNoHead, ErrWrongBase,
// ErrBusy, ErrLoading, ErrFull, ctx's, or hold an invalid.Fault.
func (e *Engine) Predict(ctx context.Context, r Request) (Answer, error) {
	if err := e.Ready(); err != nil {
		return Answer{}, err
	}
	model, variant, release, names, err := e.resolve(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	defer release()
	if model.base.Generates() {
		return Answer{}, invalid.Field("model", "%s writes texts and has no scores; POST /generate asks it", model.name)
	}
	if err := e.queue.admits(); err != nil {
		return Answer{}, err
	}
	ctx, leave := context.WithCancel(ctx) // what is left of a request that failed is not run
	defer leave()
	prepared, err := e.adapters(ctx, model, names, r.Asker)
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{Model: model.name, Rows: make([]Row, len(r.Inputs))}
	if model.version != nil {
		answer.Model, answer.Variant = variant.Base, &variant.Ref
	}
	answers := make(chan result, len(r.Inputs))
	start := time.Now()
	items, err := e.items(ctx, model, r, names, prepared, answers)
	if err != nil {
		return Answer{}, err
	}
	answer.Tokenize = time.Since(start)
	e.meters.tokenize.Observe(answer.Tokenize.Seconds())
	for i, it := range items {
		it.since = time.Now()
		answer.Rows[i] = e.row(model, it)
		answer.InputTokens += len(it.tokens.IDs)
	}
	if err := e.queue.push(items); err != nil {
		return Answer{}, err
	}
	for range items {
		select {
		case a := <-answers:
			if a.err != nil {
				return Answer{}, a.err
			}
			answer.Rows[a.index].Logits = a.logits
			answer.Queue, answer.Inference = max(answer.Queue, a.queued), max(answer.Inference, a.ran)
			answer.Device, answer.Batch = max(answer.Device, a.device), max(answer.Batch, a.batch)
		case <-ctx.Done():
			return Answer{}, ctx.Err()
		}
	}
	return answer, nil
}

// resolve finds the model, and the adapter of each input. A name that is not a base
// may be an adapter, which stands for its base with that adapter, or a variant, which
// is given too: a model on the device may have been placed for a twin of it.
func (e *Engine) resolve(ctx context.Context, r Request) (*served, *adapters.Version, func(), []string, error) {
	hold := func() {}
	names := make([]string, len(r.Inputs))
	if r.Adapters != nil && copy(names, r.Adapters) != len(names) || len(r.Adapters) > len(names) {
		return nil, nil, nil, nil, invalid.Field("adapters", "has %d names for %d inputs", len(r.Adapters), len(names))
	}
	if s := e.base(r.Model); s != nil {
		return s, nil, hold, names, nil
	}
	v, err := e.Registry.Route(ctx, r.Model, r.Asker)
	if errors.Is(err, adapters.ErrNotFound) || errors.Is(err, adapters.ErrName) {
		return nil, nil, nil, nil, fmt.Errorf("%w: %q; bases: %s", ErrUnknownModel, r.Model, e.names())
	}
	if err != nil {
		return nil, nil, nil, nil, err
	}
	for _, n := range names {
		if n != "" {
			return nil, nil, nil, nil, invalid.Field("model", "%q is not a base: it cannot be combined with an adapter", r.Model)
		}
	}
	if v.Kind == adapters.KindVariant {
		s, release, err := e.variant(ctx, v)
		return s, &v, release, names, err
	}
	s, err := e.baseOf(v)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	for i := range names {
		names[i] = v.String()
	}
	return s, nil, hold, names, nil
}

// adapters prepares the named adapters of a request, each once.
func (e *Engine) adapters(ctx context.Context, model *served, names []string, who adapters.Asker) (map[string]*Prepared, error) {
	all := map[string]*Prepared{}
	for i, name := range names {
		if name == "" {
			if model.version == nil && len(model.base.Facts().Labels) == 0 && !model.base.Generates() {
				return nil, fmt.Errorf("%w: base %s is a bare encoder: name an adapter that brings a head, or tune one with POST /tune/lora", ErrNoHead, model.name)
			}
			continue
		}
		if _, ok := all[name]; ok {
			continue
		}
		v, err := e.Registry.Route(ctx, name, who)
		if err != nil {
			return nil, err
		}
		if v.Kind == adapters.KindVariant {
			return nil, invalid.Field(field("adapters", i, len(names)), "%s is a full fine-tune, not an adapter: use it as model", v.Ref)
		}
		if all[name], err = e.prepared(ctx, model, v); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// field names an element of a list, or the singular of the list where there is one.
func field(list string, i, n int) string {
	if n == 1 {
		return list[:len(list)-1]
	}
	return fmt.Sprintf("%s[%d]", list, i)
}

// prepared gives an adapter ready for the bank, from memory or from the store.
func (e *Engine) prepared(ctx context.Context, model *served, v adapters.Version) (*Prepared, error) {
	if err := model.base.fits(v); err != nil {
		return nil, err
	}
	p, err := e.host.get(ctx, hostKey(v), func() (*Prepared, error) {
		a, err := e.Registry.Open(context.WithoutCancel(ctx), v, model.base.Layout)
		if err != nil {
			return nil, err
		}
		return model.base.Prepare(v.Ref, a)
	})
	if err != nil || p.Ref == v.Ref {
		return p, err
	}
	twin := *p // the same contents under another name
	twin.Ref = v.Ref
	return &twin, nil
}

// hostKey names a prepared adapter: the same files on another base are prepared
// otherwise.
func hostKey(v adapters.Version) string { return v.Base + " " + v.Digest }

// short is the start of a digest, enough to tell two apart in a message.
func short(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }

func (e *Engine) items(ctx context.Context, model *served, r Request, names []string, prepared map[string]*Prepared, answers chan<- result) ([]*item, error) {
	items := make([]*item, len(r.Inputs))
	limit := model.base.Facts().MaxLength
	var errs []error
	var enc text.Encoding
	for i, in := range r.Inputs {
		if i > 0 && in == r.Inputs[i-1] { // the same text for the next adapter
			enc = items[i-1].tokens
		} else {
			enc = model.base.Text.Encode(in.Text, in.Pair, limit)
		}
		if enc.Truncated && !r.Truncate {
			errs = append(errs, invalid.Field(fmt.Sprintf("inputs[%d]", i), "is longer than the %d tokens that %s takes; shorten it or set truncate", limit, model.name))
		}
		items[i] = &item{ctx: ctx, model: model, tokens: enc, adapter: prepared[names[i]],
			index: i, answer: answers}
	}
	return items, errors.Join(errs...)
}

func (e *Engine) row(model *served, it *item) Row {
	f := model.base.Facts()
	row := Row{Labels: f.Labels, Problem: f.Problem, Tokens: len(it.tokens.IDs)}
	if c := model.base.Calibration; c != nil {
		row.Temperature = c.Temperature
	}
	if a := it.adapter; a != nil {
		row.Adapter = &a.Ref
		row.Problem, row.Temperature = a.Problem, a.Temperature
		if a.Labels != nil {
			row.Labels = a.Labels
		}
	}
	return row
}

// Scores turns logits into what a caller reads: probabilities by softmax, by sigmoid
// where several labels may hold, the value itself for regression.
func Scores(problem arch.Problem, logits []float32) []float64 {
	s := make([]float64, len(logits))
	switch problem {
	case arch.Regression:
		for i, x := range logits {
			s[i] = float64(x)
		}
	case arch.MultiLabel:
		for i, x := range logits {
			s[i] = 1 / (1 + math.Exp(-float64(x)))
		}
	default:
		top := math.Inf(-1)
		for _, x := range logits {
			top = max(top, float64(x))
		}
		var sum float64
		for i, x := range logits {
			s[i] = math.Exp(float64(x) - top)
			sum += s[i]
		}
		for i := range s {
			s[i] /= sum
		}
	}
	return s
}

// Calibrated are the probabilities of a row whose model is calibrated: the softmax of its
// logits over its temperature.
func Calibrated(row Row) []float64 {
	z := make([]float32, len(row.Logits))
	for i, x := range row.Logits {
		z[i] = float32(float64(x) / row.Temperature)
	}
	return Scores(row.Problem, z)
}
