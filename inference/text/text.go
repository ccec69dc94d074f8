// Package text turns text into the numbers a model reads, and back.
//
// The one idea needed to read it: a tokenizer is a pipeline, the one that Hugging
// Face writes into tokenizer.json, and every stage of it is one small type here:
//
//	added tokens → normalizer → pre-tokenizer → model → template
//	                                 ids → decoder → text
//
// Ids equal those of the reference libraries (tokenizers, sentencepiece) for every
// string; the one exception is rare characters in a Split expression that has no
// code of its own (pattern.go). Whatever a file asks for that is not implemented is
// an error at loading that names it, never a guess. Folders without a tokenizer.json (vocab.txt,
// vocab.json and merges.txt, spiece.model, Marian's pair) are read into the same
// pipeline.
//
// Formats: https://huggingface.co/docs/tokenizers, https://github.com/google/sentencepiece.
package text

import (
	"strings"
	"unicode/utf8"
)

// Tokenizer encodes and decodes for one model. It does not change after Load, so
// any number of goroutines may use it at once.
type Tokenizer struct {
	source   *pipeline
	target   *pipeline // what labels go through; the source's for all but Marian
	template template
	vocab    *vocabulary // of the decoding side, with the added tokens
	special  map[int32]bool
	named    map[string]int32 // "pad_token" and the like
	decoding decoding
	tidy     bool // clean_up_tokenization_spaces
	maxLen   int
	cutLeft  bool // truncation takes from the front
}

// pipeline is the way from text to ids, without the template's special tokens.
type pipeline struct {
	raw        *matcher   // added tokens looked for in the text as it came
	normalized *matcher   // added tokens looked for in normalized text
	normalizer normalizer // nil: none
	pre        splitter   // nil: the model gets the text whole
	model      model
	codes      *vocabulary // Marian: a leading >>code<< is one token of this vocabulary
}

// piece is a stretch of text on its way through the pipeline.
type piece struct {
	text string
	head bool // it starts where the caller's text starts
}

// A normalizer rewrites text before it is cut up.
type normalizer interface {
	normalize(piece) piece
}

// A splitter cuts text into the pieces that the model sees one by one. It stops
// and returns false as soon as yield does.
type splitter interface {
	split(p piece, yield func(piece) bool) bool
}

// A model turns one piece into ids.
type model interface {
	tokenize(dst []int32, s string) []int32
}

// Encoding is what a model reads: the ids, and for each the sequence it belongs to
// in the sense of BERT (0 or 1).
type Encoding struct {
	IDs, TypeIDs []int32
	Truncated    bool
}

// Encode turns text, or a pair of texts, into ids with the special tokens around
// them. With maxLen > 0 there are at most that many, special tokens included: the
// longer text loses its end first. What is no UTF-8 counts as U+FFFD. An empty
// second text is none, as transformers has it.
func (t *Tokenizer) Encode(text string, pair *string, maxLen int) Encoding {
	e, _ := t.EncodeCut(text, pair, maxLen, LongestFirst) // fails for the other strategies only
	return e
}

// EncodeCut is Encode with a choice of the text that is cut. ErrTooShort: that
// text is too short to make room.
func (t *Tokenizer) EncodeCut(text string, pair *string, maxLen int, cut Truncation) (Encoding, error) {
	return t.encode(t.source, text, pair, maxLen, cut)
}

// EncodeTarget encodes what the model is to write, such as a translation. It
// differs from Encode where a model has two tokenizers (Marian).
func (t *Tokenizer) EncodeTarget(text string, maxLen int) Encoding {
	e, _ := t.encode(t.target, text, nil, maxLen, LongestFirst)
	return e
}

// EncodePlain turns text into ids and puts no special tokens around them. Those
// that are spelled out in the text still count.
func (t *Tokenizer) EncodePlain(text string) []int32 {
	return t.source.encode(text, -1)
}

func (t *Tokenizer) encode(p *pipeline, text string, pair *string, maxLen int, cut Truncation) (Encoding, error) {
	if pair != nil && *pair != "" {
		return t.template.join(p.encode(text, -1), p.encode(*pair, -1), true, maxLen, cut, t.cutLeft)
	}
	limit := -1
	if maxLen > 0 && !t.cutLeft {
		limit = maxLen // one more than fits shows that there was more
	}
	return t.template.join(p.encode(text, limit), nil, false, maxLen, cut, t.cutLeft)
}

