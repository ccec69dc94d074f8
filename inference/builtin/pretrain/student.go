package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/adapters/safetensors"
	"lorikeet/inference"
	"lorikeet/inference/builtin/pretrain/learned"
	"lorikeet/inference/checkpoint"
	"lorikeet/inference/nn"
)

// AdamW's constants.
const (
	beta1 = 0.9
	beta2 = 0.98 // steps are few: the moments must follow
	tiny  = 1e-8
	decay = 0.01
	clip  = 1.0 // of the gradient's global norm
)

// student is what learns, with AdamW's moments, all on the device.
type student struct {
	shape
	backend  compute.Backend
	teacher  int // its width
	loss     weights
	learned  []learned.Tensor
	place    map[string]int
	programs map[int]*nn.Program
	step     int
}

// newStudent starts from the given weights, in the checkpoint's layout. What is not
// among them starts at random.
func newStudent(backend compute.Backend, s shape, teacher int, loss weights, first map[string][]float32, seed uint64) (*student, error) {
	st := &student{shape: s, backend: backend, teacher: teacher, loss: loss, place: map[string]int{}, programs: map[int]*nn.Program{}}
	pass, _, err := nn.Build(backend, "layout", st.forward(2, 16))
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(seed, 3))
	for _, p := range pass.Params {
		if p.Role != nn.Weight {
			continue
		}
		dims := p.CheckpointDims()
		v, ok := first[p.Name]
		switch {
		case !ok:
			v = random(p, dims, r)
		case len(v) != p.Shape.Size():
			return nil, fmt.Errorf("%s: %d values for %v", p.Name, len(v), dims)
		}
		if p.Transposed {
			v = inference.Transpose(v, dims[0], dims[1])
		}
		zero := make([]float32, len(v))
		if err := st.add(p, v, zero, zero); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// random is BERT's initial value: normal, of deviation 0.02; ones for the scales of
// layer norms, zeros for biases.
func random(p nn.Param, dims []int, r *rand.Rand) []float32 {
	v := make([]float32, p.Shape.Size())
	for i := range v {
		switch {
		case len(dims) > 1:
			v[i] = float32(r.NormFloat64() * 0.02)
		case strings.HasSuffix(p.Name, "LayerNorm.weight"):
			v[i] = 1
		}
	}
	return v
}

func (st *student) add(p nn.Param, value, m, v []float32) error {
	t := learned.Tensor{Param: p}
	for _, put := range []struct {
		to   *compute.Buffer
		from []float32
	}{{&t.Value, value}, {&t.M, m}, {&t.V, v}} {
		var err error
		if *put.to, err = nn.Upload(st.backend, put.from, p.Shape.Dimensions...); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	st.place[p.Name] = len(st.learned)
	st.learned = append(st.learned, t)
	return nil
}

func (st *student) forward(rows, length int) func(*nn.Pass) []*graph.Node {
	return func(p *nn.Pass) []*graph.Node {
		total, _ := st.losses(p, rows, length, masks, st.teacher, st.loss)
		return []*graph.Node{total}
	}
}

// update is a whole step in one graph: losses, gradient, clipping and AdamW.
// Outputs: the parts of the loss, then value, first and second moment of each weight.
func (st *student) update(rows, length int) func(*nn.Pass) []*graph.Node {
	return func(p *nn.Pass) []*graph.Node {
		total, outputs := st.losses(p, rows, length, masks, st.teacher, st.loss)
		scalar := func(name string) *graph.Node { return p.Input(name, dtypes.Float32) }
		rate, one, two := scalar("rate"), scalar("correction1"), scalar("correction2")
		var learned []*graph.Node
		for _, t := range st.learned {
			learned = append(learned, p.Node(nn.Weight, t.Param.Name))
		}
		grads := graph.Gradient(total, learned...)
		square := graph.ScalarZero(p.Graph, dtypes.Float32)
		for _, g := range grads {
			square = graph.Add(square, graph.ReduceAllSum(graph.Square(g)))
		}
		norm := graph.Sqrt(square)
		scale := graph.Min(graph.ScalarOne(p.Graph, dtypes.Float32), graph.Div(graph.Scalar(p.Graph, dtypes.Float32, clip), graph.AddScalar(norm, 1e-6)))
		outputs = append(outputs, norm)
		for i, t := range st.learned {
			dims := t.Param.Shape.Dimensions
			m, v := p.Input("m:"+t.Param.Name, dtypes.Float32, dims...), p.Input("v:"+t.Param.Name, dtypes.Float32, dims...)
			g := graph.Mul(grads[i], scale)
			value := learned[i]
			if len(dims) > 1 {
				value = graph.Sub(value, graph.Mul(graph.MulScalar(rate, decay), value))
			}
			m = graph.Add(graph.MulScalar(m, beta1), graph.MulScalar(g, 1-beta1))
			v = graph.Add(graph.MulScalar(v, beta2), graph.MulScalar(graph.Square(g), 1-beta2))
			by := graph.Div(graph.Div(m, one), graph.AddScalar(graph.Sqrt(graph.Div(v, two)), tiny))
			outputs = append(outputs, graph.Sub(value, graph.Mul(rate, by)), m, v)
		}
		return outputs
	}
}

// lessons are a batch as the student gets it.
type lessons struct {
	batch
	ids, masked []int32
	words, text []float32
}

// learn makes one step and returns the parts of the loss and the gradient's norm.
func (st *student) learn(b lessons, rate float64) (values [4]float64, err error) {
	rows := len(b.rows)
	g, ok := st.programs[b.length]
	if !ok {
		if g, err = nn.Compile(st.backend, fmt.Sprintf("student_%d", b.length), st.update(rows, b.length)); err != nil {
			return values, err
		}
		st.programs[b.length] = g
	}
	t := float64(st.step + 1)
	scalars := map[string]float64{"rate": rate, "correction1": 1 - math.Pow(beta1, t), "correction2": 1 - math.Pow(beta2, t)}
	of := func(e example) []int32 { return e.student }
	ints := map[string][]int32{"ids": b.ids, "mask": present(b.rows, b.length, of),
		"word": pad(b.rows, b.length, func(e example) []int32 { return e.studentWord }, -1), "masked": b.masked}
	floats := map[string][]float32{"target.words": b.words, "target.text": b.text}
	var held []compute.Buffer
	out, err := g.Run(func(p nn.Param) (buf compute.Buffer, donate bool, err error) {
		dims := p.Shape.Dimensions
		kind, name, _ := strings.Cut(p.Name, ":")
		switch {
		case p.Role == nn.Weight:
			return st.learned[st.place[p.Name]].Value, true, nil
		case kind == "m" && name != "":
			return st.learned[st.place[name]].M, true, nil
		case kind == "v" && name != "":
			return st.learned[st.place[name]].V, true, nil
		case ints[p.Name] != nil:
			buf, err = nn.Upload(st.backend, ints[p.Name], dims...)
		case floats[p.Name] != nil:
			buf, err = nn.Upload(st.backend, floats[p.Name], dims...)
		default:
			buf, err = nn.Upload(st.backend, []float32{float32(scalars[p.Name])}, dims...)
		}
		held = append(held, buf)
		return buf, false, err
	})
	for _, h := range held {
		err = errors.Join(err, h.Finalize())
	}
	if err != nil {
		return values, err
	}
	for i := range values {
		v, e := nn.Download(out[i])
		if err = errors.Join(err, e, out[i].Finalize()); err != nil {
			return values, err
		}
		values[i] = float64(v[0])
	}
	for i := range st.learned {
		w := &st.learned[i]
		w.Value, w.M, w.V = out[4+3*i], out[5+3*i], out[6+3*i]
	}
	st.step++
	return values, nil
}

// save writes everything that learns, so that the run can go on.
func (st *student) save(file string, seconds float64) error {
	return learned.Save(file, st.learned, st.step, seconds)
}

// load goes on from a saved run; false where there is none.
func (st *student) load(file string) (seconds float64, found bool, err error) {
	step, seconds, found, err := learned.Load(st.backend, file, st.learned)
	if found {
		st.step = step
	}
	return seconds, found, err
}

// export writes the model as a Hugging Face folder, in bfloat16: without the matrices
// that only the losses need.
func (st *student) export(dir string, dropout float64) error {
	config, err := json.MarshalIndent(map[string]any{
		"architectures": []string{"BertModel"}, "model_type": "bert", "vocab_size": st.Vocab, "hidden_size": st.Dim,
		"num_hidden_layers": st.Layers, "num_attention_heads": st.Heads, "intermediate_size": st.FFN, "hidden_act": "gelu",
		"max_position_embeddings": st.Positions, "type_vocab_size": 2, "layer_norm_eps": epsilon, "pad_token_id": 0,
		"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout, "initializer_range": 0.02, "torch_dtype": "bfloat16",
	}, "", "  ")
	if err != nil {
		return err
	}
	var out []safetensors.Out
	for _, t := range st.learned {
		name, ok := strings.CutPrefix(t.Param.Name, "bert.")
		if !ok {
			continue
		}
		tensor, err := t.Export(name)
		if err != nil {
			return err
		}
		out = append(out, tensor)
	}
	return checkpoint.WriteDir(filepath.Clean(dir), append(config, '\n'), out, map[string]string{"format": "pt"})
}
