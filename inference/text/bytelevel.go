package text

import (
	"strings"
	"unicode/utf8"
)

// Byte-level BPE (GPT-2) spells every byte as a character that can be printed:
// visible Latin-1 characters stand for themselves and the other 68 bytes for the
// characters from U+0100 on, so a space is written Ġ.

var byteRunes = func() (runes [256]rune) {
	next := rune(256)
	for b := range runes {
		runes[b] = rune(b)
		if !('!' <= b && b <= '~' || 0xa1 <= b && b <= 0xac || 0xae <= b) {
			runes[b] = next
			next++
		}
	}
	return runes
}()

var runeBytes = func() map[rune]byte {
	bytes := map[rune]byte{}
	for b, r := range byteRunes {
		bytes[r] = byte(b)
	}
	return bytes
}()

// spellBytes writes the bytes of s as characters.
func spellBytes(s string) string {
	b := make([]byte, 0, len(s)+len(s)/2)
	for i := range len(s) {
		b = utf8.AppendRune(b, byteRunes[s[i]])
	}
	return string(b)
}

// unspellBytes is the way back; false for a token that spells no bytes.
func unspellBytes(dst []byte, s string) ([]byte, bool) {
	n := len(dst)
	for _, r := range s {
		b, ok := runeBytes[r]
		if !ok {
			return dst[:n], false
		}
		dst = append(dst, b)
	}
	return dst, true
}

// byteLevel is the ByteLevel pre-tokenizer, by its parts.
func byteLevel(prefixSpace, useRegex bool) splitters {
	var all splitters
	if prefixSpace {
		all = append(all, spaceBefore{})
	}
	if useRegex {
		all = append(all, cutter{at: scanner(scanGPT2)})
	}
	return append(all, byteSpeller{})
}

// spaceBefore puts a space before a text that has none.
type spaceBefore struct{}

func (spaceBefore) split(p piece, yield func(piece) bool) bool {
	if !strings.HasPrefix(p.text, " ") {
		p.text = " " + p.text
	}
	return yield(p)
}

// byteSpeller writes the bytes of each piece as characters. As the last stage
// before a BPE model it is left out, and the model reads the bytes themselves.
type byteSpeller struct{}

func (byteSpeller) split(p piece, yield func(piece) bool) bool {
	p.text = spellBytes(p.text)
	return yield(p)
}
