package nn

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra
)

// Cache holds the keys and values of the tokens so far, for each layer, [rows, heads,
// max, dim]: the order in which attention reads them. A row's tokens lie in its first
// slots, without gaps; what lies beyond them is never looked at, so a row is freed by
// forgetting it. A graph that reads tokens gives their keys and values alone, in the same
// order; who holds the cache puts them into it, in a graph ([Cache.Put], [Cache.Append])
// or in memory that host and device share.
type Cache struct{ Keys, Values []*Node }

// NewCache declares the cache among the inputs of a pass: "keys.0", "values.0" and so
// on, in the order of [Cache.Nodes].
func NewCache(p *Pass, layers, rows, max, heads, dim int) Cache {
	var c Cache
	for i := range layers {
		c.Keys = append(c.Keys, p.Input(fmt.Sprintf("keys.%d", i), dtypes.Float32, rows, heads, max, dim))
		c.Values = append(c.Values, p.Input(fmt.Sprintf("values.%d", i), dtypes.Float32, rows, heads, max, dim))
	}
	return c
}

// Nodes lists the cache: keys and values of layer 0, of layer 1, and so on.
func (c Cache) Nodes() []*Node {
	var all []*Node
	for i := range c.Keys {
		all = append(all, c.Keys[i], c.Values[i])
	}
	return all
}

// Add takes in the next layer's keys and values as the layer makes them, [rows, length,
// heads, dim].
func (c *Cache) Add(k, v *Node) {
	c.Keys = append(c.Keys, TransposeAllAxes(k, 0, 2, 1, 3))
	c.Values = append(c.Values, TransposeAllAxes(v, 0, 2, 1, 3))
}

// Length is how many tokens a row holds.
func (c Cache) Length() int { return c.Keys[0].Shape().Dim(2) }

// Put is the cache with what was read of some texts in the given rows [n] int32; see
// WriteRows.
func (c Cache) Put(read Cache, rows *Node) Cache {
	return c.with(read, func(cache, x *Node) *Node { return WriteRows(cache, x, rows) })
}

// Append is the cache with a token more in each row, at position [rows] int32.
func (c Cache) Append(next Cache, position *Node) Cache {
	return c.with(next, func(cache, x *Node) *Node { return writeNext(cache, x, position) })
}

func (c Cache) with(other Cache, write func(cache, x *Node) *Node) Cache {
	var out Cache
	for i := range c.Keys {
		out.Keys = append(out.Keys, write(c.Keys[i], other.Keys[i]))
		out.Values = append(out.Values, write(c.Values[i], other.Values[i]))
	}
	return out
}

// WriteRows puts x [n, heads, length, dim] into the first slots of the given rows of a
// layer's keys or values. rows [n] int32; where two name the same row the later is kept,
// so what only fills a batch up can come first and name the row of the next.
func WriteRows(cache, x, rows *Node) *Node {
	n, zero := x.Shape().Dim(0), ScalarZero(x.Graph(), dtypes.Int32)
	if updates(cache) {
		for i := range n {
			cache = DynamicUpdateSlice(cache, SliceAxis(x, 0, AxisElem(i)), []*Node{element(rows, i), zero, zero, zero})
		}
		return cache
	}
	d := cache.Shape().Dimensions
	if short := d[2] - x.Shape().Dim(2); short > 0 {
		x = Concatenate([]*Node{x, Zeros(x.Graph(), shapes.Make(x.DType(), n, d[1], short, d[3]))}, 2)
	}
	index := Iota(x.Graph(), shapes.Make(dtypes.Int32, d...), 0)
	for i := range n {
		row := BroadcastToDims(SliceAxis(x, 0, AxisElem(i)), d...)
		cache = Where(Equal(index, element(rows, i)), row, cache)
	}
	return cache
}

// writeNext puts x [rows, heads, 1, dim] into each row's slot position [rows] int32.
func writeNext(cache, x, position *Node) *Node {
	zero := ScalarZero(x.Graph(), dtypes.Int32)
	if updates(cache) {
		// A row at a time: the update has one start for the whole batch.
		for i := range x.Shape().Dim(0) {
			cache = DynamicUpdateSlice(cache, SliceAxis(x, 0, AxisElem(i)), []*Node{Const(x.Graph(), int32(i)), zero, element(position, i), zero})
		}
		return cache
	}
	d := cache.Shape().Dimensions
	slot := Iota(x.Graph(), shapes.Make(dtypes.Int32, d...), 2)
	here := Equal(slot, BroadcastToDims(ExpandAxes(position, 1, 2, 3), d...))
	return Where(here, BroadcastToDims(x, d...), cache)
}

// updates reports whether the backend can write into a slice of a tensor. The Go
// backend cannot: there every write is a choice between two whole tensors.
func updates(x *Node) bool {
	return x.Graph().Backend().Capabilities().Operations[compute.OpTypeDynamicUpdateSlice]
}

// element is a scalar of a vector.
func element(v *Node, i int) *Node { return Reshape(SliceAxis(v, 0, AxisElem(i))) }
