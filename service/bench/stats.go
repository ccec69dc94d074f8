package main

import (
	"math"
	"slices"
)

// spread is what is left of several measurements.
type spread struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// spreadOf gives the median and the extremes; of an even number of values the median is
// the mean of the middle two. Of none, all are zero.
func spreadOf(values []float64) spread {
	n := len(values)
	if n == 0 {
		return spread{}
	}
	v := slices.Sorted(slices.Values(values))
	return spread{Median: (v[(n-1)/2] + v[n/2]) / 2, Low: v[0], High: v[n-1]}
}

// ratios divides round by round: both values of a pair were measured one after the
// other, so that what slowed the machine down for a while slowed both.
func ratios(a, b []float64) []float64 {
	out := make([]float64, 0, len(a))
	for i, x := range a {
		if i < len(b) && b[i] != 0 {
			out = append(out, x/b[i])
		}
	}
	return out
}

// percentile is the smallest value that is not below a share p of all (nearest rank).
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(p * float64(len(v))))
	return v[min(max(rank, 1), len(v))-1]
}
