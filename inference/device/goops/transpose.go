//go:build amd64 && goexperiment.simd

package goops

import (
	"slices"

	"github.com/gomlx/compute/internal/gobackend"
	"github.com/gomlx/compute/internal/gobackend/ops"
)

// runTranspose has the output's axis i be the input's axis node.Data[i].
func runTranspose(b *gobackend.Backend, node *gobackend.Node, inputs []*gobackend.Buffer, _ []bool) (*gobackend.Buffer, error) {
	permutation := node.Data.([]int)
	out, err := b.GetBuffer(node.Shape)
	if err != nil {
		return nil, err
	}
	if y, ok := out.Flat.([]float32); ok && len(permutation) > 1 && len(y) > 0 {
		strides, from := inputs[0].RawShape.Strides(), make([]int, len(permutation))
		for i, p := range permutation {
			from[i] = strides[p]
		}
		transpose(b, inputs[0].Flat.([]float32), y, node.Shape.Dimensions, from, node.Shape.Strides(), slices.Index(permutation, len(permutation)-1))
		return out, nil
	}
	do, err := ops.TransposeDTypeMap.Get(node.Shape.DType)
	if err != nil {
		return nil, err
	}
	do.(func(from, to *gobackend.Buffer, it *ops.TransposeIterator))(inputs[0], out, ops.NewTransposeIterator(inputs[0].RawShape, permutation))
	return out, nil
}

// transpose writes y of the given sizes; from and to are the strides of its axes in x and in y. It does so in planes of
// the last axis and of `other`, the one that was last, so that what is read and what is written both stay in the cache.
func transpose(b *gobackend.Backend, x, y []float32, dims, from, to []int, other int) {
	last := len(dims) - 1
	if other == last {
		other--
	}
	outer, planes := make([]int, 0, len(dims)), 1
	for i := range dims {
		if i != last && i != other {
			outer = append(outer, i)
			planes *= dims[i]
		}
	}
	parallel(b, planes, dims[last]*dims[other], func(first, end int) {
		for plane := first; plane < end; plane++ {
			u, v, i := 0, 0, plane
			for j := len(outer) - 1; j >= 0; j-- {
				axis := outer[j]
				u += i % dims[axis] * from[axis]
				v += i % dims[axis] * to[axis]
				i /= dims[axis]
			}
			turn(x[u:], y[v:], dims[other], dims[last], from[other], from[last], to[other])
		}
	})
}

// turn writes a plane of rows x cols, block by block; y's columns are neighbours.
func turn(x, y []float32, rows, cols, xRow, xCol, yRow int) {
	const block = 16
	if xCol == 1 {
		for r := range rows {
			copy(y[r*yRow:r*yRow+cols], x[r*xRow:])
		}
		return
	}
	for r0 := 0; r0 < rows; r0 += block {
		for c0 := 0; c0 < cols; c0 += block {
			for r := r0; r < min(r0+block, rows); r++ {
				to := y[r*yRow+c0 : r*yRow+min(c0+block, cols)]
				at := r*xRow + c0*xCol
				for i := range to {
					to[i] = x[at]
					at += xCol
				}
			}
		}
	}
}
