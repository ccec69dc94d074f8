package main

import (
	"math"
	"strconv"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/inference/nn"
)

// shape is a BERT's size, with the names of config.json.
type shape struct {
	Vocab     int `json:"vocab_size"`
	Dim       int `json:"hidden_size"`
	Layers    int `json:"num_hidden_layers"`
	Heads     int `json:"num_attention_heads"`
	FFN       int `json:"intermediate_size"`
	Positions int `json:"max_position_embeddings"`
}

// epsilon of the layer norms, as BERT has it.
const epsilon = 1e-12

// layer taps what a layer computes on its way, which pruning measures.
type layer struct {
	in      *Node // what attention reads, [batch, length, dim]
	context *Node // what attention's output matrix reads, [batch, length, dim]
	first   *Node // what the first layer norm reads, [batch, length, dim]
	middle  *Node // what the feed-forward part reads, [batch, length, dim]
	active  *Node // its neurons, [batch, length, ffn]
	second  *Node // what the second layer norm reads, [batch, length, dim]
}

// nodes lists the taps in order.
func (l layer) nodes() []*Node {
	return []*Node{l.in, l.context, l.first, l.middle, l.active, l.second}
}

// The places of the taps in nodes.
const (
	tapIn = iota
	tapContext
	tapFirst
	tapMiddle
	tapActive
	tapSecond
	taps
)

// encode is BERT's encoder as inference/arch walks it, but with the states in between:
// here they are what is learned from. b is the block of "embeddings" and "encoder".
// ids, mask [batch, length] → [batch, length, dim].
func (s shape) encode(b nn.Block, ids, mask *Node) (*Node, []layer) {
	length := ids.Shape().Dim(1)
	e := b.At("embeddings")
	row := func(name string, rows, n int) *Node {
		return ExpandLeftToRank(SliceAxis(e.At(name).Weight("weight", rows, s.Dim), 0, AxisRange(0, n)), 3)
	}
	x := e.At("word_embeddings").Embed(ids, s.Vocab, s.Dim)
	x = Add(x, row("token_type_embeddings", 2, 1))
	x = Add(x, row("position_embeddings", s.Positions, length))
	x = e.At("LayerNorm").Norm(x, epsilon)
	bias := nn.MaskBias(mask)
	layers := make([]layer, s.Layers)
	for i := range layers {
		l := &layers[i]
		b := b.At("encoder").At("layer").At(strconv.Itoa(i))
		self, out := b.At("attention").At("self"), b.At("attention").At("output")
		l.in = x
		l.context = nn.Attend(b.Pass(), self.At("query").Linear(x, s.Dim, true), self.At("key").Linear(x, s.Dim, true),
			self.At("value").Linear(x, s.Dim, true), bias, s.Heads, 0)
		l.first = Add(x, out.At("dense").Linear(l.context, s.Dim, true))
		l.middle = out.At("LayerNorm").Norm(l.first, epsilon)
		l.active = nn.Activate("gelu", b.At("intermediate").At("dense").Linear(l.middle, s.FFN, true))
		l.second = Add(l.middle, b.At("output").At("dense").Linear(l.active, s.Dim, true))
		x = b.At("output").At("LayerNorm").Norm(l.second, epsilon)
	}
	return x, layers
}

// perWord averages the states of each word's pieces. x [batch, length, dim]; word
// [batch, length] int32 is the number of the word that a token is part of, -1 for none
// → [batch, length, dim], zero after the last word.
func perWord(x, word *Node) *Node {
	length := x.Shape().Dim(1)
	member := OneHot(word, length, dtypes.Float32) // [batch, token, word]; no word: zeros
	count := MaxScalar(ReduceSum(member, 1), 1)    // [batch, word]
	return Div(Einsum("btw,btd->bwd", member, x), ExpandAxes(count, -1))
}

// mean averages the states of a text's tokens, [CLS] and [SEP] too, and scales the
// result to length 1: the embedding of a sentence-transformer → [batch, dim].
func mean(x, mask *Node) *Node {
	m := ExpandAxes(ConvertDType(mask, dtypes.Float32), -1)
	y := Div(ReduceSum(Mul(x, m), 1), ReduceSum(m, 1))
	return Div(y, ExpandAxes(Sqrt(AddScalar(ReduceSum(Square(y), -1), 1e-12)), -1))
}

