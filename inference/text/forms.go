package text

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"lorikeet/inference/text/chartype"
)

// form is a Unicode normalization form. It differs from package norm in two ways,
// both to agree with the reference: characters younger than its tables (Unicode
// 12) are left alone, and a long run of combining marks is not broken up by
// U+034F as the Stream-Safe Text Format asks.
type form struct {
	norm    norm.Form
	apart   norm.Form // the decomposition it begins with
	compose bool
}

var (
	formC  = form{norm.NFC, norm.NFD, true}
	formD  = form{norm.NFD, norm.NFD, false}
	formKC = form{norm.NFKC, norm.NFKD, true}
	formKD = form{norm.NFKD, norm.NFKD, false}
)

type formNormalizer struct{ form form }

func (n formNormalizer) normalize(p piece) piece {
	p.text = n.form.of(p.text)
	return p
}

// safeMarks is how many marks may follow each other before package norm could meet
// more than 30: none takes apart into more than three.
const safeMarks = 9

func (f form) of(s string) string {
	marks, plain := 0, true
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			i++
			marks = 0
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		c := chartype.Of(r)
		if marks++; c&chartype.Mark == 0 {
			marks = 0
		}
		if c&chartype.Recent != 0 || marks > safeMarks {
			plain = false
			break
		}
	}
	if plain {
		return f.norm.String(s)
	}
	// A character that is left alone combines with nothing, so the text between
	// two of them can be taken by itself.
	var b strings.Builder
	b.Grow(len(s))
	from := 0
	for i, r := range s {
		if chartype.Is(r, chartype.Recent) {
			f.long(&b, s[from:i])
			b.WriteRune(r)
			from = i + utf8.RuneLen(r)
		}
	}
	f.long(&b, s[from:])
	return b.String()
}

// long is the definition of the forms (UAX #15), for text of any number of marks.
func (f form) long(b *strings.Builder, s string) {
	type mark struct {
		r   rune
		ccc uint8
	}
	var run []mark // a starter, if there is one, and what follows it up to the next
	settle := func() {
		if len(run) == 0 {
			return
		}
		first := 0
		if run[0].ccc == 0 {
			first = 1
		}
		slices.SortStableFunc(run[first:], func(a, b mark) int { return int(a.ccc) - int(b.ccc) })
		if !f.compose || first == 0 {
			return
		}
		kept, last := run[:1], uint8(0)
		for _, m := range run[1:] {
			if len(kept) == 1 || last < m.ccc {
				if r, ok := compose(run[0].r, m.r); ok {
					run[0].r = r
					continue
				}
			}
			kept, last = append(kept, m), m.ccc
		}
		run = kept
	}
	for _, whole := range s {
		for _, r := range f.apart.String(string(whole)) {
			ccc := norm.NFD.PropertiesString(string(r)).CCC()
			if ccc == 0 {
				settle()
				if f.compose && len(run) == 1 && run[0].ccc == 0 {
					if both, ok := compose(run[0].r, r); ok { // Hangul and a few more
						run[0].r = both
						continue
					}
				}
				for _, m := range run {
					b.WriteRune(m.r)
				}
				run = run[:0]
			}
			run = append(run, mark{r, ccc})
		}
	}
	settle()
	for _, m := range run {
		b.WriteRune(m.r)
	}
}

// compose returns the one character that stands for a followed by b.
func compose(a, b rune) (rune, bool) {
	s := norm.NFC.String(string(a) + string(b))
	r, n := utf8.DecodeRuneInString(s)
	return r, n == len(s)
}
