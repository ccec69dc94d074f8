package text

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"

	"lorikeet/adapters/invalid"
)

// charsmap is the character map of a SentencePiece model: what texts are replaced
// by what, as a trie in the darts-clone layout and the replacements behind it, each
// closed by a NUL.
//
// Layout: u32 length of the trie in bytes, its u32 units, the replacements; see
// normalizer.cc and https://github.com/s-yata/darts-clone.
type charsmap struct {
	units []unit
	texts string
	alone [utf8.RuneSelf]bool // this character stays as it is where ASCII follows
}

// unit is a node of the trie: bit 8 says that a value hangs below, bits 0-7 and 31
// hold the label, bits 10-30 the offset to the children, bit 9 its scale. A value
// is a unit without its top bit.
type unit uint32

func (u unit) leaf() bool     { return u>>8&1 == 1 }
func (u unit) label() uint32  { return uint32(u) & (1<<31 | 0xff) }
func (u unit) value() int32   { return int32(u &^ (1 << 31)) }
func (u unit) offset() uint32 { return uint32(u>>10) << (u & (1 << 9) >> 6) }

// parseCharsmap reads the map; nil for an empty one, which changes nothing.
func parseCharsmap(blob []byte, field string) (*charsmap, error) {
	if len(blob) == 0 {
		return nil, nil
	}
	if len(blob) < 4 {
		return nil, invalid.Field(field, "ends inside its length")
	}
	size := binary.LittleEndian.Uint32(blob)
	blob = blob[4:]
	if size == 0 || size%4 != 0 || uint64(size) > uint64(len(blob)) {
		return nil, invalid.Field(field, "a trie of %d bytes does not fit into %d", size, len(blob))
	}
	m := &charsmap{units: make([]unit, size/4), texts: string(blob[size:])}
	for i := range m.units {
		m.units[i] = unit(binary.LittleEndian.Uint32(blob[4*i:]))
	}
	if !utf8.ValidString(m.texts) {
		return nil, invalid.Field(field, "replacements are no UTF-8")
	}
	for c := range m.alone {
		m.alone[c] = true
		for next := range byte(utf8.RuneSelf) {
			m.prefixes(string([]byte{byte(c), next}), func(int, int32) bool {
				m.alone[c] = false
				return false
			})
		}
	}
	return m, nil
}

// prefixes finds the beginnings of s that the map replaces, the shortest first:
// their lengths and where their replacements lie.
func (m *charsmap) prefixes(s string, yield func(n int, at int32) bool) {
	node := m.units[0].offset()
	for i := range len(s) {
		c := uint32(s[i])
		node ^= c
		if c == 0 || node >= uint32(len(m.units)) {
			return
		}
		u := m.units[node]
		if u.label() != c {
			return
		}
		node ^= u.offset()
		if node >= uint32(len(m.units)) {
			return
		}
		if u.leaf() && !yield(i+1, m.units[node].value()) {
			return
		}
	}
}

// text returns the replacement that lies at a place.
func (m *charsmap) text(at int32) string {
	if int(at) >= len(m.texts) {
		return ""
	}
	s := m.texts[at:]
	if end := strings.IndexByte(s, 0); end >= 0 {
		s = s[:end]
	}
	return s
}

// shortest returns the replacement of the shortest beginning of s.
func (m *charsmap) shortest(s string) (with string, ok bool) {
	m.prefixes(s, func(_ int, at int32) bool {
		with, ok = m.text(at), true
		return false
	})
	return with, ok
}

// longest returns the longest beginning of s that is replaced, and by what.
func (m *charsmap) longest(s string) (n int, with string) {
	at := int32(-1)
	m.prefixes(s, func(length int, place int32) bool {
		n, at = length, place
		return true
	})
	if n > 0 {
		with = m.text(at)
	}
	return n, with
}

// precompiled applies a character map the way tokenizers does, which is not the way
// of SentencePiece: a grapheme of up to 5 bytes is replaced as a whole by what its
// shortest beginning maps to, any other one character at a time.
type precompiled struct{ m *charsmap }

const wholeGrapheme = 5 // bytes

func (n precompiled) normalize(p piece) piece {
	if n.m == nil {
		return p
	}
	same := 0 // how much of the text stays as it is
	for same < len(p.text) && n.m.stays(p.text, same) {
		same++
	}
	if same == len(p.text) {
		return p
	}
	b := make([]byte, 0, len(p.text)+8)
	b = append(b, p.text[:same]...)
	clusters := graphemes.FromString(p.text[same:])
	for clusters.Next() {
		c := clusters.Value()
		if len(c) <= wholeGrapheme {
			if with, ok := n.m.shortest(c); ok {
				b = append(b, with...)
				continue
			}
		}
		for i := 0; i < len(c); {
			_, size := utf8.DecodeRuneInString(c[i:])
			if with, ok := n.m.shortest(c[i : i+size]); ok {
				b = append(b, with...)
			} else {
				b = append(b, c[i:i+size]...)
			}
			i += size
		}
	}
	p.text = string(b)
	return p
}

// stays reports whether the character at i is copied, without a look at the map.
func (m *charsmap) stays(s string, i int) bool {
	c := s[i]
	return c < utf8.RuneSelf && m.alone[c] && (i+1 == len(s) || s[i+1] < utf8.RuneSelf)
}
