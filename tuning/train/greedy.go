package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/inference/nn"
)

// scribe is a model that writes: a graph that reads a batch, and one for a token more
// of each row. Both give the likeliest next token of each row, then the buffers that
// the next step takes in, named by their inputs.
type scribe interface {
	model
	// reader builds what comes before the first step; room is how many tokens a row of
	// the cache holds. An encoder-decoder's gives no token: that is given, start.
	reader(p *nn.Pass, s size, room int) []*Node
	stepper(p *nn.Pass, s size, room int) []*Node
	// blank declares the cache of what is written, in the order that steps give it out.
	blank(p *nn.Pass, s size, room int) []*Node
	// start is a decoder's first token; ok is false where the prompt is the start.
	start() (token int32, ok bool)
}

// likeliest is the best token of each row, but for those that are never written; float32
// holds every id exactly.
func likeliest(logits *Node, banned []int32) *Node {
	never := make([]float32, logits.Shape().Dim(-1))
	for _, id := range banned {
		never[id] = float32(math.Inf(-1))
	}
	if len(banned) > 0 {
		logits = Add(logits, ExpandLeftToRank(Const(logits.Graph(), never), logits.Rank()))
	}
	return ConvertDType(ArgMax(logits, -1, dtypes.Int32), dtypes.Float32)
}

func (m translator) blank(p *nn.Pass, s size, room int) []*Node {
	f := m.arch.Facts()
	return nn.NewCache(p, f.Layers, s.rows, room, f.Heads, f.HeadDim).Nodes()
}

func (m translator) reader(p *nn.Pass, s size, _ int) []*Node {
	mask := p.Input("mask", dtypes.Int32, s.rows, s.length)
	states := m.arch.Encode(p.Root(), p.Input("ids", dtypes.Int32, s.rows, s.length), mask)
	return m.arch.Memory(p.Root(), states).Nodes()
}

func (m translator) stepper(p *nn.Pass, s size, room int) []*Node {
	f, source := m.arch.Facts(), nn.Cache{}
	for i := range f.Layers {
		source.Keys = append(source.Keys, p.Input(fmt.Sprintf("source.keys.%d", i), dtypes.Float32, s.rows, f.Heads, s.length, f.HeadDim))
		source.Values = append(source.Values, p.Input(fmt.Sprintf("source.values.%d", i), dtypes.Float32, s.rows, f.Heads, s.length, f.HeadDim))
	}
	cache, position := nn.NewCache(p, f.Layers, s.rows, room, f.Heads, f.HeadDim), p.Input("position", dtypes.Int32, s.rows)
	logits, next := m.arch.Step(p.Root(), p.Input("token", dtypes.Int32, s.rows), position, cache, source, p.Input("mask", dtypes.Int32, s.rows, s.length))
	return append([]*Node{likeliest(logits, m.banned)}, cache.Append(next, position).Nodes()...)
}

func (m translator) start() (int32, bool) { return m.arch.Facts().Start, true }

func (m speaker) reader(p *nn.Pass, s size, room int) []*Node {
	logits, read := m.arch.Prefill(p.Root(), p.Input("ids", dtypes.Int32, s.rows, s.length), p.Input("mask", dtypes.Int32, s.rows, s.length))
	cache := m.arch.Cache(p, s.rows, room).Put(read, p.Input("rows", dtypes.Int32, s.rows))
	return append([]*Node{likeliest(logits, m.banned)}, cache.Nodes()...)
}

func (m speaker) stepper(p *nn.Pass, s size, room int) []*Node {
	cache, position := m.arch.Cache(p, s.rows, room), p.Input("position", dtypes.Int32, s.rows)
	logits, next := m.arch.Step(p.Root(), p.Input("token", dtypes.Int32, s.rows), position, cache)
	return append([]*Node{likeliest(logits, m.banned)}, cache.Append(next, position).Nodes()...)
}

func (m speaker) start() (int32, bool) { return 0, false }

// page is a buffer that a step consumes and makes anew.
type page struct {
	name   string
	buffer compute.Buffer
}

func (m speaker) blank(p *nn.Pass, s size, room int) []*Node {
	return m.arch.Cache(p, s.rows, room).Nodes()
}

// greedy writes up to most tokens for each row: the likeliest each time, until an end.
func (l *loop) greedy(ctx context.Context, rows []example, n, most int, ends []int32) (texts [][]int32, err error) {
	m := l.model.(scribe)
	shown := make([]example, len(rows))
	for i, e := range rows {
		shown[i].tokens = e.tokens
		if _, ok := m.start(); !ok { // the answer is among the tokens
			shown[i].tokens.IDs = e.prompt
		}
	}
	b := m.pack(shown, n)
	start, given := m.start()
	room := most + 1
	if !given {
		room += b.length
	}
	room = padded(room, room+lengths[0])
	w := &writing{loop: l, scribe: m, size: b.size, room: room, token: make([]int32, n), position: make([]int32, n)}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.read(b); err != nil {
		return nil, err
	}
	for i := range n {
		switch {
		case given:
			w.token[i] = start
		case i < len(shown):
			w.position[i] = int32(len(shown[i].tokens.IDs))
		}
	}
	if given {
		if err := w.step(b); err != nil {
			return nil, err
		}
	}
	texts, done := make([][]int32, len(rows)), make([]bool, len(rows))
	for {
		for i := range rows {
			if done[i] = done[i] || slices.Contains(ends, w.token[i]) || len(texts[i]) >= most; !done[i] {
				texts[i] = append(texts[i], w.token[i])
			}
		}
		if !slices.Contains(done, false) {
			return texts, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := w.step(b); err != nil {
			return nil, err
		}
	}
}
