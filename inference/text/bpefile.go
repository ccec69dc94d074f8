package text

import (
	"encoding/json"
	"strings"

	"lorikeet/adapters/invalid"
)

// parseBPE reads the BPE model of a tokenizer.json. With byteLevel it takes words as
// bytes that are not yet spelled as characters, if it can: see bpe.level.
func parseBPE(raw json.RawMessage, field string, byteLevel bool) (*bpe, *vocabulary, error) {
	var p struct {
		Dropout      *float64
		Unk          *string `json:"unk_token"`
		Prefix       *string `json:"continuing_subword_prefix"`
		Suffix       *string `json:"end_of_word_suffix"`
		FuseUnk      bool    `json:"fuse_unk"`
		Fallback     bool    `json:"byte_fallback"`
		IgnoreMerges bool    `json:"ignore_merges"`
		Vocab        map[string]int32
		Merges       json.RawMessage
	}
	if err := parseComponent(raw, field, &p, "vocab", "merges"); err != nil {
		return nil, nil, err
	}
	if p.Dropout != nil && *p.Dropout != 0 {
		return nil, nil, invalid.Field(field+".dropout", "is not supported: ids would differ from call to call")
	}
	vocab, err := newVocabulary(field+".vocab", p.Vocab)
	if err != nil {
		return nil, nil, err
	}
	pairs, err := parseMerges(p.Merges, field+".merges")
	if err != nil {
		return nil, nil, err
	}
	m := &bpe{ids: vocab.ids, unk: -1, fuseUnk: p.FuseUnk, fallback: p.Fallback}
	if p.Unk != nil && *p.Unk != "" {
		id, ok := vocab.ids[*p.Unk]
		if !ok {
			return nil, nil, invalid.Field(field+".unk_token", "%q is not in the vocabulary", *p.Unk)
		}
		m.unk = id
	}
	if p.Prefix != nil {
		m.prefix = *p.Prefix
	}
	if p.Suffix != nil {
		m.suffix = *p.Suffix
	}
	if err := m.setMerges(pairs, field+".merges"); err != nil {
		return nil, nil, err
	}
	if byteLevel {
		m.useBytes()
	}
	m.finish(p.IgnoreMerges)
	return m, vocab, nil
}

// parseMerges reads the rules: pairs, or in older files "left right".
func parseMerges(raw json.RawMessage, field string) ([][2]string, error) {
	var pairs [][2]string
	if err := json.Unmarshal(raw, &pairs); err == nil {
		return pairs, nil
	}
	var lines []string
	if err := json.Unmarshal(raw, &lines); err != nil {
		return nil, invalid.Field(field, "must be a list of pairs: %v", err)
	}
	return splitMerges(lines, field)
}

func splitMerges(lines []string, field string) ([][2]string, error) {
	pairs := make([][2]string, 0, len(lines))
	for i, line := range lines {
		if strings.HasPrefix(line, "#version") {
			continue
		}
		left, right, ok := strings.Cut(line, " ")
		if !ok || strings.Contains(right, " ") {
			return nil, invalid.Field(index(field, i), "%.40q must be two tokens", line)
		}
		pairs = append(pairs, [2]string{left, right})
	}
	return pairs, nil
}

// setMerges turns the rules into ids. The joined token lacks the prefix of its
// right half.
func (m *bpe) setMerges(pairs [][2]string, field string) error {
	m.merges = newMerges(len(pairs))
	m.bytes = byteTokens(m.ids)
	_, m.apart = m.ids[spaceMark]
	for rank, pair := range pairs {
		left, ok1 := m.ids[pair[0]]
		right, ok2 := m.ids[pair[1]]
		to, ok3 := int32(0), false
		if ok1 && ok2 && len(pair[1]) >= len(m.prefix) {
			to, ok3 = m.ids[pair[0]+pair[1][len(m.prefix):]]
		}
		if !ok3 {
			return invalid.Field(index(field, rank), "%.40q and %.40q, or what they join to, are not in the vocabulary", pair[0], pair[1])
		}
		m.merges.add(left, right, int32(rank), to)
		if strings.HasPrefix(pair[1], spaceMark) && !strings.HasSuffix(pair[0], spaceMark) {
			m.apart = false
		}
	}
	if m.prefix != "" || m.suffix != "" {
		m.apart = false
	}
	return nil
}
