// Package chartype says what the Hugging Face tokenizers library takes a code
// point for: letter, number, space, punctuation and so on.
//
// The one idea needed to read it: that library mixes Unicode versions from 8 to
// 16, one per question, so neither package unicode nor any single version of the
// tables answers as it does. The tables here were asked of the library itself
// (gen.py), which is what makes token ids equal for rare characters too.
package chartype

import "sort"

// Class is a set of the things a code point can be taken for.
type Class uint16

// The classes, in the order of gen.py.
const (
	Letter     Class = 1 << iota // \p{L} in a Split pattern (Unicode 16)
	Number                       // \p{N} in a Split pattern (Unicode 16)
	Space                        // White_Space
	Punct                        // BERT's punctuation: ASCII symbols and category P (Unicode 8)
	Nonspacing                   // what BERT's strip_accents drops: category Mn (Unicode 8)
	Mark                         // what StripAccents drops: category M
	Control                      // what BERT's clean_text drops
	Word                         // \w beside an added token and in Whitespace
	Numeric                      // what Digits cuts at: categories Nd, Nl, No
	CJK                          // what BERT sets apart as one word each
	Recent                       // unknown to the normalization tables (Unicode 12)
)

type run struct {
	first rune
	class Class
}

type lowering struct {
	first, last rune
	stride      rune
	delta       rune
}

// The table has two stages, so that a look-up is two loads: most pages of 256
// code points are all alike and are kept once.
var (
	pages [][256]Class
	index [0x110000 >> 8]uint16
)

func init() {
	uniform := map[Class]uint16{}
	at := 0 // the run that holds the page's first code point
	for p := range index {
		first := rune(p) << 8
		for at+1 < len(runs) && runs[at+1].first <= first {
			at++
		}
		alike := at+1 == len(runs) || runs[at+1].first > first+255
		if n, ok := uniform[runs[at].class]; ok && alike {
			index[p] = n
			continue
		}
		var page [256]Class
		for i, r := 0, at; i < 256; i++ {
			for r+1 < len(runs) && runs[r+1].first <= first+rune(i) {
				r++
			}
			page[i] = runs[r].class
		}
		index[p] = uint16(len(pages))
		if alike {
			uniform[runs[at].class] = index[p]
		}
		pages = append(pages, page)
	}
}

// Of returns everything r is taken for; nothing for what is no code point.
func Of(r rune) Class {
	if uint32(r) >= 0x110000 {
		return 0
	}
	return pages[index[r>>8]][r&0xff]
}

// Is reports whether r is taken for any of the classes in c.
func Is(r rune, c Class) bool { return Of(r)&c != 0 }

// Lower appends the lower case of r to b, as one or more UTF-8 code points.
// There is no look at the neighbours: a final sigma stays σ.
func Lower(b []byte, r rune) []byte {
	if r < 0x80 {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return append(b, byte(r))
	}
	i := sort.Search(len(lowers), func(i int) bool { return lowers[i].last >= r })
	if i < len(lowers) && lowers[i].first <= r && (r-lowers[i].first)%lowers[i].stride == 0 {
		return append(b, string(r+lowers[i].delta)...)
	}
	if s, ok := longLowers[r]; ok {
		return append(b, s...)
	}
	return append(b, string(r)...)
}
