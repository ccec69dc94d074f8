package text

import (
	"cmp"
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
