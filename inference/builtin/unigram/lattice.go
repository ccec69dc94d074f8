package unigram

import (
	"cmp"
	"math"
	"slices"
)

// edge is a piece at a place of a word: it ends at the place whose list it is in.
type edge struct {
	from  int
	text  string
	score float64
}

// lattice lists, for each place of a word, the pieces that end there.
func (m *model) lattice(text []rune) [][]edge {
	ends := make([][]edge, len(text)+1)
	for i := range text {
		for j := i + 1; j <= min(len(text), i+longest); j++ {
			s := string(text[i:j])
			if score, ok := m.scores[s]; ok {
				ends[j] = append(ends[j], edge{i, s, score})
			}
		}
	}
	return ends
}

func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}

// expect counts how often each piece is used, over all ways to cut each word, weighed
// by their probability: the forward-backward algorithm.
func (m *model) expect(words []word) map[string]float64 {
	expected := map[string]float64{}
	for _, w := range words {
		n := len(w.text)
		ends := m.lattice(w.text)
		before, after := make([]float64, n+1), make([]float64, n+1)
		for i := 1; i <= n; i++ {
			before[i], after[n-i] = math.Inf(-1), math.Inf(-1)
			for _, e := range ends[i] {
				before[i] = logAdd(before[i], before[e.from]+e.score)
			}
		}
		for i := n; i > 0; i-- {
			for _, e := range ends[i] {
				after[e.from] = logAdd(after[e.from], after[i]+e.score)
			}
		}
		for i := 1; i <= n; i++ {
			for _, e := range ends[i] {
				expected[e.text] += w.count * math.Exp(before[e.from]+e.score+after[i]-before[n])
			}
		}
	}
	return expected
}

// cut is the likeliest way to cut a text without one piece ("": with all).
func (m *model) cut(text []rune, without string) (pieces []string, score float64) {
	n := len(text)
	ends := m.lattice(text)
	best, via := make([]float64, n+1), make([]edge, n+1)
	for i := 1; i <= n; i++ {
		best[i] = math.Inf(-1)
		for _, e := range ends[i] {
			if s := best[e.from] + e.score; e.text != without && s > best[i] {
				best[i], via[i] = s, e
			}
		}
	}
	for i := n; i > 0 && via[i].text != ""; i = via[i].from {
		pieces = append(pieces, via[i].text)
	}
	slices.Reverse(pieces)
	return pieces, best[n]
}

// prune keeps n pieces: those without which the corpus becomes least likely. What a
// piece is worth is how often the best cut uses it times what the next best costs.
func (m *model) prune(words []word, n int) {
	used := map[string]float64{}
	for _, w := range words {
		pieces, _ := m.cut(w.text, "")
		for _, p := range pieces {
			used[p] += w.count
		}
	}
	type worth struct {
		text string
		loss float64
	}
	var all []worth
	for _, p := range sorted(m.scores) {
		if m.single[p] {
			continue
		}
		_, other := m.cut([]rune(p), p)
		all = append(all, worth{p, used[p] * (m.scores[p] - other)})
	}
	slices.SortStableFunc(all, func(a, b worth) int { return cmp.Compare(b.loss, a.loss) })
	for _, w := range all[min(len(all), max(0, n-m.letters)):] {
		delete(m.scores, w.text)
	}
}
