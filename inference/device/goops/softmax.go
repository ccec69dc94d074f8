//go:build amd64 && goexperiment.simd

package goops

import (
	"math"
	"simd/archsimd"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/internal/fastmath"
	"github.com/gomlx/compute/internal/gobackend"
)

// softmax is that of the last axis.
type softmax struct{}

// EqualNodeData has equal nodes of a graph be one.
func (softmax) EqualNodeData(gobackend.NodeDataComparable) bool { return true }

func buildSoftmax(f *gobackend.Function, x compute.Value, axis int) (compute.Value, error) {
	inputs, err := f.VerifyAndCastValues("FusedSoftmax", x)
	if err != nil {
		return nil, err
	}
	shape := inputs[0].Shape
	if !isFloat(inputs[0]) || axis != shape.Rank()-1 {
		return nil, compute.ErrNotImplemented // the graph has it in parts then
	}
	node, _ := f.GetOrCreateNode(compute.OpTypeFusedSoftmax, shape.Clone(), unbiased(inputs[0]), softmax{})
	return node, nil
}

func runSoftmax(b *gobackend.Backend, node *gobackend.Node, inputs []*gobackend.Buffer, owned []bool) (*gobackend.Buffer, error) {
	return byRow(b, node, inputs, owned, softmaxRow)
}

// softmaxRow writes that of x + bias.
func softmaxRow(x, bias, y []float32) {
	whole := len(x) / lanes * lanes
	high, top := all(float32(math.Inf(-1))), float32(math.Inf(-1))
	for i := 0; i < whole; i += lanes {
		v := archsimd.LoadFloat32x8Slice(x[i:])
		if bias != nil {
			v = v.Add(archsimd.LoadFloat32x8Slice(bias[i:]))
		}
		v.StoreSlice(y[i:])
		high = high.Max(v)
	}
	for i := whole; i < len(x); i++ {
		y[i] = x[i]
		if bias != nil {
			y[i] += bias[i]
		}
		top = max(top, y[i])
	}
	top = max(top, most(high))
	total, rest := all(0), float32(0)
	for i := 0; i < whole; i += lanes {
		v := exp(archsimd.LoadFloat32x8Slice(y[i:]).Sub(all(top)))
		v.StoreSlice(y[i:])
		total = total.Add(v)
	}
	for i := whole; i < len(x); i++ {
		y[i] = fastmath.Exp32(y[i] - top)
		rest += y[i]
	}
	by := 1 / (rest + sum(total))
	for i := 0; i < len(y); i += lanes {
		store(load(y[i:]).Mul(all(by)), y[i:])
	}
}
