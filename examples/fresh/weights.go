package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"

	"lorikeet/adapters/safetensors"
	"lorikeet/inference"
)

// initial is what a config.json says of the weights before training.
type initial struct {
	Family  string   `json:"model_type"`
	Range   *float64 `json:"initializer_range"`  // of BERT's and LLaMA's kin
	Std     *float64 `json:"init_std"`           // of Marian
	Factor  *float64 `json:"initializer_factor"` // of T5
	Dim     float64  `json:"d_model"`
	FFN     float64  `json:"d_ff"`
	Heads   float64  `json:"num_heads"`
	HeadDim float64  `json:"d_kv"`
	Pad     *int     `json:"pad_token_id"`
}

// draw makes the tensors that a configuration asks for. The random numbers of a tensor
// depend on the seed and on its name, not on the tensors before it.
func draw(config []byte, seed uint64) ([]safetensors.Out, error) {
	params, err := inference.Blueprint(config)
	if err != nil {
		return nil, err
	}
	var c initial
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	var tensors []safetensors.Out
	seen := map[string]bool{}
	for _, p := range params {
		name, dims := p.Stored(), p.CheckpointDims()
		if seen[name] {
			continue
		}
		seen[name] = true
		tensors = append(tensors, safetensors.Out{Name: name, DType: safetensors.F32, Shape: dims, Data: c.values(name, dims, seed)})
	}
	return tensors, nil
}

// values draws a tensor: biases are 0, the scales of norms 1 (a T5's the factor, as its
// matrices), everything else is normal.
func (c initial) values(name string, dims []int, seed uint64) []float32 {
	size := 1
	for _, d := range dims {
		size *= d
	}
	v := make([]float32, size)
	switch {
	case strings.HasSuffix(name, "bias"):
		return v
	case len(dims) == 1:
		one := float32(1)
		if c.isT5() && c.Factor != nil {
			one = float32(*c.Factor)
		}
		for i := range v {
			v[i] = one
		}
		return v
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))                     // a hash never fails
	random := rand.New(rand.NewPCG(seed, h.Sum64())) // #nosec G404 -- weights
	std := c.deviation(name)
	for i := range v {
		v[i] = float32(std * random.NormFloat64())
	}
	// The row of the padding is zero where nn.Embedding is told of it; T5's is not.
	if words := dims[0]; isWords(name) && c.Pad != nil && *c.Pad >= 0 && *c.Pad < words && !c.isT5() {
		clear(v[*c.Pad*dims[1] : (*c.Pad+1)*dims[1]])
	}
	return v
}

func (c initial) isT5() bool { return c.Family == "t5" || c.Family == "mt5" }

// isWords reports whether a tensor is a table of tokens.
func isWords(name string) bool {
	for _, end := range []string{"word_embeddings.weight", "embed_tokens.weight", "shared.weight"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// deviation is the standard deviation that a family's _init_weights gives a matrix: 0.02
// or what the configuration says, but for T5, whose matrices are scaled so that it needs
// no scaling in its attention (Raffel et al. 2020; Mesh TensorFlow's initialisers).
func (c initial) deviation(name string) float64 {
	or := func(v *float64, standard float64) float64 {
		if v != nil {
			return *v
		}
		return standard
	}
	switch {
	case c.Family == "marian":
		return or(c.Std, 0.02)
	case !c.isT5():
		return or(c.Range, 0.02)
	}
	factor := or(c.Factor, 1)
	has := func(part string) bool { return strings.Contains(name, part) }
	switch {
	case isWords(name), has("lm_head"):
		return factor
	case has(".q."):
		return factor / math.Sqrt(c.Dim*c.HeadDim)
	case has(".o."):
		return factor / math.Sqrt(c.Heads*c.HeadDim)
	case has(".wo."):
		return factor / math.Sqrt(c.FFN)
	}
	return factor / math.Sqrt(c.Dim) // k, v, wi and the relative positions
}
