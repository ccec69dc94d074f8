package inference

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/inference/nn"
)

// room is the size of a running batch of texts: how many there are, how many tokens
// each may hold, and how many an encoder-decoder may have read for each (0 for a
// decoder alone).
type room struct{ rows, length, source int }

func (r room) String() string { return fmt.Sprintf("%dx%dx%d", r.rows, r.length, r.source) }

// holds reports whether r is enough for what s needs.
func (r room) holds(s room) bool {
	return r.rows >= s.rows && r.length >= s.length && r.source >= s.source
}

// size orders rooms by the work of a step.
func (r room) size() int { return r.rows * (r.length + r.source + 64) }

// rowSteps are the sizes of a batch. They are few, as are the lengths of a room: a
// graph is compiled for each.
var rowSteps = []int{1, 8, 32}

// upTo rounds the length of a room up: 64, 128, 256 and so on, at most limit. Attention
// reads all of it in every step.
func upTo(n, limit int) int { return stepped(n, 64, limit) }

// readable rounds the length of prompts that are read together up.
func readable(n, limit int) int { return stepped(n, 32, limit) }

func stepped(n, first, limit int) int {
	l := first
	for l < n {
		l *= 2
	}
	return min(l, limit)
}

// readSteps are how many prompts are read at once.
var readSteps = []int{1, 4, 8}

// readsFor rounds a number of prompts up.
func readsFor(n int) int {
	return readSteps[slices.IndexFunc(readSteps, func(r int) bool { return r >= n })]
}

// rowsFor rounds a number of rows up.
func rowsFor(n int) int {
	if i := slices.IndexFunc(rowSteps, func(r int) bool { return r >= n }); i >= 0 {
		return rowSteps[i]
	}
	return n
}

// family builds the graphs of a base that writes texts. The tensors of its cache come
// in a fixed order, [rows, heads, length or source, dim]: what is written, then what a decoder
// looks up in its source.
type family interface {
	// read builds the reading of n prompts → of a decoder alone the likeliest next
	// token of each [n] and the scores [n, vocab], then in both cases part of the cache.
	read(p *nn.Pass, n, length int) []*graph.Node
	// step builds the reading of one token more for each row, at its position → the
	// scores of the next [rows, vocab], the cache that is read, and the token's part of it.
	step(p *nn.Pass, r room) (scores *graph.Node, cache, next nn.Cache, position *graph.Node)
	// cache is the tensors for a room.
	cache(r room) []shapes.Shape
	// part tells which of them a read fills.
	part() (from, to int)
	// starts is an encoder-decoder's first token; ok is false where a prompt is the start.
	starts() (token int32, ok bool)
}

// likeliest is the first of the highest scores, [rows] int32. It is an ArgMax in two
// steps, of which the first is a plain maximum: XLA's CPU compares values and indices
// together one at a time.
func likeliest(scores *graph.Node) *graph.Node {
	last := scores.Shape().Dim(-1) - 1
	index := graph.Iota(scores.Graph(), shapes.Make(dtypes.Int32, scores.Shape().Dimensions...), -1)
	top := graph.ReduceAndKeep(scores, graph.ReduceMax, -1)
	none := graph.BroadcastToShape(graph.Scalar(scores.Graph(), dtypes.Int32, last), index.Shape()) // where scores are no numbers
	return graph.ReduceMin(graph.Where(graph.Equal(scores, top), index, none), -1)
}

// family of the base.
func (b *Base) family() (family, error) {
	if b.Seq2Seq != nil {
		return translating{b}, nil
	}
	backend, err := sketch()
	if err != nil {
		return nil, err
	}
	f := continuing{Base: b}
	_, _, err = nn.Build(backend, "cache", func(p *nn.Pass) []*graph.Node {
		d := b.Causal.Cache(p, 1, 1).Keys[0].Shape().Dimensions
		f.heads, f.headDim = d[1], d[3]
		return nil
	})
	return f, err
}

// continuing is a decoder alone.
type continuing struct {
	*Base
	heads, headDim int // of keys and values
}

func (f continuing) read(p *nn.Pass, n, length int) []*graph.Node {
	scores, cache := f.Causal.Prefill(p.Root(), p.Input("ids", dtypes.Int32, n, length), p.Input("mask", dtypes.Int32, n, length))
	return append([]*graph.Node{likeliest(scores), scores}, cache.Nodes()...)
}

func (f continuing) step(p *nn.Pass, r room) (scores *graph.Node, cache, next nn.Cache, position *graph.Node) {
	cache, position = f.Causal.Cache(p, r.rows, r.length), p.Input("position", dtypes.Int32, r.rows)
	scores, next = f.Causal.Step(p.Root(), p.Input("token", dtypes.Int32, r.rows), position, cache)
	return scores, cache, next, position
}

func (f continuing) cache(r room) []shapes.Shape {
	return slices.Repeat([]shapes.Shape{shapes.Make(dtypes.Float32, r.rows, f.heads, r.length, f.headDim)}, 2*f.Facts().Layers)
}

func (f continuing) part() (from, to int)  { return 0, 2 * f.Facts().Layers }
func (f continuing) starts() (int32, bool) { return 0, false }

// translating is an encoder and a decoder.
type translating struct{ *Base }

