package nn

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra
)

// NextTokenLoss is the cross entropy of each row's tokens, added up: the logits at one
// token are held against the label of the next, as transformers does. logits [batch,
// length, vocab]; labels [batch, length] int32 and their weights [batch, length] float32
// as in [TokenLoss], those of the first token not counting → [batch].
func NextTokenLoss(logits, labels, weights *Node) *Node {
	length := labels.Shape().Dim(1)
	return TokenLoss(SliceAxis(logits, 1, AxisRange(0, length-1)), SliceAxis(labels, 1, AxisRange(1)), SliceAxis(weights, 1, AxisRange(1)))
}
