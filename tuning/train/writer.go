package train

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/inference/arch"
	"lorikeet/inference/nn"
)

// unasked is the label of a token that is no part of an answer, as in PyTorch.
const unasked = -100

// ask lays out the labels of a batch and what each counts in the loss.
func (b *batch) ask(rows []example, length int) []int32 {
	labels := fill(b.rows, length, unasked, func(i int) []int32 {
		if i >= len(rows) {
			return nil
		}
		return rows[i].labels
	})
	counts := make([]float32, b.rows*length)
	for i, e := range rows {
		copy(counts[i*length:(i+1)*length], e.counts)
	}
	b.ints["labels"], b.floats = labels, map[string][]float32{"counts": counts}
	return labels
}

// asked declares the labels of a batch, and what they count.
func asked(p *nn.Pass, rows, length int) (labels, counts *Node) {
	return p.Input("labels", dtypes.Int32, rows, length), p.Input("counts", dtypes.Float32, rows, length)
}

// translator learns to write a target for a source: an encoder-decoder.
type translator struct {
	arch           arch.Seq2Seq // with the run's dropout
	pad            int32
	source, target int // the longest there are, tokens
	banned         []int32
}

func (m translator) pack(rows []example, n int) batch {
	source, target := 1, 1
	for _, e := range rows {
		source, target = max(source, len(e.tokens.IDs)), max(target, len(e.labels))
	}
	b := batch{size: size{rows: n, length: padded(source, m.source), target: padded(target, m.target)}}
	b.ints = read(rows, b.size, m.pad)
	labels := b.ask(rows, b.target)
	decoder := make([]int32, 0, len(labels))
	for i := range n {
		decoder = append(decoder, m.arch.Facts().ShiftRight(labels[i*b.target:(i+1)*b.target])...)
	}
	b.ints["decoder"] = decoder
	return b
}

// logits builds the whole model on a batch, [rows, target, outputs].
func (m translator) logits(p *nn.Pass, s size) *Node {
	mask := p.Input("mask", dtypes.Int32, s.rows, s.length)
	states := m.arch.Encode(p.Root(), p.Input("ids", dtypes.Int32, s.rows, s.length), mask)
	return m.arch.Decode(p.Root(), p.Input("decoder", dtypes.Int32, s.rows, s.target), states, mask)
}

func (m translator) losses(p *nn.Pass, s size) *Node {
	labels, counts := asked(p, s.rows, s.target)
	return nn.TokenLoss(m.logits(p, s), labels, counts)
}

func (m translator) predict(p *nn.Pass, s size) *Node {
	labels, counts := asked(p, s.rows, s.target)
	return tokenScores(m.logits(p, s), labels, counts)
}

// speaker learns to go on with a text: a decoder alone.
type speaker struct {
	arch   arch.Causal // with the run's dropout
	pad    int32
	limit  int // longest prompt and answer, tokens
	banned []int32
}

func (m speaker) pack(rows []example, n int) batch {
	longest := 2 // a token, and the one after it
	for _, e := range rows {
		longest = max(longest, len(e.tokens.IDs))
	}
	places, most := make([][]int32, len(rows)), 1
	for i, e := range rows {
		places[i] = e.places()
		most = max(most, len(places[i]))
	}
	length := padded(longest, m.limit)
	b := batch{size: size{rows: n, length: length, target: share(most, length)}}
	b.ints = read(rows, b.size, m.pad)
	asked := make([]example, len(rows))
	for i, at := range places {
		for _, t := range at {
			asked[i].labels, asked[i].counts = append(asked[i].labels, rows[i].labels[t+1]), append(asked[i].counts, rows[i].counts[t+1])
		}
	}
	b.ask(asked, b.target)
	b.ints["at"] = fill(n, b.target, 0, func(i int) []int32 {
		if i >= len(rows) {
			return nil
		}
		return places[i]
	})
	for i := len(rows); i < n; i++ {
		b.ints["mask"][i*b.length] = 1 // attention to nothing at all is not a number
	}
	return b
}

// places are the tokens of a decoder's text after which another is asked for: those
// before the labels that count, as transformers shifts them.
func (e example) places() []int32 {
	var at []int32
	for t := 1; t < len(e.counts); t++ {
		if e.counts[t] != 0 {
			at = append(at, int32(t-1))
		}
	}
	return at
}

// share is for how many tokens of each text the scores of the vocabulary are computed:
// a quarter, half or all of them, so that there are few graphs. The rest is not asked
// for: with the prompt three quarters of a text, that saves a sixth of a step of a LLaMA
// of 124 million parameters, and half a gigabyte at 8 texts of 512 tokens.
func share(most, length int) int {
	for _, part := range []int{4, 2} {
		if most <= length/part {
			return length / part
		}
	}
	return length
}

// logits builds the whole model on a batch, [rows, target, vocab].
func (m speaker) logits(p *nn.Pass, s size) *Node {
	ids, mask := p.Input("ids", dtypes.Int32, s.rows, s.length), p.Input("mask", dtypes.Int32, s.rows, s.length)
	return m.arch.Logits(p.Root(), ids, mask, p.Input("at", dtypes.Int32, s.rows, s.target))
}

func (m speaker) losses(p *nn.Pass, s size) *Node {
	labels, counts := asked(p, s.rows, s.target)
	return nn.TokenLoss(m.logits(p, s), labels, counts)
}

func (m speaker) predict(p *nn.Pass, s size) *Node {
	labels, counts := asked(p, s.rows, s.target)
	return tokenScores(m.logits(p, s), labels, counts)
}

// tokenScores is, for each row, the loss of its tokens and how many of them are the
// likeliest, each as much as it counts, [rows, 2].
func tokenScores(logits, labels, counts *Node) *Node {
	hit := ConvertDType(Equal(ArgMax(logits, -1, dtypes.Int32), labels), dtypes.Float32)
	return Stack([]*Node{nn.TokenLoss(logits, labels, counts), ReduceSum(Mul(hit, counts), -1)}, -1)
}
