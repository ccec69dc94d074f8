package text

import (
	"unicode/utf8"

	"lorikeet/inference/text/chartype"
)

// bertNormalizer is the basic tokenizer of BERT up to the cutting: it drops control
// characters, sets Chinese characters apart, drops accents, lowers.
type bertNormalizer struct{ clean, cjk, strip, lower bool }

func (n bertNormalizer) normalize(p piece) piece {
	// Most text is ASCII, where all of it comes down to one look at each byte.
	b := make([]byte, 0, len(p.text))
	for i := 0; i < len(p.text); i++ {
		c := p.text[i]
		switch {
		case c >= utf8.RuneSelf:
			return n.slow(p)
		case n.clean && (c < ' ' || c == 0x7f):
			if c == '\t' || c == '\n' || c == '\r' {
				b = append(b, ' ')
			} else if i == 0 {
				p.head = false
			}
		case n.lower && 'A' <= c && c <= 'Z':
			b = append(b, c+'a'-'A')
		default:
			b = append(b, c)
		}
	}
	p.text = string(b)
	return p
}

func (n bertNormalizer) slow(p piece) piece {
	b := make([]byte, 0, len(p.text)+len(p.text)/4)
	for i, r := range p.text {
		c := chartype.Of(r)
		switch {
		case n.clean && c&chartype.Control != 0:
			if i == 0 {
				p.head = false
			}
		case n.clean && c&chartype.Space != 0:
			b = append(b, ' ')
		case n.cjk && c&chartype.CJK != 0:
			b = append(b, ' ')
			b = utf8.AppendRune(b, r)
			b = append(b, ' ')
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	p.text = string(b)
	if !n.strip && !n.lower {
		return p
	}
	if n.strip {
		p.text = formD.of(p.text)
	}
	b = b[:0]
	for i, r := range p.text {
		if n.strip && r >= utf8.RuneSelf && chartype.Is(r, chartype.Nonspacing) {
			if i == 0 {
				p.head = false
			}
			continue
		}
		if n.lower {
			b = chartype.Lower(b, r)
		} else {
			b = utf8.AppendRune(b, r)
		}
	}
	p.text = string(b)
	return p
}
