package nn

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra
	gomlxnn "github.com/gomlx/gomlx/ml/nn"

	"lorikeet/adapters"
)

// Block is a named part of a model: a prefix of the checkpoint's weight names.
type Block struct {
	pass *Pass
	path string
}

// At is the part of b with the given name.
func (b Block) At(name string) Block {
	if b.path != "" {
		name = b.path + "." + name
	}
	return Block{b.pass, name}
}

// Pass is the pass that b belongs to.
func (b Block) Pass() *Pass { return b.pass }

// Weight is the tensor <path>.<name> of the checkpoint, float32.
func (b Block) Weight(name string, dims ...int) *Node {
	return b.pass.param(Param{Role: Weight, Name: b.At(name).path, Shape: shapes.Make(dtypes.Float32, dims...)})
}

// project multiplies x [..., in] with the tensor of that name in the checkpoint, which
// is held as [in, out] and called held.
func (b Block) project(x *Node, held, tensor string, out int) *Node {
	w := Param{Role: Weight, Name: held, Shape: shapes.Make(dtypes.Float32, x.Shape().Dim(-1), out), Transposed: true}
	if held != tensor {
		w.Tensor = tensor
	}
	switch b.pass.Matrices {
	case dtypes.BFloat16:
		// The values are bfloat16, their products exact in float32: what multiplies may know.
		x = ConvertDType(ConvertDType(x, dtypes.BFloat16), dtypes.Float32)
		return matmul(x, ConvertDType(b.pass.param(w.BFloat16()), dtypes.Float32))
	case dtypes.Int8:
		codes, scales := w.Int8()
		y := matmul(x, ConvertDType(b.pass.param(codes), dtypes.Float32))
		return Mul(y, vector(b.pass.param(scales), y))
	default:
		return matmul(x, b.pass.param(w))
	}
}

// linear multiplies x with <path>.weight.
func (b Block) linear(x *Node, out int) *Node {
	name := b.path + ".weight"
	return b.project(x, name, name, out)
}

// module adds to the layout, once: encoder and decoder may share an embedding.
func (b Block) module(m adapters.Module) {
	m.Path = b.path
	if _, listed := b.pass.Modules.Find(b.path); !listed {
		b.pass.Modules = append(b.pass.Modules, m)
	}
}

// Linear is x·Wᵀ + bias with whatever the adapters add (see lora.go).
// x [batch, …, in] → [batch, …, out].
func (b Block) Linear(x *Node, out int, bias bool) *Node {
	in := x.Shape().Dim(-1)
	b.module(adapters.Module{Kind: adapters.Linear, In: in, Out: out, Bias: bias})
	y := b.linear(x, out)
	y = b.rescale(y)
	y = b.lora(x, y)
	if bias {
		y = Add(y, vector(b.Weight("bias", out), y))
		y = b.shift(y)
	}
	return y
}

// Norm is layer normalisation over the last axis (Ba et al. 2016), with its scale
// and bias named weight and bias.
func (b Block) Norm(x *Node, epsilon float64) *Node {
	dim := x.Shape().Dim(-1)
	b.module(adapters.Module{Kind: adapters.Norm, In: dim, Out: dim, Bias: true})
	y := gomlxnn.LayerNorm(x, []int{-1}, epsilon, b.Weight("weight", dim), b.Weight("bias", dim), nil)
	return b.shift(y)
}

// Embed looks ids up in the table <path>.weight [rows, dim].
// ids [batch, length] int32 → [batch, length, dim].
func (b Block) Embed(ids *Node, rows, dim int) *Node {
	b.module(adapters.Module{Kind: adapters.Embedding, In: rows, Out: dim})
	return b.loraEmbed(ids, Gather(b.Weight("weight", rows, dim), ExpandAxes(ids, -1)))
}

// matmul contracts the last axis of x with the first of w [in, out]. The leading
// axes are folded into one: a single large matrix product is what the backends
// are fastest at.
func matmul(x, w *Node) *Node {
	dims := append([]int(nil), x.Shape().Dimensions...)
	in := dims[len(dims)-1]
	dims[len(dims)-1] = w.Shape().Dim(1)
	return Reshape(Einsum("ni,io->no", Reshape(x, -1, in), w), dims...)
}

// vector shapes v [dim] so that it is added along the last axis of x.
func vector(v, x *Node) *Node { return ExpandLeftToRank(v, x.Rank()) }
