package main

import (
	"math"
	"math/rand/v2"
	"sort"
	"strings"
)

// Texts and vocabularies are of a made-up language: words of one to four syllables, of
// which the n-th is used 1/n times as often as the first (Zipf's law), so that nothing
// has to be downloaded and every run reads the same.

// randomOf is a source of numbers that are always the same.
func randomOf(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 20)) }

// lexicon gives n different words, short ones first, without end.
func lexicon(n int) []string {
	r := randomOf(1)
	onsets := strings.Fields("b c d f g h j k l m n p r s t v w z bl br ch cl cr dr fl fr gr pl pr sh sl sp st th tr")
	vowels := strings.Fields("a e i o u ai ea ee ie oo ou")
	codas := append(make([]string, 12), strings.Fields("n r s t l m d ng nd st")...)
	words, seen := make([]string, 0, n), map[string]bool{}
	for len(words) < n {
		var w strings.Builder
		for range 1 + r.IntN(min(1+len(words)/400, 4)) {
			w.WriteString(onsets[r.IntN(len(onsets))] + vowels[r.IntN(len(vowels))] + codas[r.IntN(len(codas))])
		}
		if s := w.String(); len(s) > 2 && !seen[s] {
			seen[s] = true
			words = append(words, s)
		}
	}
	return words
}

// zipf draws numbers from 0 to n-1, of which k is drawn in proportion to 1/(k+1).
func zipf(r *rand.Rand, n int) func() int {
	sums := make([]float64, n)
	sum := 0.0
	for i := range sums {
		sum += 1 / float64(i+1)
		sums[i] = sum
	}
	return func() int {
		at := r.Float64() * sum
		return sort.Search(n-1, func(i int) bool { return sums[i] > at })
	}
}

// prose gives texts of about size bytes each: sentences with capitals, commas, numbers
// and full stops.
func prose(seed uint64, words []string, texts, size int) []string {
	r := randomOf(seed)
	word := zipf(r, len(words))
	out := make([]string, texts)
	for i := range out {
		var b strings.Builder
		for b.Len() < size {
			for n := range 6 + r.IntN(14) {
				w := words[word()]
				switch {
				case n == 0:
					w = strings.ToUpper(w[:1]) + w[1:]
				case r.IntN(40) == 0:
					w = strings.Repeat("19", 1+r.IntN(2))
				}
				if n > 0 {
					b.WriteString(" ")
				}
				b.WriteString(w)
				if r.IntN(12) == 0 {
					b.WriteString(",")
				}
			}
			b.WriteString(". ")
		}
		out[i] = strings.TrimSpace(b.String())
	}
	return out
}

// plainText is n words, each of which is one token in every vocabulary made here.
func plainText(r *rand.Rand, words []string, n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = words[r.IntN(len(words))]
	}
	return strings.Join(out, " ")
}

// score is the log-probability of the n-th of all words.
func score(n, all int) float64 { return -math.Log(float64(n+1)) - math.Log(math.Log(float64(all))) }
