package text

import (
	"fmt"
	"io/fs"
	"slices"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/text/spm"
)

// loadT5 reads spiece.model. Above its tokens lie <extra_id_0>, the last, and so on
// downwards.
func loadT5(_ fs.FS, data []byte, c *config) (*Tokenizer, error) {
	if err := c.of("T5Tokenizer", "t5", "MT5Tokenizer", "mt5"); err != nil {
		return nil, err
	}
	m, err := spm.Parse(data)
	if err != nil {
		return nil, err
	}
	n, model, err := newSPM(m)
	if err != nil {
		return nil, err
	}
	vocab := spmVocabulary(m)
	c.name("eos_token", "</s>")
	c.name("unk_token", "<unk>")
	c.name("pad_token", "<pad>")
	extra := 100
	if c.ExtraIDs != nil {
		extra = *c.ExtraIDs
	}
	if extra < 0 || extra > sparse {
		return nil, invalid.Field("tokenizer_config.json.extra_ids", "%d is out of range", extra)
	}
	var added []addedToken
	for i := range extra {
		added = append(added, addedToken{id: int32(len(m.Pieces) + extra - 1 - i), content: fmt.Sprintf("<extra_id_%d>", i), special: true})
	}
	eos, err := c.one(vocab, "eos_token")
	if err != nil {
		return nil, err
	}
	return parts{
		normalizer: n,
		model:      model,
		vocab:      vocab,
		added:      added,
		template: template{
			single: []slot{{text: 0}, eos},
			pair:   []slot{{text: 0}, eos, {text: 1}, eos},
		},
		decoding: decoding{{stage: func() stage { return &metaspaceDecoder{space: spaceMark} }}},
	}.tokenizer(c)
}

// loadLlama reads tokenizer.model of the LLaMA family.
func loadLlama(_ fs.FS, data []byte, c *config) (*Tokenizer, error) {
	if err := c.of("LlamaTokenizer", "llama"); err != nil {
		return nil, err
	}
	m, err := spm.Parse(data)
	if err != nil {
		return nil, err
	}
	n, model, err := newSPM(m)
	if err != nil {
		return nil, err
	}
	vocab := spmVocabulary(m)
	c.name("bos_token", "<s>")
	c.name("eos_token", "</s>")
	c.name("unk_token", "<unk>")
	var before, after []slot
	if orTrue(c.AddBOS) {
		bos, err := c.one(vocab, "bos_token")
		if err != nil {
			return nil, err
		}
		before = []slot{bos}
	}
	if c.AddEOS != nil && *c.AddEOS {
		eos, err := c.one(vocab, "eos_token")
		if err != nil {
			return nil, err
		}
		after = []slot{eos}
	}
	second := func(slots []slot) []slot {
		slots = slices.Clone(slots)
		for i := range slots {
			slots[i].typeID = 1
		}
		return slots
	}
	return parts{
		normalizer: n,
		model:      model,
		vocab:      vocab,
		template: template{
			single: slices.Concat(before, []slot{{text: 0}}, after),
			pair: slices.Concat(before, []slot{{text: 0}}, after,
				second(before), []slot{{text: 1, typeID: 1}}, second(after)),
		},
		decoding: decoding{
			{stage: func() stage { return replaceDecoder{literal(spaceMark), " "} }},
			{stage: func() stage { return &fallbackDecoder{} }},
			{stage: func() stage { return &fuse{} }, fuses: true, parts: true},
			{stage: func() stage { return &stripDecoder{char: " ", start: 1} }, parts: true},
		},
	}.tokenizer(c)
}
