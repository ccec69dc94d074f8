package train

import (
	"errors"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning/data"
)

// maxFaults is how many bad rows are named; a file of them is told by its first.
const maxFaults = 20

// lessons turns rows into what a generating base reads and writes. All rows that cannot
// teach anything are named at once.
func (a *attempt) lessons(rows []data.Row) ([]example, error) {
	examples := make([]example, len(rows))
	var errs []error
	for i, r := range rows {
		var err error
		if examples[i], err = a.lesson(r, a.sample == 0 || i < a.sample); err != nil {
			if errs = append(errs, err); len(errs) == maxFaults {
				break
			}
		}
	}
	return examples, errors.Join(errs...)
}

// lesson is one row: a prompt and its answer.
func (a *attempt) lesson(r data.Row, encode bool) (example, error) {
	prompt, answer := r.Source, r.TargetText
	field := "target"
	switch r.Kind {
	case data.Seq2Seq:
		prompt = a.prefix() + prompt
	default:
		return example{}, invalid.Line(r.Line, "", "is a row of kind %s; %s learns from source and target, or prompt and completion", r.Kind, a.spec.Model)
	}
	if strings.TrimSpace(answer) == "" {
		return example{}, invalid.Line(r.Line, field, "is empty: there is nothing to learn")
	}
	if !encode {
		return example{answer: answer}, nil
	}
	if a.base.Seq2Seq != nil {
		return a.translation(prompt, answer), nil
	}
	return a.continuation(prompt, answer), nil
}

// prefix tells a T5 which languages a translation is from and to (Raffel et al. 2020,
// appendix D).
func (a *attempt) prefix() string {
	if a.spec.SourceLang == "" {
		return ""
	}
	return "translate " + a.spec.SourceLang + " to " + a.spec.TargetLang + ": "
}

// translation encodes for an encoder-decoder: the prompt for the one, the answer with
// the end after it for the other.
func (a *attempt) translation(prompt, answer string) example {
	ends := a.base.Seq2Seq.Facts().EOS
	e := example{tokens: a.base.Text.Encode(prompt, nil, a.maxLength()), answer: answer}
	target := a.base.Text.EncodeTarget(answer, a.maxTarget())
	e.labels = target.IDs
	if n := len(e.labels); len(ends) > 0 && (n == 0 || !slices.Contains(ends, e.labels[n-1])) {
		e.labels = append(e.labels[:min(n, a.maxTarget()-1)], ends[0])
	}
	e.tokens.Truncated = e.tokens.Truncated || target.Truncated
	return e
}

// continuation encodes for a decoder: prompt and answer as one text, of which the
// answer and the end after it are learned. What is too long loses the beginning of its
// prompt first, but for the token that every text begins with, then the answer's end.
func (a *attempt) continuation(prompt, answer string) example {
	t := a.base.Text
	asked := t.Encode(prompt, nil, 0).IDs
	// Tokens may join across the border: then the answer is encoded by itself.
	whole := t.Encode(prompt+answer, nil, 0).IDs
	said := t.EncodePlain(answer)
	if len(whole) > len(asked) && slices.Equal(whole[:len(asked)], asked) {
		said = whole[len(asked):]
	}
	said = slices.Clone(said)
	if end, ok := t.EOS(); ok {
		if len(asked) > 0 && asked[len(asked)-1] == end { // a template that ends every text
			asked = asked[:len(asked)-1]
		}
		if len(said) == 0 || said[len(said)-1] != end {
			said = append(said, end)
		}
	}
	e := example{answer: answer}
	limit := a.maxLength()
	if n := limit / 2; len(said) > max(n, limit-len(asked)) {
		said, e.tokens.Truncated = said[:max(n, limit-len(asked))], true
	}
	if room := limit - len(said); len(asked) > room {
		head := 0
		if begin, ok := t.BOS(); ok && asked[0] == begin {
			head = 1
		}
		asked = append(slices.Clone(asked[:head]), asked[len(asked)-room+head:]...)
		e.tokens.Truncated = true
	}
	e.prompt = asked
	e.tokens.IDs = append(slices.Clone(asked), said...)
	e.labels = append(slices.Repeat([]int32{unasked}, len(asked)), said...)
	return e
}

// asked is how many tokens of an answer, or how many labels, an example asks for.
func (a *attempt) asked(e example) int {
	if !a.base.Generates() {
		return 1
	}
	n := 0
	for i, label := range e.labels {
		if label >= 0 && (i > 0 || a.base.Seq2Seq != nil) { // nothing comes before a decoder's first
			n++
		}
	}
	return n
}

// maxTarget is the longest answer of an encoder-decoder, in tokens.
func (a *attempt) maxTarget() int {
	n := *a.spec.Hyperparameters.MaxTargetLength
	if f := a.base.Facts(); f.MaxLength > 0 {
		n = min(n, f.MaxLength)
	}
	return n
}
