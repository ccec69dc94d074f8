package nn

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra
)

// RelativeBias is the position bias of T5 (Raffel et al. 2020, section 2.1): a learned
// number for each head and each bucket of the distance between query and key.
// table [buckets, heads]; query holds the positions of the queries, [batch, query] or,
// the same for every row, [1, query], int32; the keys are at 0, 1, … keys-1. Distances
// from max on share a bucket. An encoder looks both ways and gives half of the buckets
// to keys after the query. → [batch, heads, query, key].
func RelativeBias(table, query *Node, keys, max int, bothWays bool) *Node {
	g := table.Graph()
	buckets := table.Shape().Dim(0)
	d := query.Shape().Dimensions
	shape := shapes.Make(dtypes.Int32, d[0], d[1], keys)
	ahead := Sub(Iota(g, shape, 2), BroadcastToShape(ExpandAxes(query, -1), shape))
	if bothWays {
		buckets /= 2
	}
	// The bucket is looked up by distance, not computed in the graph: its logarithm
	// falls on the edges of buckets, where the backends need not round alike.
	edge := Scalar(g, dtypes.Int32, max)
	distance := Abs(ahead)
	if !bothWays {
		distance = Max(Neg(ahead), ZerosLike(ahead)) // later keys are masked
	}
	bucket := Gather(Const(g, Buckets(buckets, max)), ExpandAxes(Min(distance, edge), -1))
	if bothWays {
		later := ConvertDType(GreaterThan(ahead, ZerosLike(ahead)), dtypes.Int32)
		bucket = Add(bucket, MulScalar(later, buckets))
	}
	return TransposeAllAxes(Gather(table, ExpandAxes(bucket, -1)), 0, 3, 1, 2)
}

// Buckets gives the bucket of each distance from 0 to max: the first half of the
// buckets hold one distance each, the others grow by a constant factor up to max. It
// computes in float32 as PyTorch does, so that edges fall where they were trained.
func Buckets(buckets, max int) []int32 {
	exact := buckets / 2
	all := make([]int32, max+1)
	for d := range all {
		if d < exact {
			all[d] = int32(d)
			continue
		}
		log := float32(math.Log(float64(float32(d) / float32(exact))))
		steps := log / float32(math.Log(float64(max)/float64(exact))) * float32(buckets-exact)
		all[d] = int32(min(exact+int(steps), buckets-1))
	}
	return all
}
