package data

import (
	"math"
	"math/bits"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Near-duplicates are found by MinHash (Broder 1997) of a text's runs of three words, and
// locality-sensitive hashing: texts that agree in all numbers of one band are compared by
// all of them.
const (
	minhashes = 64
	bands     = 8 // of 8 numbers each: two texts meet at a similarity of about 0.77
	// nearly is the share of equal numbers, an estimate of the Jaccard similarity with a
	// deviation of 0.045, from which on two texts count as one.
	nearly = 0.85
	// fewestWords a text must have: in shorter ones a changed word changes the meaning.
	fewestWords = 8
)

type signature [minhashes]uint32

// sketch is the signature of a normalised text; false: it is too short.
func sketch(text string) (signature, bool) {
	words := strings.Fields(text)
	var s signature
	if len(words) < fewestWords {
		return s, false
	}
	for i := range s {
		s[i] = math.MaxUint32
	}
	for i := 0; i+2 < len(words); i++ {
		x := sum64(words[i : i+3]...)
		for j := range s {
			// One hash function for each place: multiply by an odd constant of its own,
			// take the upper bits of the 128-bit product.
			hi, lo := bits.Mul64(x, odd[j])
			s[j] = min(s[j], uint32((hi^lo)>>32)) //nolint:gosec // the upper half fits
		}
	}
	return s, true
}

// sum64 is FNV-1a with splitmix64's mixing after it: the same on every machine, so that an
// examination finds the same whenever it is made.
func sum64(parts ...string) uint64 {
	h := uint64(14695981039346656037)
	for _, p := range parts {
		for i := range len(p) {
			h = (h ^ uint64(p[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211 // no byte of UTF-8
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// odd are multipliers: splitmix64's outputs, made odd.
var odd = func() (m [minhashes]uint64) {
	x := uint64(0x9e3779b97f4a7c15)
	for i := range m {
		x += 0x9e3779b97f4a7c15
		z := x
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		m[i] = (z ^ z>>31) | 1
	}
	return m
}()

func (s *signature) like(t *signature) float64 {
	same := 0
	for i := range s {
		if s[i] == t[i] {
			same++
		}
	}
	return float64(same) / minhashes
}

// crowd finds among the texts put in before one that is much like a text.
type crowd struct {
	most   int // texts that are kept
	full   bool
	all    []signature
	who    []int // row of each
	answer []uint64
	meet   [bands]map[uint32]int32 // of a band's hash: the first text that had it
}

func newCrowd(most int) *crowd {
	c := &crowd{most: most}
	for b := range c.meet {
		c.meet[b] = map[uint32]int32{}
	}
	return c
}

func (s *signature) band(b int) uint32 {
	h := uint32(2166136261) // FNV-1a, by words
	for _, x := range s[b*minhashes/bands : (b+1)*minhashes/bands] {
		h = (h ^ x) * 16777619
		h ^= h >> 15
	}
	return h
}

// find gives the row of a text that is nearly this one, 0: there is none. With same set
// its answer must be the same too.
func (c *crowd) find(s *signature, answer uint64, same bool) int {
	for b := range c.meet {
		if at, ok := c.meet[b][s.band(b)]; ok && s.like(&c.all[at]) >= nearly && (!same || c.answer[at] == answer) {
			return c.who[at]
		}
	}
	return 0
}

// put keeps a text, while there is room.
func (c *crowd) put(s *signature, row int, answer uint64) {
	if len(c.all) >= c.most {
		c.full = true
		return
	}
	at := int32(len(c.all)) //nolint:gosec // bounded by most
	c.all, c.who, c.answer = append(c.all, *s), append(c.who, row), append(c.answer, answer)
	for b := range c.meet {
		key := s.band(b)
		if _, taken := c.meet[b][key]; !taken {
			c.meet[b][key] = at
		}
	}
}

// normalised is a text as a reader would compare it: compatible forms of characters made
// one (NFKC), in lower case, without punctuation, single blanks between words.
func normalised(text string) string {
	var b strings.Builder
	blank := true
	for _, r := range norm.NFKC.String(text) {
		switch {
		case unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) || unicode.IsSymbol(r):
			b.WriteRune(unicode.ToLower(r))
			blank = false
		case r == 0: // between the parts of a question
			b.WriteByte(0)
			blank = true
		case !blank:
			b.WriteByte(' ')
			blank = true
		}
	}
	return strings.TrimRight(b.String(), " ")
}
