package inference

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/inference/nn"
)

// memory builds what the decoder looks up in the batch's sources.
func (r *translation) memory(p *nn.Pass) []*graph.Node {
	mask := p.Input("mask", dtypes.Int32, r.batch, r.source)
	states := r.model.Encode(p.Root(), p.Input("ids", dtypes.Int32, r.batch, r.source), mask)
	return r.model.Memory(p.Root(), states).Nodes()
}

// steps is the decoder at work: a graph for one token of each row, and its buffers,
// which each step uses up and makes anew.
type steps struct {
	*translation
	with    []*Prepared
	program *nn.Program
	order   []string // the buffers' names, as the graph puts them out
	held    map[string]compute.Buffer
}

// start makes room for so many tokens a row, full of what another text left there.
func (r *translation) start(t *testing.T, with []*Prepared, memory []compute.Buffer, room int) *steps {
	t.Helper()
	f := r.model.Facts()
	s := &steps{translation: r, with: with, held: map[string]compute.Buffer{}}
	s.program = r.compile(t, func(p *nn.Pass) []*graph.Node {
		p.Untied = true
		source := nn.Cache{}
		for i := range f.Layers {
			source.Keys = append(source.Keys, p.Input(fmt.Sprintf("source.keys.%d", i), dtypes.Float32, r.batch, f.Heads, r.source, f.HeadDim))
			source.Values = append(source.Values, p.Input(fmt.Sprintf("source.values.%d", i), dtypes.Float32, r.batch, f.Heads, r.source, f.HeadDim))
		}
		cache, position := nn.NewCache(p, f.Layers, r.batch, room, f.Heads, f.HeadDim), p.Input("position", dtypes.Int32, r.batch)
		logits, next := r.model.Step(p.Root(), p.Input("token", dtypes.Int32, r.batch), position, cache, source, p.Input("mask", dtypes.Int32, r.batch, r.source))
		outputs := append([]*graph.Node{logits}, cache.Append(next, position).Nodes()...)
		for _, n := range source.Nodes() { // donated with the rest, so handed back
			outputs = append(outputs, graph.Identity(n))
		}
		return outputs
	})
	left := make([]float32, r.batch*room*f.Heads*f.HeadDim)
	for i := range left {
		left[i] = float32(i%7) - 3
	}
	for _, prefix := range []string{"", "source."} {
		for i := range f.Layers {
			s.order = append(s.order, fmt.Sprintf("%skeys.%d", prefix, i), fmt.Sprintf("%svalues.%d", prefix, i))
		}
	}
	for i, name := range s.order {
		if at := i - len(s.order) + len(memory); at >= 0 {
			s.held[name] = memory[at]
			continue
		}
		b, err := nn.Upload(r.backend, left, r.batch, f.Heads, room, f.HeadDim)
		if err != nil {
			t.Fatal(err)
		}
		s.held[name] = b
	}
	t.Cleanup(func() { _ = free(s.held) })
	return s
}

// next takes a token of each row, at its position → its logits.
func (s *steps) next(t *testing.T, token, position []int32) [][]float32 {
	t.Helper()
	out := s.run(t, s.program, s.with, map[string][]int32{"token": token, "position": position}, s.held)
	for i, name := range s.order {
		s.held[name] = out[i+1]
	}
	return values(t, out[0], s.model.Facts().Outputs)
}

// compareSteps feeds the decoder its tokens one by one. Odd rows lag a step behind, as
// rows do that join a running batch.
func (r *translation) compareSteps(t *testing.T, with []*Prepared, want [][]float32, memory []compute.Buffer) {
	t.Helper()
	s := r.start(t, with, memory, r.target+3)
	worst := 0.0
	for step := range r.target + 1 {
		token, position := make([]int32, r.batch), make([]int32, r.batch)
		for row := range r.batch {
			at := min(max(step-row%2, 0), r.target-1)
			token[row], position[row] = r.decoder[row*r.target+at], int32(at)
		}
		for row, got := range s.next(t, token, position) {
			worst = max(worst, distance(got, want[row*r.target+int(position[row])]))
		}
	}
	t.Logf("steps: differ by %.1e", worst)
	if !(worst <= tolerance) {
		t.Errorf("the steps differ from the whole by %v", worst)
	}
}

// greedy writes the likeliest token each time, up to length of them with the start.
// What follows the end is padding.
func (r *translation) greedy(t *testing.T, length int) [][]int32 {
	t.Helper()
	f := r.model.Facts()
	s := r.start(t, make([]*Prepared, r.batch), r.run(t, r.compile(t, r.memory), nil, nil, nil), length)
	token, ended := slices.Repeat([]int32{f.Start}, r.batch), make([]bool, r.batch)
	rows := make([][]int32, r.batch)
	for i := range rows {
		rows[i] = []int32{f.Start}
	}
	for at := range length - 1 {
		for row, logits := range s.next(t, token, slices.Repeat([]int32{int32(at)}, r.batch)) {
			best := int32(slices.Index(logits, slices.Max(logits)))
			switch {
			case ended[row]:
				best = f.Pad
			case at == length-2 && len(f.ForcedEOS) > 0:
				best = f.ForcedEOS[0]
			}
			ended[row] = ended[row] || slices.Contains(f.EOS, best)
			token[row] = best
			rows[row] = append(rows[row], best)
		}
	}
	return rows
}
