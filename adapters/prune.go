package adapters

import (
	"cmp"
	"math"
	"slices"
)

// pruned is a task vector with what its method drops set to 0. name tells the vectors of a
// merging apart: each has draws of its own.
func (m Merging) pruned(v []float32, name string) []float32 {
	switch {
	case !m.Prunes() || m.Density >= 1:
		return v
	case !m.Draws():
		return largest(v, m.Density)
	}
	out := make([]float32, len(v))
	for k, x := range v {
		if draw(m.Seed, name, k) < m.Density {
			out[k] = x / float32(m.Density)
		}
	}
	return out
}

// largest keeps the share of the values that are the largest by magnitude, rounded down.
func largest(v []float32, density float64) []float32 {
	at := make([]int, len(v))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(i, j int) int {
		return cmp.Compare(math.Abs(float64(v[j])), math.Abs(float64(v[i])))
	})
	out := make([]float32, len(v))
	for _, i := range at[:int(density*float64(len(v)))] {
		out[i] = v[i]
	}
	return out
}

// draw is a number in [0, 1) that depends on nothing but its arguments: splitmix64 over
// FNV-1a of the name. torch's generator gives other numbers, of the same distribution.
func draw(seed uint64, name string, k int) float64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	z := (h ^ seed) + uint64(k)*0x9e3779b97f4a7c15 //nolint:gosec // an index
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}
