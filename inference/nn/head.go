package nn

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/adapters"
)

// Head is a linear layer of a classification head, which an adapter may replace
// whole (PEFT's modules_to_save). x [batch, in] → [batch, out].
func (b Block) Head(x *Node, out int) *Node { return b.head(x, out, out, false) }

// Labels is the last layer of a head. x [batch, in] → [batch, labels]; where the
// adapters of the batch bring heads of their own, [batch, MaxLabels] with zeros
// after each example's last label. labels 0 means that the base has no head.
func (b Block) Labels(x *Node, labels int) *Node { return b.head(x, labels, MaxLabels, true) }

func (b Block) head(x *Node, out, slot int, labels bool) *Node {
	in := x.Shape().Dim(-1)
	b.module(adapters.Module{Kind: adapters.Head, In: in, Out: out, Bias: true, Labels: labels})
	if bank := b.pass.Bank; bank != nil && bank.Profile.Heads {
		w := b.first("weight", in, slot) // [batch, in, slot]
		return Add(Einsum("bi,bio->bo", x, w), b.first("bias", slot))
	}
	return Add(b.linear(x, out), vector(b.Weight("bias", out), x))
}
