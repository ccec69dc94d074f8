package nn

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra
)

// AttendTo is multi-head attention to keys and values that the caller holds: those of
// an encoder, or of a cache. q [batch, query, heads, dim], k and v [batch, key, heads,
// dim]; bias is added to the scores [batch, heads, query, key] and may have 1 for batch
// or heads. The scores are multiplied by scale, 1/√dim in the Transformer and 1 in T5,
// which folds it into the first values of q. → [batch, query, heads*dim].
func AttendTo(p *Pass, q, k, v, bias *Node, scale, drop float64) *Node {
	scores := Einsum("bqhd,bkhd->bhqk", q, k)
	if scale != 1 {
		scores = MulScalar(scores, scale)
	}
	weights := p.Dropout(Softmax(Add(scores, bias), -1), drop)
	y := Einsum("bhqk,bkhd->bqhd", weights, v)
	return Reshape(y, y.Shape().Dim(0), y.Shape().Dim(1), -1)
}

// LookAhead is what hides from each of length tokens those after it: the CausalBias of
// texts without padding, or with padding on the right that nobody reads.
// → [1, 1, query, key].
func LookAhead(g *Graph, length int) *Node {
	return ExpandAxes(CausalBias(Ones(g, shapes.Make(dtypes.Float32, 1, length))), 1)
}

// Count is the positions of texts that start at the first token, [1, length] int32.
func Count(g *Graph, length int) *Node { return Iota(g, shapes.Make(dtypes.Int32, 1, length), 1) }
