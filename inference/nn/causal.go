package nn

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra
)

// AttendGrouped is attention in which groups of query heads share a key and value head
// (Ainslie et al. 2023); as many of both is the attention of the Transformer, scores
// scaled by 1/√dim. q [batch, query, heads, dim], k and v [batch, key, shared, dim];
// bias [batch, query, key] is added to the scores → [batch, query, heads*dim].
func AttendGrouped(p *Pass, q, k, v, bias *Node, drop float64) *Node {
	d := q.Shape().Dimensions // [batch, query, heads, dim]
	shared := k.Shape().Dim(2)
	q = Reshape(q, d[0], d[1], shared, d[2]/shared, d[3])
	// The axes in the order in which the matrix product leaves them: nothing to transpose.
	scores := MulScalar(Einsum("bqhgd,bkhd->bhqgk", q, k), 1/math.Sqrt(float64(d[3])))
	scores = Add(scores, ExpandAxes(bias, 1, 3))
	weights := p.Dropout(Softmax(scores, -1), drop)
	return Reshape(Einsum("bhqgk,bkhd->bqhgd", weights, v), d[0], d[1], d[2]*d[3])
}

// CausalBias is what is added to the scores so that a token sees itself and the tokens
// before it. mask [batch, length] is 1 for a token and 0 for padding, on either side.
// → [batch, query, key].
func CausalBias(mask *Node) *Node {
	d := mask.Shape().Dimensions
	square := shapes.Make(dtypes.Int32, 1, d[1], d[1])
	before := LessOrEqual(Iota(mask.Graph(), square, 2), Iota(mask.Graph(), square, 1))
	seen := Mul(ConvertDType(before, dtypes.Float32), ExpandAxes(ConvertDType(mask, dtypes.Float32), 1))
	return MulScalar(OneMinus(seen), masked)
}

// CachedBias is CausalBias for one new token a row: it sees as many slots of the row's
// cache, which has room for length tokens, as there are tokens before it. position
// [batch] int32 → [batch, 1, 1, length].
func CachedBias(position *Node, length int) *Node {
	slots := Iota(position.Graph(), shapes.Make(dtypes.Int32, 1, 1, 1, length), 3)
	seen := ConvertDType(LessThan(slots, ExpandAxes(position, 1, 2, 3)), dtypes.Float32)
	return MulScalar(OneMinus(seen), masked)
}

// Positions counts the tokens before each token, whichever side the padding is on.
// mask [batch, length] → [batch, length] int32; padding has the position of a neighbour.
func Positions(mask *Node) *Node {
	n := mask.Shape().Dim(1)
	square := shapes.Make(dtypes.Int32, n, n)
	before := ConvertDType(LessOrEqual(Iota(mask.Graph(), square, 0), Iota(mask.Graph(), square, 1)), dtypes.Float32)
	count := Einsum("bk,kq->bq", ConvertDType(mask, dtypes.Float32), before)
	return ConvertDType(MaxScalar(AddScalar(count, -1), 0), dtypes.Int32)
}

// LastToken takes the vector of each row's last token: x [batch, length, dim], mask
// [batch, length] with padding on the right → [batch, dim].
func LastToken(x, mask *Node) *Node {
	last := AddScalar(ReduceSum(ConvertDType(mask, dtypes.Int32), 1), -1)
	return Einsum("bt,btd->bd", OneHot(last, x.Shape().Dim(1), dtypes.Float32), x)
}

// TokensAt takes the vectors of some tokens: x [batch, length, dim], at [batch, places]
// int32 → [batch, places, dim].
func TokensAt(x, at *Node) *Node {
	batch, length, dim := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2)
	row := Iota(x.Graph(), shapes.Make(dtypes.Int32, batch, 1), 0)
	flat := Add(at, MulScalar(row, length))
	return Gather(Reshape(x, batch*length, dim), ExpandAxes(flat, -1))
}
