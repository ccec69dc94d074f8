package train

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/inference"
	"lorikeet/inference/arch"
	"lorikeet/inference/nn"
)

// model is what a family of models brings to the loop: how examples become a batch,
// and what is computed on one.
type model interface {
	// pack pads examples to a batch of n rows. Missing rows ask nothing.
	pack(rows []example, n int) batch
	// losses builds the loss of each row, [rows]: the sum over all that is asked of it.
	losses(p *nn.Pass, s size) *Node
	// predict builds what evaluation reads, [rows, …].
	predict(p *nn.Pass, s size) *Node
}

// size is the shape of a batch.
type size struct {
	rows, length int // texts that are read, and their tokens
	target       int // tokens that an encoder-decoder writes, or after which a decoder is asked for the next
}

// String names the graphs of a size.
func (s size) String() string { return fmt.Sprintf("%dx%dx%d", s.rows, s.length, s.target) }

// batch is examples padded to one size: the inputs of a graph, by name.
type batch struct {
	size
	ints   map[string][]int32
	floats map[string][]float32
}

// fill lays out lists of ids as the rows of a batch, padded on the right.
func fill(rows, length int, pad int32, ids func(row int) []int32) []int32 {
	all := make([]int32, rows*length)
	for i := range all {
		all[i] = pad
	}
	for i := range rows {
		copy(all[i*length:(i+1)*length], ids(i))
	}
	return all
}

// read lays out what the examples show the model: ids, and a mask over them.
func read(rows []example, s size, pad int32) map[string][]int32 {
	ids := func(i int) []int32 {
		if i >= len(rows) {
			return nil
		}
		return rows[i].tokens.IDs
	}
	ones := func(i int) []int32 {
		all := make([]int32, len(ids(i)))
		for j := range all {
			all[j] = 1
		}
		return all
	}
	return map[string][]int32{"ids": fill(s.rows, s.length, pad, ids), "mask": fill(s.rows, s.length, 0, ones)}
}

// classifier learns a label or a number for each text.
type classifier struct {
	arch    arch.Classifier // with the run's labels and dropout
	problem arch.Problem
	pad     int32
	limit   int // longest text, tokens
}

func (m classifier) pack(rows []example, n int) batch {
	longest := 1
	for _, e := range rows {
		longest = max(longest, len(e.tokens.IDs))
	}
	b := batch{size: size{rows: n, length: padded(longest, m.limit)}}
	b.ints = read(rows, b.size, m.pad)
	b.ints["types"] = fill(n, b.length, 0, func(i int) []int32 {
		if i >= len(rows) {
			return nil
		}
		return rows[i].tokens.TypeIDs
	})
	label, target := make([]int32, n), make([]float32, n)
	for i, e := range rows {
		label[i], target[i] = int32(e.label), float32(e.target)
	}
	b.ints["label"], b.floats = label, map[string][]float32{"target": target}
	return b
}

func (m classifier) losses(p *nn.Pass, s size) *Node {
	logits := m.predict(p, s)
	if m.problem == arch.Regression {
		target := p.Input("target", dtypes.Float32, s.rows)
		return Square(Sub(Reshape(logits, s.rows), target))
	}
	label := p.Input("label", dtypes.Int32, s.rows)
	picked := OneHot(label, logits.Shape().Dim(1), dtypes.Float32)
	return Neg(ReduceSum(Mul(LogSoftmax(logits, -1), picked), -1))
}

// predict gives the logits, [rows, labels].
func (m classifier) predict(p *nn.Pass, s size) *Node {
	return m.arch.Logits(p.Root(), inference.Inputs(p, s.rows, s.length))
}
