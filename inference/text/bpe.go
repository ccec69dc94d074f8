package text

import (
	"fmt"
	"unicode/utf8"
)

// bpe is byte-pair encoding: a word begins as its characters, and the merges join
// them. Two kinds of files use it. GPT-2's spell bytes as characters (byte-level);
// LLaMA-2's hold characters, and the bytes of those they lack as <0x00> to <0xFF>.
type bpe struct {
	ids    map[string]int32
	merges *merges

	unk      int32      // -1: what the vocabulary lacks is left out
	fuseUnk  bool       // neighbours that are unknown are one token
	fallback bool       // use bytes for a character that the vocabulary lacks
	bytes    [256]int32 // <0x00> to <0xFF>, or -1
	prefix   string     // of every character but the first
	suffix   string     // of the last character

	// whole are the words whose tokens need no working out, and longest the length
	// of the longest of them.
	whole   map[string]int32
	longest int

	// level is set when the words are bytes, not yet spelled as characters: the id
	// of each byte's character, or -1.
	level *[256]int32

	// apart is set when no token holds a space mark after another character, so
	// that a text can be taken word by word, and words looked up.
	apart bool
}

const spaceMark = "▁"

// finish works out what tokenize needs beyond the rules. skipMerges: every token
// stands for itself, even where the merges would not lead to it.
func (m *bpe) finish(skipMerges bool) {
	m.whole = map[string]int32{}
	m.apart = m.apart && !skipMerges // the text as a whole may be a token
	var ids []int32
	var spelled []byte
	for token, id := range m.ids {
		word := token
		if m.level != nil {
			var ok bool
			if spelled, ok = unspellBytes(spelled[:0], token); !ok {
				continue
			}
			word = string(spelled)
		}
		if word == "" {
			continue
		}
		if !skipMerges {
			ids = m.work(ids[:0], word)
			if len(ids) != 1 || ids[0] != id {
				continue
			}
		}
		m.whole[word] = id
		m.longest = max(m.longest, len(word))
	}
}

// useBytes makes the model read bytes in place of their characters, unless it has
// rules for characters.
func (m *bpe) useBytes() {
	if m.prefix != "" || m.suffix != "" || m.fallback {
		return
	}
	m.level = new([256]int32)
	m.apart = false
	for b, r := range byteRunes {
		id, ok := m.ids[string(r)]
		if !ok {
			id = -1
		}
		m.level[b] = id
	}
}

func (m *bpe) tokenize(dst []int32, s string) []int32 {
	if !m.apart {
		return m.word(dst, s)
	}
	for s != "" {
		end := wordEnd(s)
		dst = m.word(dst, s[:end])
		s = s[end:]
	}
	return dst
}

func (m *bpe) word(dst []int32, s string) []int32 {
	if len(s) <= m.longest {
		if id, ok := m.whole[s]; ok {
			return append(dst, id)
		}
	}
	return m.work(dst, s)
}

// work spells a word and joins what the rules allow.
func (m *bpe) work(dst []int32, s string) []int32 {
	from := len(dst)
	if m.level != nil {
		dst = m.spellLevel(dst, s)
	} else {
		dst = m.spell(dst, s)
	}
	return m.merges.join(dst, from)
}

func (m *bpe) spellLevel(dst []int32, s string) []int32 {
	from := len(dst)
	for i := range len(s) {
		id := m.level[s[i]]
		if id < 0 {
			if id = m.unk; id < 0 || m.fuseUnk && len(dst) > from && dst[len(dst)-1] == id {
				continue
			}
		}
		dst = append(dst, id)
	}
	return dst
}

func (m *bpe) spell(dst []int32, s string) []int32 {
	unknown := false // the text just before is unknown, and not yet written
	flush := func() {
		if unknown {
			dst = append(dst, m.unk)
			unknown = false
		}
	}
	for i := 0; i < len(s); {
		_, n := utf8.DecodeRuneInString(s[i:])
		char := s[i : i+n]
		if i > 0 && m.prefix != "" {
			char = m.prefix + char
		}
		if i+n == len(s) && m.suffix != "" {
			char += m.suffix
		}
		i += n
		if id, ok := m.ids[char]; ok {
			flush()
			dst = append(dst, id)
			continue
		}
		if m.fallback && m.spelledOut(char) {
			// As in the reference, unknown text before these bytes comes after
			// them: it is only written when the next known character is met.
			for j := range len(char) {
				dst = append(dst, m.bytes[char[j]])
			}
			continue
		}
		if m.unk >= 0 {
			if !m.fuseUnk {
				flush()
			}
			unknown = true
		}
	}
	flush()
	return dst
}

// spelledOut reports whether the vocabulary has all bytes of s.
func (m *bpe) spelledOut(s string) bool {
	for i := range len(s) {
		if m.bytes[s[i]] < 0 {
			return false
		}
	}
	return true
}

// byteTokens finds <0x00> to <0xFF> in a vocabulary; -1 for those it lacks.
func byteTokens(ids map[string]int32) (bytes [256]int32) {
	for b := range bytes {
		id, ok := ids[fmt.Sprintf("<0x%02X>", b)]
		if !ok {
			id = -1
		}
		bytes[b] = id
	}
	return bytes
}
