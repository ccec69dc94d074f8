package text

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/text/spm"
)

// loadMarian reads source.spm and target.spm, whose tokens get their ids from
// vocab.json.
func loadMarian(fsys fs.FS, data []byte, c *config) (*Tokenizer, error) {
	if err := c.of("MarianTokenizer", "marian"); err != nil {
		return nil, err
	}
	if c.SeparateVocab {
		return nil, invalid.Field("tokenizer_config.json.separate_vocabs", "two vocabularies are not supported")
	}
	source, e1 := spm.Parse(data)
	target, e2 := readSPM(fsys, "target.spm")
	var ids map[string]int32
	text, e3 := fs.ReadFile(fsys, "vocab.json")
	if e3 == nil {
		e3 = json.Unmarshal(text, &ids)
	}
	if e3 != nil {
		e3 = invalid.Field("vocab.json", "%v", e3)
	}
	if err := errors.Join(e1, e2, e3); err != nil {
		return nil, err
	}
	vocab, err := newVocabulary("vocab.json", ids)
	if err != nil {
		return nil, err
	}
	c.name("eos_token", "</s>")
	c.name("unk_token", "<unk>")
	c.name("pad_token", "<pad>")
	eos, e1 := c.one(vocab, "eos_token")
	unk, e2 := c.one(vocab, "unk_token")
	_, e3 = c.one(vocab, "pad_token")
	if err := errors.Join(e1, e2, e3); err != nil {
		return nil, err
	}
	vocab.unk = unk.ids[0]
	sn, sm, e1 := newMarianSide(source, vocab)
	tn, tm, e2 := newMarianSide(target, vocab)
	if err := errors.Join(e1, e2); err != nil {
		return nil, err
	}
	added, err := c.tokens(nil, vocab)
	if err != nil {
		return nil, err
	}
	special := map[string]bool{}
	for i := range added {
		added[i].normalized = false // the Python tokenizers look in the text as it came
		if added[i].special {
			special[added[i].content] = true
		}
	}
	t, err := parts{
		normalizer: sn,
		model:      sm,
		vocab:      vocab,
		added:      added,
		template: template{
			single: []slot{{text: 0}, eos},
			pair:   []slot{{text: 0}, {text: 1, typeID: 1}, eos},
			evenly: true,
		},
		decoding: decoding{
			{stage: newMarianDecoder(target, special)},
			{stage: func() stage { return &trim{} }, parts: true},
		},
	}.tokenizer(c)
	if err != nil {
		return nil, err
	}
	t.target = newPipeline(tn, nil, tm, added)
	t.source.codes, t.target.codes = vocab, vocab
	return t, nil
}

func readSPM(fsys fs.FS, name string) (*spm.Model, error) {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	m, err := spm.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// newMarianSide makes the stages of one of the two models, with the ids of the
// vocabulary they share.
func newMarianSide(m *spm.Model, vocab *vocabulary) (*spmNormalizer, *unigram, error) {
	n, model, err := newSPM(m)
	if err != nil {
		return nil, nil, err
	}
	u, ok := model.(*unigram)
	if !ok || m.ByteFallback {
		return nil, nil, invalid.Field("trainer_spec", "Marian models are unigram models without byte fallback")
	}
	u.known = vocab.ids
	u.rename = make([]int32, len(m.Pieces))
	for i, p := range m.Pieces {
		id, ok := vocab.ids[p.Text]
		if !ok {
			id = vocab.unk
		}
		u.rename[i] = id
	}
	return n, u, nil
}

// marianDecoder is MarianTokenizer.convert_tokens_to_string: runs of tokens between
// special ones are decoded by the target's SentencePiece model.
type marianDecoder struct {
	model   *spm.Model
	kinds   map[string]spm.Kind
	special map[string]bool
	begun   bool // the run has text
}

// newMarianDecoder returns what makes a decoder for each text.
func newMarianDecoder(m *spm.Model, special map[string]bool) func() stage {
	kinds := make(map[string]spm.Kind, len(m.Pieces))
	for _, p := range m.Pieces {
		kinds[p.Text] = p.Kind
	}
	return func() stage { return &marianDecoder{model: m, special: special, kinds: kinds} }
}

func (d *marianDecoder) push(s string, start bool, out emit) {
	if d.special[s] {
		d.begun = false
		out(s+" ", start)
		return
	}
	switch kind, ok := d.kinds[s]; {
	case kind == spm.Control:
		return
	case kind == spm.Unknown:
		s = d.model.UnkSurface
	case ok && !d.begun && (d.model.AddDummyPrefix || d.model.RemoveExtraSpace):
		var space bool
		s, space = strings.CutPrefix(s, spaceMark)
		if space && !d.model.RemoveExtraSpace { // otherwise all spaces before the text go
			d.begun = true
		}
	}
	d.begun = d.begun || s != ""
	out(strings.ReplaceAll(s, spaceMark, " "), start)
}

func (d *marianDecoder) flush(emit) {}

// trim takes the white space from both ends of a text, as Python's strip does.
type trim struct {
	held  []byte // white space that is part of the text if any follows
	begun bool
}

func (d *trim) push(s string, _ bool, out emit) {
	if !d.begun {
		s = strings.TrimLeftFunc(s, pythonSpace)
	}
	end := len(strings.TrimRightFunc(s, pythonSpace))
	if end > 0 {
		d.begun = true
		out(string(d.held)+s[:end], true)
		d.held = d.held[:0]
	}
	d.held = append(d.held, s[end:]...)
}

func (d *trim) flush(emit) {}

func pythonSpace(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }
