package nn

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra
)

// AttendTo is multi-head attention to keys and values as a layer has just made them.
// q [batch, query, heads, dim], k and v [batch, key, heads, dim]; bias is added to the
// scores [batch, heads, query, key] and may have 1 for batch or heads. The scores are
// multiplied by scale, 1/√dim in the Transformer and 1 in T5, which folds it into the
// first values of q. → [batch, query, heads*dim].
func AttendTo(p *Pass, q, k, v, bias *Node, scale, drop float64) *Node {
	return attend(p, q, k, v, bias, scale, drop, "bqhd,bkhd->bhqk", "bhqk,bkhd->bqhd")
}

// LookUp is AttendTo for keys and values that are read again and again, those of an
// encoder: k and v [batch, heads, key, dim].
func LookUp(p *Pass, q, k, v, bias *Node, scale, drop float64) *Node {
	return attend(p, q, k, v, bias, scale, drop, "bqhd,bhkd->bhqk", "bhqk,bhkd->bqhd")
}

func attend(p *Pass, q, k, v, bias *Node, scale, drop float64, score, mix string) *Node {
	scores := Einsum(score, q, k)
	if scale != 1 {
		scores = MulScalar(scores, scale)
	}
	weights := p.Dropout(Softmax(Add(scores, bias), -1), drop)
	y := Einsum(mix, weights, v)
	return Reshape(y, y.Shape().Dim(0), y.Shape().Dim(1), -1)
}

// AttendNext is the attention of one new token a row to those before it, in a cache, and
// to itself. The cache is only read: to have the new token written into it first would
// copy all of it in every step. q [rows, 1, heads, dim]; keys and values [rows, shared,
// max, dim], where groups of query heads may share one; k and v [rows, shared, 1, dim].
// bias is added to the scores of the cache, [rows, shared, heads/shared, max], and own to
// the token's score of itself; either may have 1 for an axis, and own may be nil.
// → [rows, 1, heads*dim].
func AttendNext(q, keys, values, k, v, bias, own *Node, scale float64) *Node {
	d := q.Shape().Dimensions
	rows, heads, dim, shared := d[0], d[2], d[3], k.Shape().Dim(1)
	q = Reshape(q, rows, shared, heads/shared, dim)
	if scale != 1 {
		q = MulScalar(q, scale)
	}
	past := Add(Einsum("bhgd,bhkd->bhgk", q, keys), bias)
	here := ReduceAndKeep(Mul(q, k), ReduceSum, -1)
	if own != nil {
		here = Add(here, own)
	}
	// A softmax over both.
	top := StopGradient(Max(ReduceAndKeep(past, ReduceMax, -1), here))
	past, here = Exp(Sub(past, top)), Exp(Sub(here, top))
	sum := Add(ReduceAndKeep(past, ReduceSum, -1), here)
	y := Div(Add(Einsum("bhgk,bhkd->bhgd", past, values), Mul(here, v)), sum)
	return Reshape(y, rows, 1, heads*dim)
}

// LookAhead is what hides from each of length tokens those after it: the CausalBias of
// texts without padding, or with padding on the right that nobody reads.
// → [1, 1, query, key].
func LookAhead(g *Graph, length int) *Node {
	return ExpandAxes(CausalBias(Ones(g, shapes.Make(dtypes.Float32, 1, length))), 1)
}

// Count is the positions of texts that start at the first token, [1, length] int32.
func Count(g *Graph, length int) *Node { return Iota(g, shapes.Make(dtypes.Int32, 1, length), 1) }
