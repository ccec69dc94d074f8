package text

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/text/spm"
)

// newSPM makes the stages of a SentencePiece model. Their ids are the model's own.
func newSPM(m *spm.Model) (*spmNormalizer, model, error) {
	n, err := newSPMNormalizer(m)
	if err != nil {
		return nil, nil, err
	}
	switch m.Algorithm {
	case spm.Unigram:
		return n, newSPMUnigram(m), nil
	case spm.BPE:
		b, err := newSPMBPE(m)
		if err != nil {
			return nil, nil, err
		}
		if n.user != nil {
			return n, &barriers{n.user, b}, nil
		}
		return n, b, nil
	}
	return nil, nil, invalid.Field("trainer_spec.model_type", "words and characters are not supported")
}

func newSPMUnigram(m *spm.Model) *unigram {
	u := &unigram{unk: m.Unk, fallback: m.ByteFallback, single: true, scores: make([]float64, len(m.Pieces))}
	var entries []entry
	lowest, highest := float32(math.MaxFloat32), float32(0x1p-126) // as in the reference: FLT_MIN
	for _, p := range m.Pieces {
		if p.Kind == spm.Normal {
			lowest, highest = min(lowest, p.Score), max(highest, p.Score)
		}
	}
	for i, p := range m.Pieces {
		switch p.Kind {
		case spm.Normal:
			u.scores[i] = float64(p.Score)
		case spm.UserDefined: // a bonus, so that it always wins
			u.scores[i] = float64(float32(len(p.Text))*highest) - 0.1
		default:
			continue
		}
		entries = append(entries, entry{p.Text, int32(i)})
	}
	u.unkScore = float64(lowest - unkPenalty)
	u.bytes = spmBytes(m)
	u.setTokens(entries)
	return u
}

func spmBytes(m *spm.Model) [256]int32 {
	ids := map[string]int32{}
	for i, p := range m.Pieces {
		if p.Kind == spm.Byte {
			ids[p.Text] = int32(i)
		}
	}
	return byteTokens(ids)
}

// newSPMBPE writes the scores of a BPE model as merges: two neighbours are joined
// if that makes a token, the one of the best score first.
func newSPMBPE(m *spm.Model) (*bpe, error) {
	b := &bpe{ids: map[string]int32{}, unk: m.Unk, fuseUnk: true, fallback: m.ByteFallback}
	var order []int32
	runes := 0
	for i, p := range m.Pieces {
		switch p.Kind {
		case spm.Normal:
			b.ids[p.Text] = int32(i)
			order = append(order, int32(i))
			runes += utf8.RuneCountInString(p.Text)
		case spm.Unused:
			return nil, invalid.Field("pieces", "token %d is unused, which is not supported in a BPE model", i)
		}
	}
	slices.SortStableFunc(order, func(i, j int32) int { return cmp.Compare(m.Pieces[j].Score, m.Pieces[i].Score) })
	b.merges = newMerges(runes)
	b.bytes = spmBytes(m)
	_, b.apart = b.ids[spaceMark]
	rank := int32(-1)
	for k, id := range order {
		token := m.Pieces[id].Text
		if k == 0 || m.Pieces[id].Score != m.Pieces[order[k-1]].Score {
			rank++
		}
		for at, r := range token {
			if _, ok := b.ids[string(r)]; !ok {
				return nil, invalid.Field("pieces", "%q in token %d is no token", r, id)
			}
			left, ok1 := b.ids[token[:at]]
			right, ok2 := b.ids[token[at:]]
			if at == 0 || !ok1 || !ok2 {
				continue
			}
			b.merges.add(left, right, rank, id)
			if strings.HasPrefix(token[at:], spaceMark) && !strings.HasSuffix(token[:at], spaceMark) {
				b.apart = false
			}
		}
	}
	b.finish(false)
	return b, nil
}

// barriers keeps user-defined tokens out of the merges of a BPE model.
type barriers struct {
	user *trie
	bpe  *bpe
}

func (m *barriers) tokenize(dst []int32, s string) []int32 {
	start := 0
	for i := 0; i < len(s); {
		if id, n := m.user.longest(s[i:]); n > 0 {
			dst = append(m.bpe.tokenize(dst, s[start:i]), id)
			i += n
			start = i
			continue
		}
		_, n := utf8.DecodeRuneInString(s[i:])
		i += n
	}
	return m.bpe.tokenize(dst, s[start:])
}

func spmVocabulary(m *spm.Model) *vocabulary {
	v := &vocabulary{ids: make(map[string]int32, len(m.Pieces)), unk: m.Unk}
	for i, p := range m.Pieces {
		v.ids[p.Text] = int32(i)
		v.tokens = append(v.tokens, p.Text)
	}
	return v
}

// loadT5 reads spiece.model. Above its tokens lie <extra_id_0>, the last, and so on
// downwards.
func loadT5(_ fs.FS, data []byte, c *config) (*Tokenizer, error) {
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

// loadMarian reads source.spm and target.spm, whose tokens get their ids from
// vocab.json.
func loadMarian(fsys fs.FS, data []byte, c *config) (*Tokenizer, error) {
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
