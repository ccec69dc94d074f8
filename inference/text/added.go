package text

import (
	"strings"
	"unicode/utf8"

	"lorikeet/inference/text/chartype"
)

// addedToken is a token that is looked for in the text itself, before any model:
// [MASK], <|im_end|> and the like.
type addedToken struct {
	id         int32
	content    string
	singleWord bool // counts only where no word character touches it
	lstrip     bool // takes the white space before it along
	rstrip     bool // takes the white space after it along
	normalized bool // is looked for after normalization
	special    bool // decoding can leave it out
}

// matcher finds added tokens in a text, from left to right, the longest where
// several begin. A nil matcher finds none.
type matcher struct {
	tokens []addedToken
	trie   *trie
	first  [256]bool // the bytes that tokens begin with
	only   byte      // the one such byte,
	single bool      // if there is one only
}

// newMatcher looks for the tokens by their spelling in keys, the first of equals.
func newMatcher(tokens []addedToken, keys []string) *matcher {
	m := &matcher{tokens: tokens}
	var entries []entry
	seen := map[string]bool{}
	for i, key := range keys {
		if key == "" || seen[key] {
			continue
		}
		seen[key] = true
		entries = append(entries, entry{key, int32(i)})
		m.first[key[0]] = true
		m.only = key[0]
	}
	if len(entries) == 0 {
		return nil
	}
	starts := 0
	for _, is := range m.first {
		if is {
			starts++
		}
	}
	m.single = starts == 1
	m.trie = newTrie(entries)
	return m
}

// next returns the first match at or after from.
func (m *matcher) next(s string, from int) (start, end int, t *addedToken) {
	for i := from; i < len(s); i++ {
		if m.single {
			j := strings.IndexByte(s[i:], m.only)
			if j < 0 {
				break
			}
			i += j
		} else if !m.first[s[i]] {
			continue
		}
		if v, n := m.trie.longest(s[i:]); v >= 0 {
			return i, i + n, &m.tokens[v]
		}
	}
	return len(s), len(s), nil
}

// split hands out the added tokens in p and the text between them, in order, as
// AddedVocabulary.find_matches of tokenizers does. Empty text is left out.
func (m *matcher) split(p piece, token func(int32) bool, text func(piece) bool) bool {
	s, done := p.text, 0
	between := func(end int) bool {
		return done >= end || text(piece{s[done:end], p.head && done == 0})
	}
	if m == nil {
		return between(len(s))
	}
	for from := 0; ; {
		start, end, t := m.next(s, from)
		if t == nil {
			return between(len(s))
		}
		from = end
		if t.singleWord && (endsInWord(s[:start]) || startsWithWord(s[end:])) {
			continue
		}
		if t.lstrip {
			start = max(done, len(strings.TrimRightFunc(s[:start], isSpace)))
		}
		if t.rstrip {
			end = len(s) - len(strings.TrimLeftFunc(s[end:], isSpace))
		}
		if !between(start) || !token(t.id) {
			return false
		}
		done = end
	}
}

func isSpace(r rune) bool { return chartype.Is(r, chartype.Space) }

func endsInWord(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && chartype.Is(r, chartype.Word)
}

func startsWithWord(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && chartype.Is(r, chartype.Word)
}
