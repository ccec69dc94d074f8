package nn

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra
)

// NextTokenLoss is the cross entropy of each row's tokens, added up: the logits at one
// token are held against the label of the next, as transformers does. logits [batch,
// length, vocab]; labels [batch, length] int32, below 0 (PyTorch's -100) where nothing is
// asked → [batch]. The mean that PyTorch reports divides the sum of all rows by the
// number of labels asked for, not counting those of the first token.
func NextTokenLoss(logits, labels *Node) *Node {
	length := labels.Shape().Dim(1)
	return TokenLoss(SliceAxis(logits, 1, AxisRange(0, length-1)), SliceAxis(labels, 1, AxisRange(1)))
}
