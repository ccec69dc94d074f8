package main

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/inference/nn"
)

// sample is what a tap gave on some texts: one row per token.
type sample struct {
	dim  int
	rows []float32
}

// probe runs a batch and gives every tap of every layer, for the tokens that are there.
func (t *teacher) probe(b batch) ([][taps]sample, error) {
	inputs := t.inputs(b)
	return t.prober("", t.shape).run(b, inputs["mask"].([]int32), func(held *[]compute.Buffer) nn.Feed {
		return t.feed(inputs, held, len(b.rows), b.length)
	})
}

// prober is the program that taps a model, for each size of batch.
type prober struct {
	shape
	backend  compute.Backend
	prefix   string // of the weights' names
	programs map[[2]int]*nn.Program
}

func (t *teacher) prober(prefix string, s shape) *prober {
	if t.probers == nil {
		t.probers = map[string]*prober{}
	}
	if t.probers[prefix] == nil {
		t.probers[prefix] = &prober{shape: s, backend: t.backend, prefix: prefix, programs: map[[2]int]*nn.Program{}}
	}
	return t.probers[prefix]
}

func (s *prober) program(rows, length int) (*nn.Program, error) {
	if g, ok := s.programs[[2]int{rows, length}]; ok {
		return g, nil
	}
	g, err := nn.Compile(s.backend, "probe", func(p *nn.Pass) []*graph.Node {
		ids, mask := p.Input("ids", dtypes.Int32, rows, length), p.Input("mask", dtypes.Int32, rows, length)
		root := p.Root()
		if s.prefix != "" {
			root = root.At(s.prefix)
		}
		x, layers := s.encode(root, ids, mask)
		var out []*graph.Node
		for _, l := range layers {
			out = append(out, l.nodes()...)
		}
		return append(out, x)
	})
	s.programs[[2]int{rows, length}] = g
	return g, err
}

func (s *prober) run(b batch, mask []int32, feed func(held *[]compute.Buffer) nn.Feed) ([][taps]sample, error) {
	g, err := s.program(len(b.rows), b.length)
	if err != nil {
		return nil, err
	}
	out, err := run(g, feed)
	if err != nil {
		return nil, err
	}
	all := make([][taps]sample, s.Layers+1) // the last holds the final state
	for i, v := range out {
		dim := len(v) / len(mask)
		got := sample{dim: dim}
		for r, m := range mask {
			if m == 1 {
				got.rows = append(got.rows, v[r*dim:(r+1)*dim]...)
			}
		}
		all[i/taps][i%taps] = got
	}
	return all, nil
}

// gather adds more to all.
func gather(all, more [][taps]sample) [][taps]sample {
	if all == nil {
		return more
	}
	for i := range all {
		for j := range all[i] {
			all[i][j].rows = append(all[i][j].rows, more[i][j].rows...)
		}
	}
	return all
}
