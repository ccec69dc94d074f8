package text

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
)

// unigram finds the likeliest way to cut a piece into tokens (Kudo, 2018): a
// Viterbi search over every token at every place. A character that no token covers
// alone is unknown, at a price.
type unigram struct {
	trie     *trie
	scores   []float64
	unk      int32 // -1: there is none
	unkScore float64
	fallback bool // spell what is unknown in bytes
	bytes    [256]int32

	// single: scores add up in single precision, as in SentencePiece itself; the
	// Rust library uses double. What is a tie in one may be none in the other.
	single bool

	// apart is set when no token holds a space mark after another character: every
	// way leads through the places between words, so they can be taken one by one.
	apart bool

	// known finds the id of a run of unknown characters, which may be a token all
	// the same: one of another model's that shares the ids.
	known map[string]int32
	// rename gives the ids of the tokens; nil: their place in the model.
	rename []int32
}

// unkPenalty is how much worse than the worst token an unknown character is.
const unkPenalty = 10

func parseUnigram(raw json.RawMessage, field string) (*unigram, *vocabulary, error) {
	var p struct {
		Unk      *int32 `json:"unk_id"`
		Vocab    [][2]json.RawMessage
		Fallback bool `json:"byte_fallback"`
	}
	if err := parseComponent(raw, field, &p, "vocab"); err != nil {
		return nil, nil, err
	}
	m := &unigram{unk: -1, fallback: p.Fallback, known: map[string]int32{}}
	vocab := &vocabulary{ids: m.known}
	lowest := math.Inf(1)
	for i, pair := range p.Vocab {
		var token string
		if err := json.Unmarshal(pair[0], &token); err != nil {
			return nil, nil, invalid.Field(index(field+".vocab", i), "%v", err)
		}
		score, err := parseScore(pair[1])
		if err != nil {
			return nil, nil, invalid.Field(index(field+".vocab", i), "%v", err)
		}
		if token != "" { // one that is empty is never found
			vocab.ids[token] = int32(i)
		}
		vocab.tokens = append(vocab.tokens, token)
		m.scores = append(m.scores, score)
		lowest = min(lowest, score)
	}
	if p.Unk != nil {
		if *p.Unk < 0 || int(*p.Unk) >= len(m.scores) {
			return nil, nil, invalid.Field(field+".unk_id", "%d is not in a vocabulary of %d", *p.Unk, len(m.scores))
		}
		m.unk = *p.Unk
	}
	m.unkScore = lowest - unkPenalty
	m.bytes = byteTokens(m.known)
	entries := make([]entry, 0, len(m.known))
	for token, id := range m.known {
		entries = append(entries, entry{token, id})
	}
	m.setTokens(entries)
	return m, vocab, nil
}

// setTokens makes the trie.
func (m *unigram) setTokens(entries []entry) {
	mark := false
	m.apart = true
	for _, e := range entries {
		mark = mark || e.key == spaceMark
		m.apart = m.apart && wordEnd(e.key) == len(e.key)
	}
	m.apart = m.apart && mark
	m.trie = newTrie(entries)
}

// step is the best way to come to a place: the token that ends there.
type step struct {
	score float64
	id    int32
	from  int32 // -1: no way is known yet
}

func (m *unigram) tokenize(dst []int32, s string) []int32 {
	score := 0.0
	if m.apart {
		for {
			end := wordEnd(s)
			if end == len(s) {
				break
			}
			dst, score = m.word(dst, s[:end], score)
			s = s[end:]
		}
	}
	dst, _ = m.word(dst, s, score)
	return dst
}

// wordEnd returns where the first word of s ends: before a space mark that follows
// another character.
func wordEnd(s string) int {
	end := 0
	for strings.HasPrefix(s[end:], spaceMark) {
		end += len(spaceMark)
	}
	if i := strings.Index(s[end:], spaceMark); i >= 0 {
		return end + i
	}
	return len(s)
}

// word cuts s, given the score of the text before it, and returns its score too:
// what is added to what matters in the last place.
func (m *unigram) word(dst []int32, s string, score float64) ([]int32, float64) {
	var room [64]step
	best := room[:]
	if len(s) >= len(room) {
		best = make([]step, len(s)+1)
	}
	best = best[:len(s)+1]
	for i := range best {
		best[i].from = -1
	}
	best[0].score = score
	m.search(best, s)

	// From the end back to the start, then turned around. Unknown characters next
	// to each other are one token.
	at := len(dst)
	for end := len(s); end > 0; {
		id, start := best[end].id, int(best[end].from)
		if id != m.unk {
			dst = append(dst, m.name(id))
			end = start
			continue
		}
		for start > 0 && best[start].id == m.unk {
			start = int(best[start].from)
		}
		dst = m.unknown(dst, s[start:end])
		end = start
	}
	slices.Reverse(dst[at:])
	return dst, best[len(s)].score
}

func (m *unigram) search(best []step, s string) {
	cells := m.trie.cells
	for start := 0; start < len(s); {
		here := best[start].score
		size := 1
		if s[start] >= utf8.RuneSelf {
			_, size = utf8.DecodeRuneInString(s[start:])
		}
		alone := false // a token covers just this character
		node := int32(0)
		for i := start; i < len(s); i++ {
			next := cells[node].base + int32(s[i])
			c := cells[next]
			if !c.child(node) {
				break
			}
			if node = next; !c.ends() {
				continue
			}
			id := m.trie.values[node]
			to := &best[i+1]
			if score := m.round(here + m.scores[id]); to.from < 0 || score > to.score {
				*to = step{score, id, int32(start)}
			}
			alone = alone || i+1-start == size
		}
		if !alone {
			to := &best[start+size]
			if score := m.round(here + m.unkScore); to.from < 0 || score > to.score {
				*to = step{score, m.unk, int32(start)}
			}
		}
		start += size
	}
}

func (m *unigram) round(score float64) float64 {
	if m.single {
		return float64(float32(score))
	}
	return score
}

func (m *unigram) name(id int32) int32 {
	if m.rename != nil {
		return m.rename[id]
	}
	return id
}

// unknown appends what stands for a run of unknown characters, last id first.
func (m *unigram) unknown(dst []int32, s string) []int32 {
	if id, ok := m.known[s]; ok {
		return append(dst, id)
	}
	if m.fallback {
		ids := len(dst)
		for i := len(s) - 1; i >= 0; i-- {
			id := m.bytes[s[i]]
			if id < 0 {
				return m.appendUnk(dst[:ids])
			}
			dst = append(dst, id)
		}
		return dst
	}
	return m.appendUnk(dst)
}

func (m *unigram) appendUnk(dst []int32) []int32 {
	if m.unk < 0 {
		return dst
	}
	return append(dst, m.name(m.unk))
}
