package metrics

import (
	"cmp"
	"math"
	"slices"
)

// Regression scores real-valued predictions. The keys: mse, rmse, mae and r2 as
// sklearn.metrics, pearson and spearman as scipy.stats.
//
// Where a side is constant, Pearson's and Spearman's coefficients are undefined
// (scipy says NaN); here they are 0, "no relation was seen", so that a model that
// answers one number for everything has a score that early stopping can compare.
// r2 of constant references is 1 for a perfect answer and else 0, as scikit-learn.
// With fewer than two examples pearson, spearman and r2 are left out, without any
// everything is; so is what NaN or infinite predictions leave without a value.
// It panics when want and got differ in length.
func Regression(want, got []float64) map[string]float64 {
	if len(want) != len(got) {
		panic("metrics: as many predictions as references are needed")
	}
	if len(want) == 0 {
		return map[string]float64{}
	}
	n, mean := float64(len(want)), mean(want)
	var squares, absolute, spread float64
	for i, w := range want {
		squares += (w - got[i]) * (w - got[i])
		absolute += math.Abs(w - got[i])
	}
	for _, w := range want {
		spread += (w - mean) * (w - mean)
	}
	m := map[string]float64{"mse": squares / n, "rmse": math.Sqrt(squares / n), "mae": absolute / n}
	if len(want) > 1 {
		switch {
		case constant(want) && squares == 0:
			m["r2"] = 1
		case constant(want):
			m["r2"] = 0
		default:
			m["r2"] = 1 - squares/spread
		}
		m["pearson"] = pearson(want, got)
		m["spearman"] = math.NaN()
		// NaN has no rank.
		if !slices.ContainsFunc(want, math.IsNaN) && !slices.ContainsFunc(got, math.IsNaN) {
			m["spearman"] = pearson(ranks(want), ranks(got))
		}
	}
	return finite(m)
}

func mean(x []float64) float64 {
	var sum float64
	for _, v := range x {
		sum += v
	}
	return ratio(sum, float64(len(x)))
}

func constant(x []float64) bool {
	return !slices.ContainsFunc(x, func(v float64) bool { return v != x[0] })
}

// pearson scales both sides to norm 1 before it multiplies them, as scipy does:
// large and tiny values neither overflow nor vanish.
func pearson(x, y []float64) float64 {
	if constant(x) || constant(y) {
		return 0
	}
	a, b := centred(x), centred(y)
	var r float64
	for i := range a {
		r += a[i] * b[i]
	}
	return max(-1, min(1, r))
}

func centred(x []float64) []float64 {
	var peak, norm float64
	y, mean := make([]float64, len(x)), mean(x)
	for i, v := range x {
		y[i] = v - mean
		peak = max(peak, math.Abs(y[i]))
	}
	for i := range y {
		y[i] /= peak
		norm += y[i] * y[i]
	}
	for i := range y {
		y[i] /= math.Sqrt(norm)
	}
	return y
}

// ranks counts from 1; equal values share the mean of their ranks.
func ranks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	r := make([]float64, len(x))
	for i := 0; i < len(order); {
		j := i + 1
		for j < len(order) && x[order[j]] == x[order[i]] {
			j++
		}
		for _, k := range order[i:j] {
			r[k] = float64(i+j+1) / 2
		}
		i = j
	}
	return r
}
