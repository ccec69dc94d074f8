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

// TestStretch compares with transformers' frequencies for Llama 3.2 1B.
func TestStretch(t *testing.T) {
	want := []float64{1.0, 0.663601279258728, 0.44036662578582764, 0.2922278344631195, 0.193922758102417, 0.12868738174438477,
		0.08539710193872452, 0.05666961893439293, 0.03760603070259094, 0.02495540864765644, 0.016560440883040428, 0.010989529080688953,
		0.00729266507551074, 0.00483942124992609, 0.0032114461064338684, 0.0012905480107292533, 0.000429556705057621, 9.708286233944818e-05,
		1.9461638657958247e-05, 1.291476746700937e-05, 8.570255886297673e-06, 5.687232260243036e-06, 3.7740544485131977e-06,
		2.504467147446121e-06, 1.6619674170215148e-06, 1.1028836297555245e-06, 7.318749339901842e-07, 4.856731266045244e-07,
		3.2229328894572973e-07, 2.1387423032592778e-07, 1.4192720243499934e-07, 9.418306490260875e-08}
	got := nn.Stretch(nn.Frequencies(500000, 64), 32, 1, 4, 8192)
	for i, w := range want {
		if math.Abs(float64(got[i])-w) > 3e-7*w { // two roundings
			t.Errorf("frequency %d is %v, transformers has %v", i, got[i], w)
		}
	}
}

// TestRotaryKeepsDistances: what a query and a key make of each other depends on how far
// apart they are, not on where.
func TestRotaryKeepsDistances(t *testing.T) {
	const dim = 8
	devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
		program, err := nn.Compile(backend, "rotary", func(p *nn.Pass) []*graph.Node {
			r := nn.NewRotary(p.Input("positions", dtypes.Int32, 1, 3), nn.Frequencies(10000, dim))
			x := r.Turn(p.Input("x", dtypes.Float32, 1, 3, 1, dim))
			return []*graph.Node{graph.Einsum("bqhd,bkhd->bqk", x, x)}
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(program.Free)
		var before []float32
		for _, from := range []int32{0, 5, 200} {
			out, err := program.Run(func(p nn.Param) (compute.Buffer, bool, error) {
				if p.Name == "positions" {
					b, err := nn.Upload(backend, []int32{from, from + 1, from + 4}, 1, 3)
					return b, true, err
				}
				x := make([]float32, p.Shape.Size())
				for i := range x {
					x[i] = float32(math.Sin(float64(7 * i)))
				}
				b, err := nn.Upload(backend, x, p.Shape.Dimensions...)
				return b, true, err
			})
			if err != nil {
				t.Fatal(err)
			}
			got, err := nn.Download(out[0])
			if err != nil {
				t.Fatal(err)
			}
			for i := range before {
				if math.Abs(float64(got[i]-before[i])) > 1e-4 { // float32 angles of some hundred radians
					t.Errorf("from %d: %v, before %v", from, got, before)
					break
				}
			}
			before = got
		}
	})
}
