package nn_test

import (
	"math"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/nn"
)

func TestDropout(t *testing.T) {
	const rows, cols, rate = 256, 384, 0.1
	masks := map[string][]float32{}
	devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
		program, err := nn.Compile(backend, "dropout", func(p *nn.Pass) []*graph.Node {
			p.Random = p.Input("random", dtypes.Uint32, 2)
			x := graph.Ones(p.Graph, p.Input("like", dtypes.Float32, rows, cols).Shape())
			return []*graph.Node{p.Dropout(x, rate), p.Dropout(x, rate), p.Dropout(x, 0)}
		})
		if err != nil {
			t.Fatal(err)
		}
		run := func(seed uint32) [][]float32 {
			out, err := program.Run(func(p nn.Param) (compute.Buffer, bool, error) {
				if p.Name == "random" {
					b, err := nn.Upload(backend, []uint32{seed, 7}, 2)
					return b, false, err
				}
				b, err := nn.Upload(backend, make([]float32, rows*cols), rows, cols)
				return b, false, err
			})
			if err != nil {
				t.Fatal(err)
			}
			var v [][]float32
			for _, b := range out {
				values, err := nn.Download(b)
				if err != nil {
					t.Fatal(err)
				}
				v = append(v, values)
			}
			return v
		}
		first, again, other := run(1), run(1), run(2)
		for i, v := range first[:2] {
			zeros := share(v, func(x float32) bool { return x == 0 })
			if math.Abs(zeros-rate) > 0.005 {
				t.Errorf("mask %d drops %v, want %v", i, zeros, rate)
			}
			for _, x := range v {
				if x != 0 && math.Abs(float64(x)-1/(1-rate)) > 1e-6 {
					t.Fatalf("a kept element is %v", x)
				}
			}
		}
		// Independent masks both drop an element in rate² of the cases.
		for name, pair := range map[string][2][]float32{"two calls": {first[0], first[1]}, "two seeds": {first[0], other[0]},
			"neighbours": {first[0][1:], first[0]}, "rows": {first[0][cols:], first[0]}} {
			both := 0
			for i := range min(len(pair[0]), len(pair[1])) {
				if pair[0][i] == 0 && pair[1][i] == 0 {
					both++
				}
			}
			if got := float64(both) / (rows * cols); math.Abs(got-rate*rate) > 0.0025 {
				t.Errorf("%s drop %v together, want %v", name, got, rate*rate)
			}
		}
		if share(first[2], func(x float32) bool { return x != 1 }) != 0 {
			t.Error("rate 0 changes x")
		}
		for i := range first[0] {
			if first[0][i] != again[0][i] {
				t.Fatal("the same seed gives another mask")
			}
		}
		masks[t.Name()] = first[0]
	})
	var one []float32
	for name, m := range masks {
		if one == nil {
			one = m
		}
		for i := range m {
			if m[i] != one[i] {
				t.Fatalf("%s has another mask than the rest", name)
			}
		}
	}
}

func share(v []float32, is func(float32) bool) float64 {
	n := 0
	for _, x := range v {
		if is(x) {
			n++
		}
	}
	return float64(n) / float64(len(v))
}
