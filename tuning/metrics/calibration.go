package metrics

import (
	"math"
	"slices"
)

// Calibration is how sure a classifier may be. Temperature divides the logits; the rest
// says what that does, on the rows it was fitted on.
type Calibration struct {
	Temperature float64
	// ECE is the expected calibration error of the scores as they are, Calibrated of those
	// with a temperature that was fitted on the other half of the rows: what new rows may
	// expect.
	ECE, Calibrated float64
	// AbstainBelow is the lowest score at which the answers that are at least as sure are
	// wrong half as often as all of them are, at most; Coverage is their share of the rows and Accuracy
	// theirs. 0: nothing is wrong, or no score tells right from wrong.
	AbstainBelow, Coverage, Accuracy float64
}

// Calibrate fits a temperature (Guo et al. 2017, "On Calibration of Modern Neural
// Networks") to the logits [rows][labels] of rows whose labels are known.
func Calibrate(logits [][]float32, labels []int) Calibration {
	all := make([]int, len(logits))
	var half [2][]int
	for i := range all {
		all[i] = i
		half[i%2] = append(half[i%2], i)
	}
	c := Calibration{Temperature: temperature(logits, labels, all)}
	sure, right := confidence(logits, labels, all, 1)
	c.ECE = ECE(sure, right)
	sure, right = nil, nil
	for i := range half {
		s, r := confidence(logits, labels, half[i], temperature(logits, labels, half[1-i]))
		sure, right = append(sure, s...), append(right, r...)
	}
	c.Calibrated = ECE(sure, right)
	c.AbstainBelow, c.Coverage, c.Accuracy = abstain(confidence(logits, labels, all, c.Temperature))
	return c
}

// Bounds of a temperature: beyond them scores are 1, or all the same.
const coldest, hottest = 0.05, 20

// temperature minimises the cross-entropy of softmax(logits/T) over T. A label counts for
// a little less than 1, (n+1)/(n+k) as Laplace has it, and the others share the rest: rows
// that are all answered right, which are no proof of always being right, would otherwise
// make T 0 (Platt 1999 does the same for two classes).
//
// In β = 1/T it is convex; bisection finds where its slope is 0.
func temperature(logits [][]float32, labels, rows []int) float64 {
	if len(rows) == 0 {
		return 1
	}
	low, high := 1.0/hottest, 1.0/coldest
	for range 50 {
		mid := math.Sqrt(low * high)
		if slope(logits, labels, rows, mid) > 0 {
			high = mid
		} else {
			low = mid
		}
	}
	return 1 / math.Sqrt(low*high)
}

// slope is the derivative of the cross-entropy by β: E_p[z] - E_q[z], for p the model's
// probabilities and q the smoothed labels.
func slope(logits [][]float32, labels, rows []int, beta float64) float64 {
	var sum float64
	n := float64(len(rows))
	for _, i := range rows {
		z := logits[i]
		k := float64(len(z))
		p := softmax(z, beta)
		for j, x := range z {
			q := 1 / (n + k)
			if j == labels[i] {
				q = (n + 1) / (n + k)
			}
			sum += (p[j] - q) * float64(x)
		}
	}
	return sum
}

func softmax(z []float32, beta float64) []float64 {
	p := make([]float64, len(z))
	top := float64(slices.Max(z))
	var sum float64
	for j, x := range z {
		p[j] = math.Exp(beta * (float64(x) - top))
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
	return p
}

// confidence gives the highest score of each row, and whether its label is the row's.
func confidence(logits [][]float32, labels, rows []int, temperature float64) (sure []float64, right []bool) {
	for _, i := range rows {
		p := softmax(logits[i], 1/temperature)
		best := slices.Index(p, slices.Max(p))
		sure, right = append(sure, p[best]), append(right, best == labels[i])
	}
	return sure, right
}

// bins of a calibration error, as in Guo et al.
const bins = 15

// ECE is the expected calibration error: how far, in bins of equal width, accuracy and
// mean confidence are apart, weighted by the answers in the bin.
func ECE(sure []float64, right []bool) float64 {
	var n, hits, sum [bins]float64
	for i, s := range sure {
		b := min(bins-1, max(0, int(math.Ceil(s*bins))-1)) // (lower, upper]
		n[b]++
		sum[b] += s
		if right[i] {
			hits[b]++
		}
	}
	var e float64
	for b := range n {
		e += math.Abs(hits[b] - sum[b])
	}
	return ratio(e, float64(len(sure)))
}

// abstain finds the lowest threshold that halves the share of wrong answers.
func abstain(sure []float64, right []bool) (below, coverage, accuracy float64) {
	at := make([]int, len(sure))
	wrong := 0
	for i := range at {
		at[i] = i
		if !right[i] {
			wrong++
		}
	}
	if wrong == 0 {
		return 0, 0, 0
	}
	slices.SortFunc(at, func(i, j int) int { // the surest first
		switch {
		case sure[i] > sure[j]:
			return -1
		case sure[i] < sure[j]:
			return 1
		}
		return 0
	})
	most := float64(wrong) / float64(len(at)) / 2
	missed := 0
	for k, i := range at {
		if !right[i] {
			missed++
		}
		if k+1 < len(at) && sure[at[k+1]] == sure[i] {
			continue // a threshold cannot part them
		}
		if n := float64(k + 1); float64(missed)/n <= most {
			below, coverage, accuracy = sure[i], n/float64(len(at)), 1-float64(missed)/n
		}
	}
	return below, coverage, accuracy
}