func (f translating) read(p *nn.Pass, n, length int) []*graph.Node {
	mask := p.Input("mask", dtypes.Int32, n, length)
	states := f.Seq2Seq.Encode(p.Root(), p.Input("ids", dtypes.Int32, n, length), mask)
	return f.Seq2Seq.Memory(p.Root(), states).Nodes()
}

func (f translating) step(p *nn.Pass, r room) (scores *graph.Node, cache, next nn.Cache, position *graph.Node) {
	facts, memory := f.Seq2Seq.Facts(), nn.Cache{}
	for i := range facts.Layers {
		memory.Keys = append(memory.Keys, p.Input(fmt.Sprintf("source.keys.%d", i), dtypes.Float32, r.rows, facts.Heads, r.source, facts.HeadDim))
		memory.Values = append(memory.Values, p.Input(fmt.Sprintf("source.values.%d", i), dtypes.Float32, r.rows, facts.Heads, r.source, facts.HeadDim))
	}
	cache, position = nn.NewCache(p, facts.Layers, r.rows, r.length, facts.Heads, facts.HeadDim), p.Input("position", dtypes.Int32, r.rows)
	scores, next = f.Seq2Seq.Step(p.Root(), p.Input("token", dtypes.Int32, r.rows), position, cache, memory, p.Input("mask", dtypes.Int32, r.rows, r.source))
	return scores, cache, next, position
}

func (f translating) cache(r room) []shapes.Shape {
	facts := f.Seq2Seq.Facts()
	var all []shapes.Shape
	for _, length := range []int{r.length, r.source} {
		for range 2 * facts.Layers {
			all = append(all, shapes.Make(dtypes.Float32, r.rows, facts.Heads, length, facts.HeadDim))
		}
	}
	return all
}

func (f translating) part() (from, to int) {
	n := 2 * f.Seq2Seq.Facts().Layers
	return n, 2 * n
}

func (f translating) starts() (int32, bool) { return f.Seq2Seq.Facts().Start, true }

// stepGraph is a step of one kind of cache or the other → the likeliest next token
// [rows], the scores, and what [textCache.append] takes: with the cache in the graph the
// next one, else the token's keys and values of all tensors, [tensors, rows, heads, dim].
func stepGraph(f family, p *nn.Pass, r room, inGraph bool) []*graph.Node {
	scores, cache, next, position := f.step(p, r)
	out := []*graph.Node{likeliest(scores), scores}
	if inGraph {
		return append(out, cache.Append(next, position).Nodes()...)
	}
	fresh := next.Nodes()
	for i, n := range fresh {
		fresh[i] = graph.Reshape(n, 1, n.Shape().Dim(0), n.Shape().Dim(1), -1)
	}
	return append(out, graph.Concatenate(fresh, 0))
}

// cacheNames are what the inputs of a step call the tensors of its cache, in order.
func cacheNames(f family) []string {
	var names []string
	from, to := f.part()
	for i := range to {
		prefix, layer := "", i/2
		if from > 0 && i >= from {
			prefix, layer = "source.", (i-from)/2
		}
		names = append(names, fmt.Sprintf("%s%s.%d", prefix, []string{"keys", "values"}[i%2], layer))
	}
	return names
}

// insert builds what puts n rows of a part [n, heads, length, dim] into the given rows of the
// cache; where two name the same row the later is kept.
func insert(f family, n, length int, r room) func(*nn.Pass) []*graph.Node {
	return func(p *nn.Pass) []*graph.Node {
		from, to := f.part()
		rows := p.Input("rows", dtypes.Int32, n)
		part := room{n, length, length}
		var out []*graph.Node
		for i := from; i < to; i++ {
			cache := p.Input(fmt.Sprintf("cache.%d", i), dtypes.Float32, f.cache(r)[i].Dimensions...)
			x := p.Input(fmt.Sprintf("part.%d", i), dtypes.Float32, f.cache(part)[i].Dimensions...)
			if most := cache.Shape().Dim(2); length > most { // read by a graph for longer prompts: the rest is padding
				x = graph.SliceAxis(x, 2, graph.AxisRange(0, most))
			}
			out = append(out, nn.WriteRows(cache, x, rows))
		}
		return out
	}
}

// move builds what takes each row of a new room from a row of the old one, longer or
// shorter. Only the tensors from…to are moved.
func move(f family, old, now room, from, to int) func(*nn.Pass) []*graph.Node {
	return func(p *nn.Pass) []*graph.Node {
		pick := graph.ExpandAxes(p.Input("from", dtypes.Int32, now.rows), -1)
		before, after := f.cache(old), f.cache(now)
		var out []*graph.Node
		for i := from; i < to; i++ {
			x := graph.Gather(p.Input(fmt.Sprintf("cache.%d", i), dtypes.Float32, before[i].Dimensions...), pick)
			have, want := before[i].Dim(2), after[i].Dim(2)
			switch {
			case want > have:
				dims := slices.Clone(after[i].Dimensions)
				dims[2] = want - have
				x = graph.Concatenate([]*graph.Node{x, graph.Zeros(p.Graph, shapes.Make(dtypes.Float32, dims...))}, 2)
			case want < have:
				x = graph.SliceAxis(x, 2, graph.AxisRange(0, want))
			}
			out = append(out, x)
		}
		return out
	}
}
