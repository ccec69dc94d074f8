package text

import (
	"encoding/json"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
)

// wordPiece spells a word with the longest token it starts with, then the longest
// continuation (written ##…) of what is left, and so on; a word that does not come
// out even is unknown as a whole.
type wordPiece struct {
	trie     *trie
	inner    int32 // the node of the continuation prefix
	maxRunes int   // a longer word is unknown
	unk      int32
}

func parseWordPiece(raw json.RawMessage, field string) (*wordPiece, *vocabulary, error) {
	var p struct {
		Unk      string `json:"unk_token"`
		Prefix   string `json:"continuing_subword_prefix"`
		MaxRunes int    `json:"max_input_chars_per_word"`
		Vocab    map[string]int32
	}
	if err := parseComponent(raw, field, &p, "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"); err != nil {
		return nil, nil, err
	}
	vocab, err := newVocabulary(field+".vocab", p.Vocab)
	if err != nil {
		return nil, nil, err
	}
	m, err := newWordPiece(vocab, p.Unk, p.Prefix, p.MaxRunes, field)
	return m, vocab, err
}

func newWordPiece(vocab *vocabulary, unk, prefix string, maxRunes int, field string) (*wordPiece, error) {
	id, ok := vocab.ids[unk]
	if !ok {
		return nil, invalid.Field(field+".unk_token", "%q is not in the vocabulary", unk)
	}
	entries := make([]entry, 0, len(vocab.ids))
	for token, id := range vocab.ids {
		entries = append(entries, entry{token, id})
	}
	m := &wordPiece{trie: newTrie(entries), maxRunes: maxRunes, unk: id}
	m.inner = m.trie.walk(0, prefix)
	return m, nil
}

func (m *wordPiece) tokenize(dst []int32, s string) []int32 {
	if len(s) > m.maxRunes && utf8.RuneCountInString(s) > m.maxRunes {
		return append(dst, m.unk)
	}
	known := len(dst)
	cells := m.trie.cells
	node := int32(0)
	for start := 0; start < len(s); {
		id, end := none, start
		for i := start; i < len(s) && node != none; i++ {
			next := cells[node].base + int32(s[i])
			c := cells[next]
			if !c.child(node) {
				break
			}
			if node = next; c.ends() {
				id, end = m.trie.values[node], i+1
			}
		}
		if id == none {
			return append(dst[:known], m.unk)
		}
		dst = append(dst, id)
		start, node = end, m.inner
	}
	return dst
}

// wordLevel has a token for every word it knows.
type wordLevel struct {
	ids map[string]int32
	unk int32
}

func parseWordLevel(raw json.RawMessage, field string) (*wordLevel, *vocabulary, error) {
	var p struct {
		Unk   string `json:"unk_token"`
		Vocab map[string]int32
	}
	if err := parseComponent(raw, field, &p, "unk_token", "vocab"); err != nil {
		return nil, nil, err
	}
	vocab, err := newVocabulary(field+".vocab", p.Vocab)
	if err != nil {
		return nil, nil, err
	}
	unk, ok := vocab.ids[p.Unk]
	if !ok {
		return nil, nil, invalid.Field(field+".unk_token", "%q is not in the vocabulary", p.Unk)
	}
	return &wordLevel{vocab.ids, unk}, vocab, nil
}

func (m *wordLevel) tokenize(dst []int32, s string) []int32 {
	if id, ok := m.ids[s]; ok {
		return append(dst, id)
	}
	return append(dst, m.unk)
}
