package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/adapters/safetensors"
	"lorikeet/inference"
	"lorikeet/inference/builtin/pretrain/learned"
	"lorikeet/inference/checkpoint"
	"lorikeet/inference/nn"
)

// decay is AdamW's, of matrices.
const decay = 0.01

// student is what learns, with AdamW's moments, all on the device.
type student struct {
	shape
	*learned.Weights
	backend  compute.Backend
	teacher  int // its width
	loss     weights
	programs map[int]*nn.Program
}

// newStudent starts from the given weights, in the checkpoint's layout. What is not
// among them starts at random.
func newStudent(backend compute.Backend, s shape, teacher int, loss weights, first map[string][]float32, seed uint64) (*student, error) {
	st := &student{shape: s, Weights: learned.New(backend), backend: backend, teacher: teacher, loss: loss, programs: map[int]*nn.Program{}}
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
		if err := st.Add(p, v); err != nil {
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

func (st *student) forward(rows, length int) func(*nn.Pass) []*graph.Node {
	return func(p *nn.Pass) []*graph.Node {
		total, _ := st.losses(p, rows, length, masks, st.teacher, st.loss)
		return []*graph.Node{total}
	}
}

// update is a whole step in one graph: losses, gradient, clipping and AdamW.
// Outputs: the parts of the loss, then those of [learned.Weights.Update].
func (st *student) update(rows, length int) func(*nn.Pass) []*graph.Node {
	return func(p *nn.Pass) []*graph.Node {
		total, outputs := st.losses(p, rows, length, masks, st.teacher, st.loss)
		return append(outputs, st.Update(p, total, func(c learned.Change) (value, m, v *graph.Node) {
			by, m, v := c.Adam()
			value = c.Value
			if len(c.Param.Shape.Dimensions) > 1 {
				value = graph.Sub(value, graph.Mul(graph.MulScalar(c.Rate, decay), value))
			}
			return graph.Sub(value, graph.Mul(c.Rate, by)), m, v
		})...)
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
	of := func(e example) []int32 { return e.student }
	out, err := st.Step(g, map[string][]int32{"ids": b.ids, "mask": present(b.rows, b.length, of),
		"word": pad(b.rows, b.length, func(e example) []int32 { return e.studentWord }, -1), "masked": b.masked},
		map[string][]float32{"target.words": b.words, "target.text": b.text}, rate)
	if err != nil {
		return values, err
	}
	for i := range values {
		values[i] = float64(out[i][0])
	}
	return values, nil
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
	for _, t := range st.Tensors {
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
