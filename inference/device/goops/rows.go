//go:build amd64 && goexperiment.simd

package goops

import (
	"simd/archsimd"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/internal/gobackend"
)

// A sum of rows and of what stands for several of them, a layer's bias or what attention adds to its scores, is not
// written out where one of our operations follows it.

// unbiased gives what an operation's node needs instead of such a sum: x and its bias, whose last axes are
// one, or the node itself.
func unbiased(n *gobackend.Node) []*gobackend.Node {
	if n.OpType == compute.OpTypeAdd {
		x, bias, last := n.Inputs[0], n.Inputs[1], n.Shape.Rank()-1
		if x != bias && x.Shape.Equal(n.Shape) && isFloat(bias) && last > 0 && bias.Shape.Rank() == last+1 && bias.Shape.Dimensions[last] == n.Shape.Dimensions[last] {
			return n.Inputs
		}
	}
	return []*gobackend.Node{n}
}

// biases gives the bias of each row of an operation's first input; nothing without one.
func biases(node *gobackend.Node, inputs []*gobackend.Buffer) func(row int) []float32 {
	if len(inputs) == 1 {
		return func(int) []float32 { return nil }
	}
	all, dims, own, strides := inputs[1].Flat.([]float32), node.Shape.Dimensions, inputs[1].RawShape.Dimensions, inputs[1].RawShape.Strides()
	n := dims[len(dims)-1]
	return func(row int) []float32 {
		at := 0
		for axis := len(dims) - 2; axis >= 0; axis-- {
			if own[axis] > 1 {
				at += row % dims[axis] * strides[axis]
			}
			row /= dims[axis]
		}
		return all[at : at+n]
	}
}

// byRow has work write each row of an operation's result, of the same row of its input, which may lie in
// the same place, and of the bias that is added to it first, or nil.
func byRow(b *gobackend.Backend, node *gobackend.Node, inputs []*gobackend.Buffer, owned []bool, work func(x, bias, y []float32)) (*gobackend.Buffer, error) {
	x, bias := inputs[0].Flat.([]float32), biases(node, inputs)
	out, err := inPlace(b, inputs, owned)
	if err != nil || len(x) == 0 {
		return out, err
	}
	y, n := out.Flat.([]float32), 1
	if rank := node.Shape.Rank(); rank > 0 {
		n = node.Shape.Dimensions[rank-1]
	}
	parallel(b, len(x)/n, n, func(from, to int) {
		for i := from; i < to; i++ {
			work(x[i*n:(i+1)*n], bias(i), y[i*n:(i+1)*n])
		}
		archsimd.ClearAVXUpperBits()
	})
	return out, nil
}
