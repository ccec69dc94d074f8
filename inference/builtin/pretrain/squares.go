package main

import (
	"math"
	"slices"
)

// ridge is the penalty of the regressions, relative to the mean variance of what is read.
const ridge = 0.1

// regress gives the ridge regression y ≈ x·m + shift; m is [x.dim, y.dim].
func regress(x, y sample) (m [][]float64, shift []float64) {
	n := len(x.rows) / x.dim
	mx, my := means(x), means(y)
	a, b := make([][]float64, x.dim), make([][]float64, x.dim)
	for i := range a {
		a[i], b[i] = make([]float64, x.dim), make([]float64, y.dim)
	}
	cx, cy := make([]float64, x.dim), make([]float64, y.dim)
	for r := range n {
		for i := range cx {
			cx[i] = float64(x.rows[r*x.dim+i]) - mx[i]
		}
		for i := range cy {
			cy[i] = float64(y.rows[r*y.dim+i]) - my[i]
		}
		for i, v := range cx {
			ai, bi := a[i][:i+1], b[i]
			for j := range ai {
				ai[j] += v * cx[j]
			}
			for j, w := range cy {
				bi[j] += v * w
			}
		}
	}
	trace := 0.0
	for i := range a {
		trace += a[i][i]
	}
	for i := range a {
		a[i][i] += ridge*trace/float64(x.dim) + 1e-9
	}
	solve(a, b) // reads the lower triangle
	shift = slices.Clone(my)
	for i, row := range b {
		for j, v := range row {
			shift[j] -= mx[i] * v
		}
	}
	return b, shift
}

func means(s sample) []float64 {
	m := make([]float64, s.dim)
	n := float64(len(s.rows) / s.dim)
	for i, v := range s.rows {
		m[i%s.dim] += float64(v) / n
	}
	return m
}

// restate gives how the columns of s follow from the kept ones: s ≈ kept·map + shift.
// map is [kept, dim]; a kept column follows from itself.
func restate(s sample, kept []int) (m [][]float64, shift []float64) {
	n := len(s.rows) / s.dim
	mean := make([]float64, s.dim)
	for i, v := range s.rows {
		mean[i%s.dim] += float64(v) / float64(n)
	}
	k := len(kept)
	// Normal equations: (XᵀX + ridge)·map = XᵀY on centred columns.
	a, b := make([][]float64, k), make([][]float64, k)
	for i := range k {
		a[i], b[i] = make([]float64, k), make([]float64, s.dim)
	}
	row := make([]float64, s.dim)
	for r := range n {
		for c := range row {
			row[c] = float64(s.rows[r*s.dim+c]) - mean[c]
		}
		for i, ci := range kept {
			x := row[ci]
			bi := b[i]
			for c, y := range row {
				bi[c] += x * y
			}
		}
	}
	trace := 0.0
	for i := range k {
		for j, cj := range kept {
			a[i][j] = b[i][cj]
		}
		trace += a[i][i]
	}
	for i := range k {
		a[i][i] += 0.02*trace/float64(k) + 1e-9
	}
	solve(a, b)
	place := map[int]int{}
	for i, c := range kept {
		place[c] = i
	}
	shift = make([]float64, s.dim)
	for c := range s.dim {
		if at, ok := place[c]; ok {
			for i := range k {
				b[i][c] = 0
			}
			b[at][c] = 1
			continue
		}
		shift[c] = mean[c]
		for i, ci := range kept {
			shift[c] -= mean[ci] * b[i][c]
		}
	}
	return b, shift
}

// solve puts a⁻¹·b into b, for a that is symmetric and positive (Cholesky).
func solve(a, b [][]float64) {
	n := len(a)
	for j := range n {
		for k := range j {
			a[j][j] -= a[j][k] * a[j][k]
		}
		a[j][j] = math.Sqrt(math.Max(a[j][j], 1e-12))
		for i := j + 1; i < n; i++ {
			sum := a[i][j]
			for k := range j {
				sum -= a[i][k] * a[j][k]
			}
			a[i][j] = sum / a[j][j]
		}
	}
	add := func(to, from []float64, times float64) {
		for c := range to {
			to[c] += from[c] * times
		}
	}
	for i := range n {
		for k := range i {
			add(b[i], b[k], -a[i][k])
		}
		for c := range b[i] {
			b[i][c] /= a[i][i]
		}
	}
	for i := n - 1; i >= 0; i-- {
		for k := i + 1; k < n; k++ {
			add(b[i], b[k], -a[k][i])
		}
		for c := range b[i] {
			b[i][c] /= a[i][i]
		}
	}
}
