package train

import (
	"slices"
	"strings"

	"lorikeet/inference/text"
)

// examples encodes lessons of one row. For an encoder-decoder each is an example: it has
// one target. For a decoder the answers of a conversation are learned from one text,
// unless the template shows an earlier answer otherwise once it is history.
func (a *attempt) examples(all []lesson) []example {
	var examples []example
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[0].prompt.Whole && all[n].prompt.Text+all[n].shown == all[0].prompt.Text+all[0].shown {
			n++
		}
		if a.base.Seq2Seq != nil {
			examples = append(examples, a.pair(all[0]))
			all = all[1:]
			continue
		}
		examples, all = append(examples, a.sequence(all[:n])), all[n:]
	}
	return examples
}

// pair encodes for an encoder-decoder: the prompt for the one, the answer with the end
// after it for the other.
func (a *attempt) pair(l lesson) example {
	e := example{answer: l.answer, tokens: a.source(l)}
	target := a.base.Text.EncodeTarget(l.answer, a.maxTarget())
	e.labels = target.IDs
	ends := a.base.Ends()
	if n := len(e.labels); len(ends) > 0 && (n == 0 || !slices.Contains(ends, e.labels[n-1])) {
		e.labels = append(e.labels[:min(n, a.maxTarget()-1)], ends[0])
	}
	e.counts = slices.Repeat([]float32{float32(l.counts)}, len(e.labels))
	e.tokens.Truncated = e.tokens.Truncated || target.Truncated
	return e
}

// source encodes what an encoder-decoder reads.
func (a *attempt) source(l lesson) text.Encoding {
	limit := a.maxLength()
	if !l.prompt.Whole {
		return a.base.Text.Encode(l.prompt.Text, nil, limit)
	}
	ids := a.base.Text.EncodePlain(l.prompt.Text)
	return text.Encoding{IDs: ids[max(0, len(ids)-limit):], Truncated: len(ids) > limit}
}

// sequence encodes for a decoder: one text, of which the answers and what ends them are
// learned. The ids are those of the whole text, as transformers has them, but where a
// token would join an answer to what stands around it.
func (a *attempt) sequence(all []lesson) example {
	w := weaver{t: a.base.Text, whole: all[0].prompt.Whole, text: all[0].prompt.Text + all[0].shown}
	var e example
	for i, l := range all {
		answer := l.answer
		if w.whole { // templates may trim
			answer = strings.TrimSpace(answer)
		}
		begin, at := len(l.prompt.Text), strings.Index(l.shown, answer)
		e.add(w.upTo(begin), 0)
		e.prompt, e.answer = slices.Clone(e.tokens.IDs), l.answer
		e.add(w.upTo(begin+at+len(answer)), l.counts)
		next := len(w.text)
		if i+1 < len(all) {
			next = len(all[i+1].prompt.Text)
		}
		after := w.upTo(next)
		n := a.ending(after)
		e.add(after[:n], l.counts)
		if i+1 < len(all) {
			e.add(after[n:], 0)
		} else if end := a.end(); end != nil && !slices.Contains(a.base.Ends(), e.tokens.IDs[len(e.tokens.IDs)-1]) {
			e.add(end, l.counts)
		}
	}
	e.fit(a.maxLength(), a.base.Text)
	return e
}

// ending counts the tokens after an answer that belong to it: up to an end token, before
// which only blanks may come. What another says is no part of the answer.
func (a *attempt) ending(after []int32) int {
	for i, id := range after {
		if slices.Contains(a.base.Ends(), id) {
			return i + 1
		}
		if strings.TrimSpace(a.base.Text.Decode([]int32{id}, false)) != "" {
			break
		}
	}
	return 0
}

// end is the token after an answer that nothing else ends; nil where there is none.
func (a *attempt) end() []int32 {
	if id, ok := a.base.Text.EOS(); ok {
		return []int32{id}
	}
	ends := a.base.Ends()
	return ends[:min(1, len(ends))]
}

// weaver encodes a text piece by piece.
type weaver struct {
	t     *text.Tokenizer
	whole bool // the text spells its special tokens out
	text  string
	n     int     // bytes done
	ids   []int32 // of them
}

// upTo encodes the text from where the last piece ended up to byte n. Where tokens join
// across the border, the piece is encoded by itself: that is how it is generated.
func (w *weaver) upTo(n int) []int32 {
	var ids []int32
	if w.whole {
		ids = w.t.EncodePlain(w.text[:n])
	} else if ids = w.t.Encode(w.text[:n], nil, 0).IDs; len(ids) > 0 {
		if end, ok := w.t.EOS(); ok && ids[len(ids)-1] == end { // a tokenizer that ends every text
			ids = ids[:len(ids)-1]
		}
	}
	more := ids[min(len(w.ids), len(ids)):]
	if len(ids) < len(w.ids) || !slices.Equal(ids[:len(w.ids)], w.ids) {
		more = w.t.EncodePlain(w.text[w.n:n])
	}
	w.n, w.ids = n, ids
	return more
}

// add appends tokens that count so much in the loss; 0: not at all.
func (e *example) add(ids []int32, counts float64) {
	e.tokens.IDs = append(e.tokens.IDs, ids...)
	for _, id := range ids {
		if counts == 0 {
			id = unasked
		}
		e.labels, e.counts = append(e.labels, id), append(e.counts, float32(counts))
	}
}

// fit cuts a sequence that is too long: what comes before the last answer loses its
// beginning first, but for the token that every text begins with, then the answer its end.
func (e *example) fit(limit int, t *text.Tokenizer) {
	asked, said := len(e.prompt), len(e.tokens.IDs)-len(e.prompt)
	if asked+said <= limit {
		return
	}
	e.tokens.Truncated = true
	said = min(said, max(limit/2, limit-asked))
	head, drop := 0, asked+said-limit
	if begin, ok := t.BOS(); ok && asked > 0 && e.prompt[0] == begin {
		head = 1
	}
	e.tokens.IDs = slices.Delete(e.tokens.IDs[:asked+said], head, head+drop)
	e.labels = slices.Delete(e.labels[:asked+said], head, head+drop)
	e.counts = slices.Delete(e.counts[:asked+said], head, head+drop)
	e.prompt = slices.Clone(e.tokens.IDs[:asked-drop])
}

// asked is how many tokens of an answer, by their weights, or how many labels an example
// asks for.
func (a *attempt) asked(e example) float64 {
	if !a.base.Generates() {
		return 1
	}
	n := 0.0
	for i, c := range e.counts {
		if i > 0 || a.base.Seq2Seq != nil { // nothing comes before a decoder's first
			n += float64(c)
		}
	}
	return n
}

// maxTarget is the longest answer that is written, in tokens.
func (a *attempt) maxTarget() int {
	n := *a.spec.Hyperparameters.MaxTargetLength
	if f := a.base.Facts(); f.MaxLength > 0 {
		n = min(n, f.MaxLength)
	}
	return n
}
