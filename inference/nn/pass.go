// Package nn holds the layers that the model families share, and the one place
// where LoRA is added to a model: [Block.Linear].
//
// A Pass is one graph under construction. Layers ask it for weights by the names
// of the Hugging Face checkpoint; each name becomes a parameter of the graph the
// first time it is asked for. The pass keeps the list, in order: it is what the
// owner of the device must feed to the compiled graph, and what a checkpoint is
// checked against. A Pass belongs to one build of one graph: two shapes may be
// built at once, each with a Pass of its own.
//
// Functions here panic on shapes that do not fit, as GoMLX does; the caller that
// builds the graph turns the panic into an error.
package nn

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/adapters"
)

// Role says where the values of a parameter come from.
type Role int

// The roles there are.
const (
	Input   Role = iota // given anew with every run
	Weight              // a tensor of the base model's checkpoint
	Adapter             // LoRA factors of the one adapter that is being trained
	Slots               // a tensor of the bank of resident adapters
)

// Param is a parameter of a graph, in the shape it has on the device.
type Param struct {
	Role  Role
	Name  string
	Shape shapes.Shape
	// Transposed marks a weight that the checkpoint stores as [out, in] and the
	// device as [in, out]: XLA's CPU matmul is up to twice as fast that way at
	// batch 1.
	Transposed bool
	// Tensor is the checkpoint's name of a weight, where that is not Name: see
	// [Pass.Untied] and [Pass.Matrices].
	Tensor string
}

// Stored is the name of the weight in the checkpoint.
func (p Param) Stored() string {
	if p.Tensor != "" {
		return p.Tensor
	}
	return p.Name
}

// CheckpointDims gives the dimensions that the checkpoint stores the weight in.
func (p Param) CheckpointDims() []int {
	d := append([]int(nil), p.Shape.Dimensions...)
	if p.Transposed {
		d[0], d[1] = d[1], d[0]
	}
	return d
}

// Pass is one graph under construction.
type Pass struct {
	Graph  *Graph
	Params []Param
	// Modules lists what adapters may change, in the order of the forward pass.
	Modules adapters.Layout
	// Bank holds the resident adapters; nil in a graph for the bare base.
	Bank *Bank
	// Learn adds the adapter that is being trained; nil elsewhere.
	Learn *Learn
	// Untied gives an output layer that is tied to the token embedding a copy of the
	// table, held as [in, out]: from a batch of a few rows on, XLA's CPU multiplies with
	// it three times as fast. Only for serving: what learns must have one table.
	Untied bool
	// Matrices is how those of the layers are held: BFloat16, by which x is multiplied in
	// bfloat16 too, with sums in float32; Int8, one byte a value and a scale for each
	// output (see [Param.Int8]), where what is multiplied is float32 still; and float32
	// otherwise. Only for serving.
	Matrices dtypes.DType
	// Random is the seed of the random numbers for dropout, [2] uint32; nil: no
	// dropout.
	Random *Node

	nodes map[key]*Node
	drops uint32 // calls of Dropout
}

type key struct {
	role Role
	name string
}

// NewPass starts a pass over an empty graph.
func NewPass(g *Graph) *Pass {
	return &Pass{Graph: g, nodes: map[key]*Node{}}
}

// Root is the block of the whole model, whose weights have no prefix.
func (p *Pass) Root() Block { return Block{pass: p} }

// Input declares a value that is given with every run.
func (p *Pass) Input(name string, dtype dtypes.DType, dims ...int) *Node {
	return p.param(Param{Role: Input, Name: name, Shape: shapes.Make(dtype, dims...)})
}

func (p *Pass) param(q Param) *Node {
	k := key{q.Role, q.Name}
	if n, ok := p.nodes[k]; ok {
		return n
	}
	// Numbered: XLA takes only letters and digits in the names of parameters.
	n := Parameter(p.Graph, fmt.Sprintf("p%d", len(p.Params)), q.Shape)
	p.nodes[k] = n
	p.Params = append(p.Params, q)
	return n
}

// Node gives the node of a parameter that a layer has asked for, or nil.
func (p *Pass) Node(role Role, name string) *Node { return p.nodes[key{role, name}] }

// Dropout zeroes each element of x with the given probability and scales the rest
// by 1/(1-rate) (Srivastava et al. 2014). Outside training it is x itself.
//
// The random bits are a hash of the element's index, the run's seed and the number of
// the call: the same on every backend, at the cost of XLA's own generator.
func (p *Pass) Dropout(x *Node, rate float64) *Node {
	if p.Random == nil || rate <= 0 {
		return x
	}
	p.drops++
	word := func(i int) *Node { return Reshape(SliceAxis(p.Random, 0, AxisElem(i))) }
	number := func(v uint32) *Node { return Const(p.Graph, v) }
	index := Iota(p.Graph, shapes.Make(dtypes.Uint32, x.Shape().Size()), 0)
	h := Add(Mul(index, number(0x9E3779B1)), Add(word(0), number(p.drops*0x85EBCA77)))
	for _, step := range []struct {
		shift uint32
		times uint32
	}{{16, 0x7FEB352D}, {15, 0x846CA68B}} { // Wellons' lowbias32
		h = Mul(BitwiseXor(h, BitwiseShiftRightLogical(h, number(step.shift))), number(step.times))
		h = Add(h, word(1))
	}
	h = BitwiseXor(h, BitwiseShiftRightLogical(h, number(16)))
	keep := LessThan(h, number(uint32((1-rate)*math.MaxUint32)))
	keep = Reshape(keep, x.Shape().Dimensions...)
	return Where(keep, MulScalar(x, 1/(1-rate)), ZerosLike(x))
}
