package text

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
)

// The folders of the Python tokenizers: a vocabulary, and the rest is known from
// the class.

// of refuses a class other than those that are known to work like each other; no
// class at all is one of them.
func (c *config) of(classes ...string) error {
	class := strings.TrimSuffix(c.Class, "Fast")
	if class == "" || slices.Contains(classes, class) {
		return nil
	}
	return invalid.Field("tokenizer_config.json.tokenizer_class", "%q has no tokenizer.json and is not supported without", c.Class)
}

// loadBERT reads vocab.txt, one token a line.
func loadBERT(_ fs.FS, data []byte, c *config) (*Tokenizer, error) {
	if err := c.of("BertTokenizer", "bert", "DistilBertTokenizer", "distilbert", "ElectraTokenizer", "electra",
		"MobileBertTokenizer", "mobilebert", "ConvBertTokenizer", "convbert", "SqueezeBertTokenizer", "squeezebert"); err != nil {
		return nil, err
	}
	if !utf8.Valid(data) {
		return nil, invalid.Field("", "is no UTF-8")
	}
	ids := map[string]int32{}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	for i, line := range lines {
		ids[strings.TrimSuffix(line, "\r")] = int32(i)
	}
	vocab := &vocabulary{ids: map[string]int32{}}
	for token, id := range ids {
		if err := vocab.add("vocab", token, id, len(lines)); err != nil {
			return nil, err
		}
	}
	delete(vocab.ids, "")
	c.name("unk_token", "[UNK]")
	c.name("sep_token", "[SEP]")
	c.name("pad_token", "[PAD]")
	c.name("cls_token", "[CLS]")
	c.name("mask_token", "[MASK]")
	model, e1 := newWordPiece(vocab, c.named["unk_token"].Content, "##", 100, "tokenizer_config.json")
	cls, e2 := c.one(vocab, "cls_token")
	sep, e3 := c.one(vocab, "sep_token")
	if err := errors.Join(e1, e2, e3); err != nil {
		return nil, err
	}
	n := bertNormalizer{clean: true, cjk: orTrue(c.CJK), lower: orTrue(c.Lower)}
	n.strip = n.lower
	if c.StripAccents != nil {
		n.strip = *c.StripAccents
	}
	return parts{
		normalizer: n,
		pre:        splitters{bertSplitter{}},
		model:      model,
		vocab:      vocab,
		template: template{
			single: []slot{cls, {text: 0}, sep},
			pair:   []slot{cls, {text: 0}, sep, {text: 1, typeID: 1}, {text: -1, ids: sep.ids, typeID: 1}},
		},
		decoding: decoding{{stage: func() stage { return &wordPieceDecoder{prefix: "##", tidy: true} }}},
	}.tokenizer(c)
}

// one finds a special token for a template.
func (c *config) one(vocab *vocabulary, name string) (slot, error) {
	id, ok := vocab.ids[c.named[name].Content]
	if !ok {
		return slot{}, invalid.Field("tokenizer_config.json."+name, "%q is not in the vocabulary", c.named[name].Content)
	}
	return slot{text: -1, ids: []int32{id}}, nil
}

func orTrue(b *bool) bool { return b == nil || *b }

// loadByteLevel reads vocab.json and merges.txt: GPT-2 and what was made after it.
func loadByteLevel(fsys fs.FS, data []byte, c *config) (*Tokenizer, error) {
	var ids map[string]int32
	if err := json.Unmarshal(data, &ids); err != nil {
		return nil, invalid.Field("", "%v", err)
	}
	vocab, err := newVocabulary("", ids)
	if err != nil {
		return nil, err
	}
	text, err := fs.ReadFile(fsys, "merges.txt")
	if err != nil {
		return nil, fmt.Errorf("read the merges beside it: %w", err)
	}
	lines := strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	pairs, err := splitMerges(trimEmpty(lines), "merges.txt")
	if err != nil {
		return nil, err
	}
	m := &bpe{ids: vocab.ids, unk: -1}
	if err := m.setMerges(pairs, "merges.txt"); err != nil {
		return nil, err
	}
	p := parts{
		pre:      byteLevel(c.PrefixSpace != nil && *c.PrefixSpace, true),
		model:    m,
		vocab:    vocab,
		template: bare,
		decoding: decoding{{stage: func() stage { return &levelDecoder{} }, fuses: true}},
	}
	switch {
	case c.of("GPT2Tokenizer", "gpt2") == nil:
	case c.of("RobertaTokenizer", "roberta", "BartTokenizer", "bart", "LongformerTokenizer", "longformer") == nil:
		for name, content := range map[string]string{"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>",
			"cls_token": "<s>", "unk_token": "<unk>", "pad_token": "<pad>"} {
			c.name(name, content)
		}
		if _, ok := c.named["mask_token"]; !ok {
			c.named["mask_token"] = tokenSpec{Content: "<mask>", Special: true, Lstrip: true}
		}
		cls, e1 := c.one(vocab, "cls_token")
		sep, e2 := c.one(vocab, "sep_token")
		if err := errors.Join(e1, e2); err != nil {
			return nil, err
		}
		p.template = template{
			single: []slot{cls, {text: 0}, sep},
			pair:   []slot{cls, {text: 0}, sep, sep, {text: 1}, sep},
		}
	case c.of("Qwen2Tokenizer", "qwen2") == nil:
		p.normalizer = formNormalizer{formC}
		p.pre = splitters{cutter{at: scanner(scanQwen2)}, byteSpeller{}}
	default:
		return nil, c.of()
	}
	m.useBytes()
	p.pre = p.pre[:len(p.pre)-1] // which spells bytes
	m.finish(false)
	return p.tokenizer(c)
}

func trimEmpty(lines []string) []string {
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}
