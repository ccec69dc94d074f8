package nn

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/adapters"
)

// Output is the layer from the hidden state to the scores of the vocabulary, without
// bias: x [batch, in] or [batch, length, in] → [..., vocabulary]. A model that ties it
// to its token embedding gives that block as tied, else nil.
func (b Block) Output(x *Node, vocabulary int, tied *Block) *Node {
	in := x.Shape().Dim(-1)
	m := adapters.Module{Kind: adapters.Output, In: in, Out: vocabulary}
	if tied != nil {
		m.Tied = tied.path
	}
	b.module(m)
	var y *Node
	switch bank := b.pass.Bank; {
	case bank != nil && bank.Profile.Heads:
		w := b.first("weight", in, vocabulary) // [batch, in, vocabulary]
		if x.Rank() == 2 {
			y = Einsum("bi,bio->bo", x, w)
		} else {
			y = Einsum("bti,bio->bto", x, w)
		}
	case tied != nil && b.pass.Untied:
		table := tied.At("weight").path
		y = b.project(x, table+".transposed", table, vocabulary)
	case tied != nil:
		table := tied.Weight("weight", vocabulary, in)
		dims := append([]int(nil), x.Shape().Dimensions...)
		dims[len(dims)-1] = vocabulary
		y = Reshape(Einsum("ni,oi->no", Reshape(x, -1, in), table), dims...)
	default:
		y = b.linear(x, vocabulary)
	}
	return b.lora(x, b.rescale(y))
}
