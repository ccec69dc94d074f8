package nn

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/adapters"
)

// RMSNorm divides by the root mean square of the last axis (Zhang & Sennrich 2019)
// and multiplies by a scale named weight: no mean is taken away, no bias added.
// LLaMA, Qwen2 and T5 (as T5LayerNorm) use it.
func (b Block) RMSNorm(x *Node, epsilon float64) *Node {
	dim := x.Shape().Dim(-1)
	b.module(adapters.Module{Kind: adapters.Norm, In: dim, Out: dim})
	mean := ReduceAndKeep(Square(x), ReduceMean, -1)
	// Not Rsqrt: GoMLX has no gradient for it.
	return Mul(Div(x, Sqrt(AddScalar(mean, epsilon))), vector(b.Weight("weight", dim), x))
}
