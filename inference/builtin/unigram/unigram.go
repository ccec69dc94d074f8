// Package unigram makes the vocabulary of a T5: pieces with a log-probability each, of
// which a text is cut into the likeliest sequence (Kudo 2018). It is trained as
// SentencePiece does it: start from every frequent substring of the words, estimate how
// probable each is by expectation maximisation, and drop, again and again, those that
// the others can best do without.
//
// A word carries the mark of the space before it. Pieces do not cross from letters to
// digits or punctuation, and each digit is a piece of its own, so that a number is
// copied digit by digit.
package unigram

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode"
)

// Space is what stands for the space before a word.
const Space = "▁"

// Piece is a token with the logarithm of its probability.
type Piece struct {
	Text  string
	Score float64
}

const (
	longest  = 14   // characters of a piece
	seeds    = 8    // pieces to start from, for each that is kept
	shrink   = 0.75 // what each round keeps
	rounds   = 2    // of estimation between two prunings
	smallest = 0.5  // expected uses of a piece that is kept
)

// Words cuts a text into what pieces are made of: runs of letters, digits one by one,
// and marks one by one, the first of each word with the mark of the space before it.
func Words(text string) []string {
	var out []string
	for _, field := range strings.Fields(text) {
		start, last := 0, -1
		kind := func(r rune) int {
			if unicode.IsLetter(r) {
				return 0
			}
			return 1
		}
		add := func(part string, first bool) {
			if !first {
				out = append(out, part)
				return
			}
			if r := []rune(part)[0]; unicode.IsDigit(r) {
				out = append(out, Space, part)
				return
			}
			out = append(out, Space+part)
		}
		for i, r := range field {
			if k := kind(r); last >= 0 && (k == 1 || last == 1) {
				add(field[start:i], start == 0)
				start = i
				last = k
			} else {
				last = k
			}
		}
		add(field[start:], start == 0)
	}
	return out
}

// word is a distinct word, as characters.
type word struct {
	text  []rune
	count float64
}

// Train gives a vocabulary of size pieces, the likeliest first. counts says how often
// each word (see [Words]) was seen; every character of alphabet and of the words is a
// piece. The result depends on nothing but the arguments.
func Train(counts map[string]int, alphabet string, size int) []Piece {
	var words []word
	for _, w := range sorted(counts) {
		words = append(words, word{[]rune(w), float64(counts[w])})
	}
	m := newModel(words, alphabet, size*seeds)
	for {
		for range rounds {
			m.maximise(m.expect(words))
		}
		if len(m.scores)-m.letters <= size-m.letters {
			break
		}
		m.prune(words, max(size, int(float64(len(m.scores))*shrink)))
	}
	return m.pieces(size)
}

// model is a vocabulary in the making.
type model struct {
	scores  map[string]float64
	single  map[string]bool // characters, which stay
	letters int
}

// newModel starts with the n most promising substrings: those that cover most text.
func newModel(words []word, alphabet string, n int) *model {
	m := &model{scores: map[string]float64{}, single: map[string]bool{}}
	cover := map[string]float64{}
	for _, r := range alphabet {
		m.single[string(r)] = true
		m.scores[string(r)] = 1
	}
	for _, w := range words {
		for i := range w.text {
			c := string(w.text[i])
			m.single[c] = true
			m.scores[c] += w.count
			for j := i + 2; j <= min(len(w.text), i+longest); j++ {
				cover[string(w.text[i:j])] += w.count
			}
		}
	}
	type seed struct {
		text   string
		weight float64
	}
	var all []seed
	for text, count := range cover {
		if count >= 4 {
			all = append(all, seed{text, count * float64(len([]rune(text)))})
		}
	}
	slices.SortFunc(all, func(a, b seed) int { return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.text, b.text)) })
	for _, s := range all[:min(n, len(all))] {
		m.scores[s.text] = s.weight
	}
	m.letters = len(m.single)
	m.normalise(func(v float64) float64 { return math.Log(v) })
	return m
}

// normalise turns counts into log-probabilities. Sums run in the pieces' order: floats
// added in another order are another result.
func (m *model) normalise(log func(float64) float64) {
	total := 0.0
	for _, p := range sorted(m.scores) {
		total += m.scores[p]
	}
	all := log(total)
	for p, v := range m.scores {
		m.scores[p] = log(max(v, 1e-3)) - all
	}
}

// maximise takes expected counts for the next estimate. As in SentencePiece, the
// digamma function in place of the logarithm makes rare pieces rarer.
func (m *model) maximise(expected map[string]float64) {
	for p := range m.scores {
		v := expected[p]
		if v < smallest && !m.single[p] {
			delete(m.scores, p)
			continue
		}
		m.scores[p] = max(v, smallest)
	}
	m.normalise(digamma)
}

func digamma(x float64) float64 {
	r := 0.0
	for ; x < 7; x++ {
		r -= 1 / x
	}
	x -= 0.5
	y := 1 / (x * x)
	return r + math.Log(x) + y*(1.0/24-y*(7.0/960-y*(31.0/8064)))
}

// pieces are the best of the vocabulary, the likeliest first.
func (m *model) pieces(size int) []Piece {
	var all []Piece
	for _, p := range sorted(m.scores) {
		all = append(all, Piece{p, m.scores[p]})
	}
	slices.SortStableFunc(all, func(a, b Piece) int { return cmp.Compare(b.Score, a.Score) })
	var out []Piece
	room := size - m.letters
	for _, p := range all {
		if m.single[p.Text] {
			out = append(out, p)
		} else if room > 0 {
			room--
			out = append(out, p)
		}
	}
	return out
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
