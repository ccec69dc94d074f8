package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/inference/arch"
	"lorikeet/inference/builtin/pretrain/learned"
	"lorikeet/inference/nn"
)

// floor is the least root mean square that a weight is taken to have.
const floor = 1e-3

// shape is the size of the model.
type shape struct{ Vocab, Dim, Heads, HeadDim, FFN, Encoder, Decoder int }

// config is config.json: a T5 of version 1.1 whose output is tied to its embedding.
func (s shape) config() ([]byte, error) {
	b, err := json.MarshalIndent(map[string]any{
		"architectures": []string{"T5ForConditionalGeneration"}, "model_type": "t5", "vocab_size": s.Vocab, "d_model": s.Dim, "d_kv": s.HeadDim,
		"d_ff": s.FFN, "num_layers": s.Encoder, "num_decoder_layers": s.Decoder, "num_heads": s.Heads, "feed_forward_proj": "gated-gelu",
		"relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "dropout_rate": json.RawMessage("0.0"), "layer_norm_epsilon": 1e-6,
		"is_encoder_decoder": true, "use_cache": true, "n_positions": length, "pad_token_id": 0, "eos_token_id": 1,
		"decoder_start_token_id": 0, "tie_word_embeddings": true, "scale_decoder_outputs": true, "torch_dtype": "bfloat16",
	}, "", "  ")
	return append(b, '\n'), err
}

// learner is the model and its optimizer's moments, all on the device.
type learner struct {
	shape
	*learned.Weights
	arch    arch.Seq2Seq
	backend compute.Backend
	lanes   []lane
	program *nn.Program
	muon    bool // for matrices, in place of AdamW
}

func newLearner(backend compute.Backend, s shape, lanes []lane, seed uint64) (*learner, error) {
	config, err := s.config()
	if err != nil {
		return nil, err
	}
	model, err := arch.OpenSeq2Seq(config)
	if err != nil {
		return nil, err
	}
	l := &learner{shape: s, Weights: learned.New(backend), arch: model, backend: backend, lanes: lanes}
	pass, _, err := nn.Build(backend, "layout", func(p *nn.Pass) []*graph.Node { return []*graph.Node{l.losses(p)} })
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(seed, 3))
	for _, p := range pass.Params {
		if p.Role != nn.Weight {
			continue
		}
		if err := l.Add(p, s.first(p, r)); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// first is a weight's initial value: that of T5, normal with a deviation that keeps
// the size of what passes through.
func (s shape) first(p nn.Param, r *rand.Rand) []float32 {
	v := make([]float32, p.Shape.Size())
	has := func(part string) bool { return strings.HasSuffix(p.Name, part+".weight") }
	deviation := 1 / math.Sqrt(float64(s.Dim))
	switch {
	case strings.HasSuffix(p.Name, "layer_norm.weight"):
		for i := range v {
			v[i] = 1
		}
		return v
	case has("shared"):
		deviation = 1
	case has(".q"):
		deviation = 1 / math.Sqrt(float64(s.Dim*s.HeadDim))
	case has(".o"):
		deviation = 1 / math.Sqrt(float64(s.Heads*s.HeadDim))
	case has(".wo"):
		deviation = 1 / math.Sqrt(float64(s.FFN))
	}
	for i := range v {
		v[i] = float32(r.NormFloat64() * deviation)
	}
	return v
}

// losses builds the loss of each row of all lanes, [rows].
func (l *learner) losses(p *nn.Pass) *graph.Node {
	var all []*graph.Node
	for i, s := range l.lanes {
		in := func(name string, length int) *graph.Node {
			return p.Input(fmt.Sprintf("%s:%d", name, i), dtypes.Int32, s.rows, length)
		}
		mask := in("mask", s.source)
		states := l.arch.Encode(p.Root(), in("ids", s.source), mask)
		logits := l.arch.Decode(p.Root(), in("decoder", s.target), states, mask)
		labels := in("labels", s.target)
		asked := graph.ConvertDType(graph.GreaterOrEqual(labels, graph.ScalarZero(p.Graph, dtypes.Int32)), dtypes.Float32)
		all = append(all, nn.TokenLoss(logits, labels, asked))
	}
	return graph.Concatenate(all, 0)
}

// update is a whole step in one graph: losses, gradient, clipping and AdamW without
// decay, where the step of a weight is relative to its root mean square, as in Adafactor
// (Shazeer & Stern 2018): T5's embeddings are sixteen times as large as its matrices.
// Outputs: the losses, then those of [learned.Weights.Update].
func (l *learner) update(p *nn.Pass) []*graph.Node {
	losses := l.losses(p)
	total := graph.ReduceAllSum(graph.Mul(losses, p.Input("weight", dtypes.Float32, losses.Shape().Dim(0))))
	return append([]*graph.Node{losses}, l.Update(p, total, func(c learned.Change) (value, m, v *graph.Node) {
		size := graph.MaxScalar(graph.Sqrt(graph.ReduceAllMean(graph.Square(c.Value))), floor)
		var by *graph.Node
		if l.muon && orthogonal(c.Param) {
			by, m = muon(c.Gradient, c.M)
			v = c.V
		} else {
			by, m, v = c.Adam()
		}
		return graph.Sub(c.Value, graph.Mul(graph.Mul(c.Rate, size), by)), m, v
	})...)
}

// compile makes the graph of a step.
func (l *learner) compile() (err error) {
	l.program, err = nn.Compile(l.backend, "step", l.update)
	return err
}

// learn makes one step and returns the loss of each row, and the gradient's norm.
func (l *learner) learn(rows [][]example, rate float64) (losses []float32, norm float64, err error) {
	floats := map[string][]float32{"weight": weigh(rows, l.lanes)}
	ints := map[string][]int32{}
	for i, lane := range l.lanes {
		in := pack(rows[i], lane, l.arch.Facts())
		for name, v := range map[string][]int32{"ids": in.ids, "mask": in.mask, "decoder": in.decoder, "labels": in.labels} {
			ints[fmt.Sprintf("%s:%d", name, i)] = v
		}
	}
	out, err := l.Step(l.program, ints, floats, rate)
	if err != nil {
		return nil, 0, err
	}
	return out[0], float64(out[1][0]), nil
}

// weigh gives the rows their weights: by the root of their length, so that an answer
// of one word counts for more than a word of a long one. They add up to a mean over
// tokens.
func weigh(rows [][]example, lanes []lane) []float32 {
	var out []float32
	sum := 0.0
	for i, l := range lanes {
		for j := range l.rows {
			w := 0.0
			if j < len(rows[i]) {
				n := float64(len(rows[i][j].target))
				w = 1 / math.Sqrt(n)
				sum += math.Sqrt(n)
			}
			out = append(out, float32(w))
		}
	}
	for i := range out {
		out[i] /= float32(sum)
	}
	return out
}