// encode returns the ids of text; with limit ≥ 0 it may stop once it has more than
// that many.
func (p *pipeline) encode(text string, limit int) []int32 {
	if !utf8.ValidString(text) {
		text = string([]rune(text))
	}
	room := len(text)/4 + 8
	if limit >= 0 {
		room = min(room, limit+8)
	}
	ids := make([]int32, 0, room)
	more := func() bool { return limit < 0 || len(ids) <= limit }
	token := func(id int32) bool {
		ids = append(ids, id)
		return more()
	}
	word := func(w piece) bool {
		ids = p.model.tokenize(ids, w.text)
		return more()
	}
	plain := func(w piece) bool {
		if p.pre == nil {
			return word(w)
		}
		return p.pre.split(w, word)
	}
	p.raw.split(piece{text, true}, token, func(w piece) bool {
		if p.codes != nil {
			id, rest, ok := p.code(w.text)
			if ok && !token(id) {
				return false
			}
			w.text = rest
		}
		if p.normalizer != nil {
			w = p.normalizer.normalize(w)
		}
		return p.normalized.split(w, token, plain)
	})
	return ids
}

// code reads the language a Marian text opens with, such as ">>fr<< hello".
func (p *pipeline) code(s string) (id int32, rest string, ok bool) {
	if !strings.HasPrefix(s, ">>") {
		return 0, s, false
	}
	end := strings.Index(s, "<<")
	if end < 0 {
		return 0, s, false
	}
	end += len("<<")
	id, known := p.codes.ids[s[:end]]
	if !known {
		id = p.codes.unk
	}
	return id, s[end:], true
}

// Decode turns ids into text. skipSpecial leaves out special tokens and tidies the
// spaces before punctuation if the tokenizer asks for it; without it the text is as
// the decoder gives it. Ids that stand for nothing are left out.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	s := t.Stream(skipSpecial)
	s.out.Grow(4 * len(ids))
	for _, id := range ids {
		s.push(id)
	}
	return s.Flush()
}

// VocabSize returns how many rows an embedding table needs: one more than the
// largest id.
func (t *Tokenizer) VocabSize() int { return len(t.vocab.tokens) }

// Token returns how the vocabulary spells an id.
func (t *Tokenizer) Token(id int32) (string, bool) { return t.vocab.token(id) }

// ID returns the id of a token as the vocabulary spells it.
func (t *Tokenizer) ID(token string) (int32, bool) {
	id, ok := t.vocab.ids[token]
	return id, ok
}

// Special reports whether id is a special token, one that Decode can leave out.
func (t *Tokenizer) Special(id int32) bool { return t.special[id] }

// MaxLength returns the most tokens the model was made for, 0 if nothing says.
func (t *Tokenizer) MaxLength() int { return t.maxLen }

// PadID returns the id to fill up a batch with: the padding token, or without one
// the end of text, or else 0.
func (t *Tokenizer) PadID() int32 {
	if id, ok := t.named["pad_token"]; ok {
		return id
	}
	id, _ := t.EOS()
	return id
}

// BOS returns the token that begins a text, if the tokenizer names one.
func (t *Tokenizer) BOS() (int32, bool) { return t.name("bos_token") }

// EOS returns the token that ends a text, if the tokenizer names one.
func (t *Tokenizer) EOS() (int32, bool) { return t.name("eos_token") }

// UNK returns the token for what the vocabulary cannot spell, if there is one.
func (t *Tokenizer) UNK() (int32, bool) { return t.name("unk_token") }

// CLS returns the token that classifiers read, if the tokenizer names one.
func (t *Tokenizer) CLS() (int32, bool) { return t.name("cls_token") }

// SEP returns the token between two texts, if the tokenizer names one.
func (t *Tokenizer) SEP() (int32, bool) { return t.name("sep_token") }

// Mask returns the token that hides a word, if the tokenizer names one.
func (t *Tokenizer) Mask() (int32, bool) { return t.name("mask_token") }

func (t *Tokenizer) name(name string) (int32, bool) {
	id, ok := t.named[name]
	return id, ok
}
