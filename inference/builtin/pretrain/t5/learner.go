package main

import (
	"encoding/json"
	"errors"
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

// The optimizer's constants.
const (
	beta1 = 0.9
	beta2 = 0.98 // steps are few: the moments must follow
	tiny  = 1e-8
	clip  = 1.0  // of the gradient's global norm
	floor = 1e-3 // of the root mean square of a weight
)

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
	arch    arch.Seq2Seq
	backend compute.Backend
	lanes   []lane
	learned []learned.Tensor
	place   map[string]int
	program *nn.Program
	step    int
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
	l := &learner{shape: s, arch: model, backend: backend, lanes: lanes, place: map[string]int{}}
	pass, _, err := nn.Build(backend, "layout", func(p *nn.Pass) []*graph.Node { return []*graph.Node{l.losses(p)} })
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(seed, 3))
	for _, p := range pass.Params {
		if p.Role != nn.Weight {
			continue
		}
		zero := make([]float32, p.Shape.Size())
		t := learned.Tensor{Param: p}
		for _, put := range []struct {
			to   *compute.Buffer
			from []float32
		}{{&t.Value, s.first(p, r)}, {&t.M, zero}, {&t.V, zero}} {
			if *put.to, err = nn.Upload(backend, put.from, p.Shape.Dimensions...); err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name, err)
			}
		}
		l.place[p.Name] = len(l.learned)
		l.learned = append(l.learned, t)
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

// parameters counts the values of the weights.
func (l *learner) parameters() (n int) {
	for _, t := range l.learned {
		n += t.Param.Shape.Size()
	}
	return n
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
// Outputs: the losses, the gradient's norm, then value, first and second moment of each.
func (l *learner) update(p *nn.Pass) []*graph.Node {
	losses := l.losses(p)
	scalar := func(name string) *graph.Node { return p.Input(name, dtypes.Float32) }
	rate, one, two := scalar("rate"), scalar("correction1"), scalar("correction2")
	total := graph.ReduceAllSum(graph.Mul(losses, p.Input("weight", dtypes.Float32, losses.Shape().Dim(0))))
	var learned []*graph.Node
	for _, t := range l.learned {
		learned = append(learned, p.Node(nn.Weight, t.Param.Name))
	}
	grads := graph.Gradient(total, learned...)
	square := graph.ScalarZero(p.Graph, dtypes.Float32)
	for _, g := range grads {
		square = graph.Add(square, graph.ReduceAllSum(graph.Square(g)))
	}
	norm := graph.Sqrt(square)
	scale := graph.Min(graph.ScalarOne(p.Graph, dtypes.Float32), graph.Div(graph.Scalar(p.Graph, dtypes.Float32, clip), graph.AddScalar(norm, 1e-6)))
	outputs := []*graph.Node{losses, norm}
	for i, t := range l.learned {
		dims := t.Param.Shape.Dimensions
		m, v := p.Input("m:"+t.Param.Name, dtypes.Float32, dims...), p.Input("v:"+t.Param.Name, dtypes.Float32, dims...)
		g, value := graph.Mul(grads[i], scale), learned[i]
		size := graph.MaxScalar(graph.Sqrt(graph.ReduceAllMean(graph.Square(value))), floor)
		if l.muon && orthogonal(t.Param) {
			by, next := muon(g, m)
			outputs = append(outputs, graph.Sub(value, graph.Mul(graph.Mul(rate, size), by)), next, v)
			continue
		}
		m = graph.Add(graph.MulScalar(m, beta1), graph.MulScalar(g, 1-beta1))
		v = graph.Add(graph.MulScalar(v, beta2), graph.MulScalar(graph.Square(g), 1-beta2))
		by := graph.Div(graph.Div(m, one), graph.AddScalar(graph.Sqrt(graph.Div(v, two)), tiny))
		outputs = append(outputs, graph.Sub(value, graph.Mul(graph.Mul(rate, size), by)), m, v)
	}
	return outputs
}

// compile makes the graph of a step.
func (l *learner) compile() (err error) {
	l.program, err = nn.Compile(l.backend, "step", l.update)
	return err
}

// learn makes one step and returns the loss of each row, and the gradient's norm.
func (l *learner) learn(rows [][]example, rate float64) (losses []float32, norm float64, err error) {
	t := float64(l.step + 1)
	scalars := map[string]float64{"rate": rate, "correction1": 1 - math.Pow(beta1, t), "correction2": 1 - math.Pow(beta2, t)}
	floats := map[string][]float32{"weight": weigh(rows, l.lanes)}
	ints := map[string][]int32{}
	for i, lane := range l.lanes {
		in := pack(rows[i], lane, l.arch.Facts())
		for name, v := range map[string][]int32{"ids": in.ids, "mask": in.mask, "decoder": in.decoder, "labels": in.labels} {
			ints[fmt.Sprintf("%s:%d", name, i)] = v
		}
	}
	var held []compute.Buffer
	out, err := l.program.Run(func(p nn.Param) (buf compute.Buffer, donate bool, err error) {
		kind, name, _ := strings.Cut(p.Name, ":")
		dims := p.Shape.Dimensions
		switch {
		case p.Role == nn.Weight:
			return l.learned[l.place[p.Name]].Value, true, nil
		case kind == "m":
			return l.learned[l.place[name]].M, true, nil
		case kind == "v":
			return l.learned[l.place[name]].V, true, nil
		case ints[p.Name] != nil:
			buf, err = nn.Upload(l.backend, ints[p.Name], dims...)
		case floats[p.Name] != nil:
			buf, err = nn.Upload(l.backend, floats[p.Name], dims...)
		default:
			buf, err = nn.Upload(l.backend, []float32{float32(scalars[p.Name])}, dims...)
		}
		held = append(held, buf)
		return buf, false, err
	})
	for _, h := range held {
		err = errors.Join(err, h.Finalize())
	}
	if err != nil {
		return nil, 0, err
	}
	losses, err = nn.Download(out[0])
	n, e := nn.Download(out[1])
	if err = errors.Join(err, e, out[0].Finalize(), out[1].Finalize()); err != nil {
		return nil, 0, err
	}
	for i := range l.learned {
		w := &l.learned[i]
		w.Value, w.M, w.V = out[2+3*i], out[3+3*i], out[4+3*i]
	}
	l.step++
	return losses, float64(n[0]), nil
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
