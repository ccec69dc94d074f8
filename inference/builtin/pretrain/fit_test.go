package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestRegressFindsALine(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	x, y := sample{dim: 3}, sample{dim: 2}
	for range 2000 {
		a, b, c := r.NormFloat64(), r.NormFloat64(), r.NormFloat64()
		x.rows = append(x.rows, float32(a), float32(b), float32(c))
		y.rows = append(y.rows, float32(2*a-b+5), float32(c-1))
	}
	m, shift := regress(x, y)
	for i, want := range [][]float64{{2, 0}, {-1, 0}, {0, 1}} {
		for j := range want {
			if math.Abs(m[i][j]*(1+ridge)-want[j]) > 0.05 { // the penalty shrinks
				t.Errorf("m[%d][%d] = %v, want %v", i, j, m[i][j], want[j])
			}
		}
	}
	if math.Abs(shift[0]-5) > 0.1 || math.Abs(shift[1]+1) > 0.1 {
		t.Error(shift)
	}
}

func TestRestateMakesUpForWhatGoes(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	s := sample{dim: 3}
	for range 1000 {
		a, b := float32(r.NormFloat64()), float32(r.NormFloat64())
		s.rows = append(s.rows, a, b, a-b+3)
	}
	m, shift := restate(s, []int{0, 1})
	for _, row := range [][]float64{{1, 2}, {-1, 0.5}} {
		got := shift[2] + row[0]*m[0][2] + row[1]*m[1][2]
		if math.Abs(got-(row[0]-row[1]+3)) > 0.1 {
			t.Errorf("%v: %v", row, got)
		}
	}
	if m[0][0] != 1 || m[0][1] != 0 || m[1][1] != 1 || shift[0] != 0 {
		t.Error("a column that stays is not itself", m, shift)
	}
}

func TestKeepTakesWholeHeads(t *testing.T) {
	s := sample{dim: 6, rows: []float32{1, 0, 0, 0, 3, 0, 1, 0, 0, 0, 3, 0}}
	if got := keep(s, 4, 2, []float64{1, 1, 1, 1, 1, 1}); !slices.Equal(got, []int{0, 1, 4, 5}) {
		t.Error(got)
	}
}

func TestMaskHidesWhatItReports(t *testing.T) {
	e := example{student: []int32{2, 10, 11, 12, 3}, studentWord: []int32{-1, 0, 1, 1, -1}}
	b := batch{length: 8, rows: []example{e, e, e}}
	of := func(e example) []int32 { return e.student }
	whole := pad(b.rows, b.length, of, 0)
	ids := slices.Clone(whole)
	found := 0
	for m := range slices.Chunk(b.mask(ids, 4, rand.New(rand.NewPCG(1, 1))), 3) {
		if m[0] < 0 {
			continue
		}
		found++
		at := int(m[0])*b.length + int(m[1])
		if ids[at] != 4 || whole[at] != m[2] || m[2] < 10 {
			t.Errorf("%v: %v", m, ids)
		}
		ids[at] = m[2]
	}
	if found == 0 || !slices.Equal(ids, whole) {
		t.Errorf("%d masked, left %v", found, ids)
	}
}
