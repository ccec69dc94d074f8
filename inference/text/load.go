package text

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"lorikeet/adapters/invalid"
)

// Load reads a tokenizer from a model folder: from tokenizer.json, or without one
// from the files of the Python tokenizers (source.spm and target.spm, vocab.txt,
// vocab.json and merges.txt, spiece.model or tokenizer.model). What is wrong with
// a file is an invalid.Fault.
func Load(fsys fs.FS) (*Tokenizer, error) {
	c, err := readConfig(fsys)
	if err != nil {
		return nil, err
	}
	for _, kind := range []struct {
		file string
		load func(fs.FS, []byte, *config) (*Tokenizer, error)
	}{
		{"tokenizer.json", loadJSON},
		{"source.spm", loadMarian},
		{"vocab.txt", loadBERT},
		{"vocab.json", loadByteLevel},
		{"spiece.model", loadT5},
		{"tokenizer.model", loadLlama},
	} {
		data, err := fs.ReadFile(fsys, kind.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", kind.file, err)
		}
		t, err := kind.load(fsys, data, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind.file, err)
		}
		return t, nil
	}
	return nil, invalid.Field("tokenizer", "the folder has none of tokenizer.json, source.spm, vocab.txt, vocab.json, spiece.model, tokenizer.model")
}

// loadJSON reads tokenizer.json. Padding and truncation that are switched on in it
// are left aside: the caller says how long an encoding may be.
func loadJSON(_ fs.FS, data []byte, c *config) (*Tokenizer, error) {
	var f struct {
		Added         []addedSpec     `json:"added_tokens"`
		Normalizer    json.RawMessage `json:"normalizer"`
		PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
		PostProcessor json.RawMessage `json:"post_processor"`
		Decoder       json.RawMessage `json:"decoder"`
		Model         json.RawMessage `json:"model"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, invalid.Field("", "%v", err)
	}
	normalizer, e1 := parseNormalizer(f.Normalizer, "normalizer")
	pre, e2 := parseSplitter(f.PreTokenizer, "pre_tokenizer")
	template, e3 := parseTemplate(f.PostProcessor, "post_processor")
	decoding, e4 := parseDecoding(f.Decoder, "decoder")
	model, vocab, e5 := parseModel(f.Model, "model", &pre)
	if err := errors.Join(e1, e2, e3, e4, e5); err != nil {
		return nil, err
	}
	var added []addedToken
	for _, s := range f.Added {
		added = append(added, s.token(s.ID))
	}
	p := parts{normalizer: normalizer, pre: pre, model: model, vocab: vocab, added: added, template: template, decoding: decoding}
	return p.tokenizer(c)
}

type addedSpec struct {
	tokenSpec
	ID int32
}

func (s *addedSpec) UnmarshalJSON(b []byte) error {
	var id struct{ ID *int32 }
	if err := json.Unmarshal(b, &id); err != nil {
		return err
	}
	if id.ID == nil || *id.ID < 0 {
		return errors.New("an added token must have an id")
	}
	s.ID = *id.ID
	return s.tokenSpec.UnmarshalJSON(b)
}

// parseModel reads the model. When the last stage before a BPE model spells bytes
// as characters, both are spared it and pre loses the stage.
func parseModel(raw json.RawMessage, field string, pre *splitters) (model, *vocabulary, error) {
	kind, err := componentType(raw, field)
	if err != nil {
		if kind = untypedModel(raw); kind == "" {
			return nil, nil, err
		}
	}
	switch kind {
	case "BPE":
		last := len(*pre) - 1
		bytes := false
		if last >= 0 {
			_, bytes = (*pre)[last].(byteSpeller)
		}
		m, vocab, err := parseBPE(raw, field, bytes)
		if err != nil {
			return nil, nil, err
		}
		if m.level != nil {
			*pre = (*pre)[:last]
		}
		return m, vocab, nil
	case "WordPiece":
		m, vocab, err := parseWordPiece(raw, field)
		if err != nil {
			return nil, nil, err
		}
		return m, vocab, nil
	case "WordLevel":
		m, vocab, err := parseWordLevel(raw, field)
		if err != nil {
			return nil, nil, err
		}
		return m, vocab, nil
	case "Unigram":
		m, vocab, err := parseUnigram(raw, field)
		if err != nil {
			return nil, nil, err
		}
		return m, vocab, nil
	case "":
		return nil, nil, invalid.Field(field, "is missing")
	}
	return nil, nil, unknownType(field, "model", kind)
}

// untypedModel tells the models of old files apart by their members.
func untypedModel(raw json.RawMessage) string {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil || m["type"] != nil || m["vocab"] == nil {
		return ""
	}
	switch {
	case m["merges"] != nil:
		return "BPE"
	case m["continuing_subword_prefix"] != nil:
		return "WordPiece"
	case m["unk_id"] != nil:
		return "Unigram"
	}
	return ""
}

// parts are what a file gives; tokenizer puts them together.
type parts struct {
	normalizer normalizer
	pre        splitters
	model      model
	vocab      *vocabulary
	added      []addedToken
	template   template
	decoding   decoding
}

func (p parts) tokenizer(c *config) (*Tokenizer, error) {
	added, err := settle(p.added, p.vocab)
	if err == nil {
		added, err = c.tokens(added, p.vocab)
	}
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{
		template: p.template,
		vocab:    p.vocab,
		special:  map[int32]bool{},
		named:    map[string]int32{},
		decoding: p.decoding.gather(),
		maxLen:   c.maxLength(),
		cutLeft:  c.Side == "left",
	}
	for _, a := range added {
		if a.special {
			t.special[a.id] = true
		}
	}
	for name, s := range c.named {
		if id, ok := p.vocab.ids[s.Content]; ok {
			t.named[name] = id
			t.special[id] = true
		}
	}
	// transformers 5 spares BPE models the clean-up: it takes spaces that are there.
	_, isBPE := p.model.(*bpe)
	t.tidy = c.CleanUp && (!isBPE || c.CleanUpBPE)
	t.source = newPipeline(p.normalizer, p.pre, p.model, added)
	t.target = t.source
	if err := t.check(); err != nil {
		return nil, err
	}
	return t, nil
}

func newPipeline(n normalizer, pre splitters, m model, added []addedToken) *pipeline {
	p := &pipeline{normalizer: n, model: m}
	if len(pre) > 0 {
		p.pre = pre
		if len(pre) == 1 {
			p.pre = pre[0]
		}
	}
	var raw, normalized []addedToken
	var rawKeys, normalizedKeys []string
	for _, t := range added {
		if !t.normalized {
			raw, rawKeys = append(raw, t), append(rawKeys, t.content)
			continue
		}
		key := t.content
		if n != nil {
			key = n.normalize(piece{t.content, true}).text
		}
		normalized, normalizedKeys = append(normalized, t), append(normalizedKeys, key)
	}
	p.raw, p.normalized = newMatcher(raw, rawKeys), newMatcher(normalized, normalizedKeys)
	return p
}

// check refuses a template whose tokens the vocabulary does not have.
func (t *Tokenizer) check() error {
	var faults []error
	for _, s := range slices.Concat(t.template.single, t.template.pair) {
		for _, id := range s.ids {
			if _, ok := t.vocab.token(id); !ok {
				faults = append(faults, invalid.Field("post_processor", "token %d is not in the vocabulary", id))
			}
		}
	}
	return errors.Join(faults...)
}
