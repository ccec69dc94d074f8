package nn

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra
)

// TokenLoss is the cross entropy of each row's tokens, added up: logits [batch, length,
// vocab] are held against the label at the same place, as in the decoder of an
// encoder-decoder. labels [batch, length] int32 are below 0 (PyTorch's -100) where
// nothing is asked → [batch]. The mean that PyTorch reports divides the sum of all rows
// by the number of labels asked for.
func TokenLoss(logits, labels *Node) *Node {
	asked := ConvertDType(GreaterOrEqual(labels, ScalarZero(labels.Graph(), dtypes.Int32)), dtypes.Float32)
	picked := OneHot(MaxScalar(labels, 0), logits.Shape().Dim(2), dtypes.Float32)
	losses := Neg(ReduceSum(Mul(LogSoftmax(logits, -1), picked), -1))
	return ReduceSum(Mul(losses, asked), -1)
}
