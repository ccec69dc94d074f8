//go:build amd64 && goexperiment.simd

package goops

import (
	"math"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/internal/gobackend"
)

// gelu is x·Φ(x) (Hendrycks & Gimpel 2016), exactly or by a tanh.
type gelu struct{ exact bool }

// EqualNodeData has equal nodes of a graph be one.
func (g gelu) EqualNodeData(other gobackend.NodeDataComparable) bool { return g == other.(gelu) }

func buildGelu(f *gobackend.Function, x compute.Value, exact bool) (compute.Value, error) {
	inputs, err := f.VerifyAndCastValues("FusedGelu", x)
	if err != nil {
		return nil, err
	}
	if !isFloat(inputs[0]) {
		return nil, compute.ErrNotImplemented // the graph has it in parts then
	}
	node, _ := f.GetOrCreateNode(compute.OpTypeFusedGelu, inputs[0].Shape.Clone(), unbiased(inputs[0]), gelu{exact})
	return node, nil
}

func runGelu(b *gobackend.Backend, node *gobackend.Node, inputs []*gobackend.Buffer, owned []bool) (*gobackend.Buffer, error) {
	of := tanhGelu
	if node.Data.(gelu).exact {
		of = erfGelu
	}
	return byRow(b, node, inputs, owned, func(x, bias, y []float32) {
		for i := 0; i < len(x); i += lanes {
			v := load(x[i:])
			if bias != nil {
				v = v.Add(load(bias[i:]))
			}
			store(of(v), y[i:])
		}
	})
}

func erfGelu(x vector) vector {
	return x.Mul(all(0.5)).Mul(erf(x.Mul(all(math.Sqrt2 / 2))).Add(all(1)))
}

// tanhGelu is x·½(1 + tanh u) = x / (1 + exp(-2u)) for u = √(2/π)(x + 0.044715x³).
func tanhGelu(x vector) vector {
	u := x.Mul(x).MulAdd(all(0.044715), all(1)).Mul(x)
	return x.Div(exp(u.Mul(all(-2 * 0.7978845608028654))).Add(all(1)))
}
