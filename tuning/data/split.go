package data

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Split holds back a share of rows for evaluation. The same rows, share and seed
// give the same split, on every machine. Each label gives its share, to the nearest
// row overall; rows with equal texts stay together, so that no held-back text was
// learned from; and a class, or for other kinds the whole, is never held back to
// its last row. Both parts keep the order of rows.
func Split(rows []Row, share float64, seed int64) (train, held []Row) {
	// The rows of one question are one group, and go by the label of the first.
	index := map[string]int{}
	var groups [][]int
	var labels []string
	strata := map[string][]int{}
	for i, r := range rows {
		q := r.Question()
		g, ok := index[q]
		if !ok {
			g = len(groups)
			index[q] = g
			groups = append(groups, nil)
			if _, ok := strata[r.Label]; !ok {
				labels = append(labels, r.Label)
			}
			strata[r.Label] = append(strata[r.Label], g)
		}
		groups[g] = append(groups[g], i)
	}
	random := rand.NewPCG(uint64(seed), 0x6c6f72696b656574) // #nosec G115 -- any 64 bits will do
	out := make([]bool, len(rows))
	var due, taken float64 // rows that should be and are held back, over all labels so far
	for _, label := range labels {
		stratum := strata[label]
		size := 0
		for _, g := range stratum {
			size += len(groups[g])
		}
		shuffle(stratum, random)
		due += share * float64(size)
		for _, g := range stratum[1:] { // the first stays, whatever the share
			n := float64(len(groups[g]))
			if math.Abs(taken+n-due) > math.Abs(taken-due) {
				continue
			}
			taken += n
			for _, i := range groups[g] {
				out[i] = true
			}
		}
	}
	// A share too small for any row still means that something is evaluated.
	if taken == 0 && share > 0 {
		if largest := slices.MaxFunc(append(labels, ""), func(a, b string) int { return len(strata[a]) - len(strata[b]) }); len(strata[largest]) > 1 {
			for _, i := range groups[strata[largest][1]] {
				out[i] = true
			}
		}
	}
	for i, r := range rows {
		if out[i] {
			held = append(held, r)
		} else {
			train = append(train, r)
		}
	}
	return train, held
}

// shuffle is Fisher and Yates'. It uses nothing of math/rand/v2 but PCG, whose
// output is specified; what rand.Shuffle does with it is not.
func shuffle(x []int, random *rand.PCG) {
	for i := len(x) - 1; i > 0; i-- {
		j := int(random.Uint64() % uint64(i+1)) // #nosec G115 -- at most i
		x[i], x[j] = x[j], x[i]
	}
}

// Leaks counts the rows of held whose text is also in train. A model has seen their
// answers, and the scores on them say little.
func Leaks(train, held []Row) int {
	seen := make(map[string]bool, len(train))
	for _, r := range train {
		seen[r.Question()] = true
	}
	n := 0
	for _, r := range held {
		if seen[r.Question()] {
			n++
		}
	}
	return n
}