// teach is the teacher's forward pass: the states of the words, then the embeddings of
// the texts.
func (s shape) teach(p *nn.Pass, batch, length int) []*Node {
	ids, mask, word := p.Input("ids", dtypes.Int32, batch, length), p.Input("mask", dtypes.Int32, batch, length), p.Input("word", dtypes.Int32, batch, length)
	x, _ := s.encode(p.Root(), ids, mask)
	return []*Node{perWord(x, word), mean(x, mask)}
}

// weights of the three parts of the loss.
type weights struct{ Words, Text, Masked float64 }

// losses is the student's forward pass. The parts of the loss are
//
//   - words: the states of the words, through a matrix, against the teacher's: squared
//     error, relative to the teacher's mean square;
//   - text: the pooler, through a matrix, against the teacher's embedding: squared
//     distance. The served classifier reads the pooler;
//   - masked: cross-entropy of the tokens that were masked (Devlin et al. 2018), with
//     the embedding as output matrix.
//
// "target.words" [batch, length, teacher], "target.text" [batch, teacher] and
// "masked" [masks, 3] (row, place, token; row -1: none) come with the batch.
func (s shape) losses(p *nn.Pass, batch, length, masks, teacher int, w weights) (total *Node, parts []*Node) {
	ids, mask, word := p.Input("ids", dtypes.Int32, batch, length), p.Input("mask", dtypes.Int32, batch, length), p.Input("word", dtypes.Int32, batch, length)
	root := p.Root()
	x, _ := s.encode(root.At("bert"), ids, mask)

	real := OneHot(word, length, dtypes.Float32) // [batch, token, word]
	real = Min(ReduceSum(real, 1), OnesLike(ReduceSum(real, 1)))
	want := p.Input("target.words", dtypes.Float32, batch, length, teacher)
	got := root.At("distil").At("words").Linear(perWord(x, word), teacher, true)
	square := func(x *Node) *Node { return ReduceAllSum(Mul(ReduceSum(Square(x), -1), real)) }
	words := Div(square(Sub(got, want)), square(want))

	first := Reshape(SliceAxis(x, 1, AxisElem(0)), batch, s.Dim)
	pooled := Tanh(root.At("bert").At("pooler").At("dense").Linear(first, s.Dim, true))
	embedding := root.At("distil").At("text").Linear(pooled, teacher, true)
	text := ReduceAllMean(ReduceSum(Square(Sub(embedding, p.Input("target.text", dtypes.Float32, batch, teacher))), -1))

	masked := p.Input("masked", dtypes.Int32, masks, 3)
	column := func(i int) *Node { return Reshape(SliceAxis(masked, 1, AxisElem(i)), masks, 1) }
	known := Reshape(ConvertDType(GreaterOrEqual(column(0), ScalarZero(p.Graph, dtypes.Int32)), dtypes.Float32), masks)
	row := Max(column(0), ZerosLike(column(0)))
	at := Gather(x, Concatenate([]*Node{row, column(1)}, 1)) // [masks, dim]
	table := p.Node(nn.Weight, "bert.embeddings.word_embeddings.weight")
	h := root.At("distil").At("masked").Linear(at, s.Dim, true)
	scores := MulScalar(Einsum("md,vd->mv", h, table), 1/math.Sqrt(float64(s.Dim)))
	token := Reshape(column(2), masks)
	each := Neg(ReduceSum(Mul(LogSoftmax(scores, -1), OneHot(token, s.Vocab, dtypes.Float32)), -1))
	mlm := Div(ReduceAllSum(Mul(each, known)), AddScalar(ReduceAllSum(known), 1e-6))

	parts = []*Node{words, text, mlm}
	total = Add(Add(MulScalar(words, w.Words), MulScalar(text, w.Text)), MulScalar(mlm, w.Masked))
	return total, parts
}
