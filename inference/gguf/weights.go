package gguf

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/safetensors"
)

// Weights are the tensors of a file under the names and in the layout that they have in
// a Hugging Face checkpoint.
type Weights struct {
	file   *File
	byName map[string]Tensor
	heads  int // of queries; 0: nothing is to be put back in order
	kv     int
}

// The parts of the tensors' names.
var (
	outer = map[string]string{"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"} //nolint:gosec // no credentials
	inner = map[string]string{"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
		"attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
		"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
)

// ropeFactors stretch the wave lengths of the rotary embedding; Config reads them.
const ropeFactors = "rope_freqs.weight"

// Weights pairs the file's tensors with the names they are known by. One that has none
// is an error.
func (f *File) Weights() (*Weights, error) {
	w := &Weights{file: f, byName: map[string]Tensor{}}
	if f.Text("general.architecture") == "llama" {
		w.heads = f.Int("llama.attention.head_count", 0)
		w.kv = f.Int("llama.attention.head_count_kv", w.heads)
	}
	var errs []error
	for _, t := range f.tensors {
		if t.Name == ropeFactors {
			continue
		}
		name := translated(t.Name)
		if name == "" {
			errs = append(errs, invalid.Field(t.Name, "a tensor of this name is not known in a %s", f.Text("general.architecture")))
			continue
		}
		if heads := w.turned(t); heads != 0 && (heads < 0 || heads > t.Shape[0] || t.Shape[0]%(2*heads) != 0) {
			errs = append(errs, invalid.Field(t.Name, "shape %v cannot be %d heads of an even width", t.Shape, heads))
		}
		w.byName[name] = t
	}
	return w, errors.Join(errs...)
}

// translated gives the name in a Hugging Face checkpoint, "" if there is none.
func translated(name string) string {
	stem, end := name, ""
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		stem, end = name[:i], name[i:]
	}
	if end != ".weight" && end != ".bias" {
		return ""
	}
	if part := outer[stem]; part != "" {
		return part + end
	}
	layer, part, ok := strings.Cut(strings.TrimPrefix(stem, "blk."), ".")
	if !ok || !strings.HasPrefix(stem, "blk.") || inner[part] == "" || strings.Trim(layer, "0123456789") != "" {
		return ""
	}
	return "model.layers." + layer + "." + inner[part] + end
}

// turned is the number of heads whose rows are in llama.cpp's order; 0 if they are not.
//
// Its rotary embedding turns neighbours (0 with 1, 2 with 3), that of transformers turns
// the halves of a head (0 with n/2), so the converter interleaves the halves of queries
// and keys of a llama. Those of other architectures it leaves alone.
func (w *Weights) turned(t Tensor) int {
	switch {
	case w.heads == 0 || !strings.HasPrefix(t.Name, "blk."):
	case strings.Contains(t.Name, ".attn_q."):
		return w.heads
	case strings.Contains(t.Name, ".attn_k."):
		return w.kv
	}
	return 0
}

// Names lists the tensors in the order of their names.
func (w *Weights) Names() []string { return slices.Sorted(maps.Keys(w.byName)) }

// Info is a tensor's type, as stored, and shape.
func (w *Weights) Info(name string) (safetensors.Info, bool) {
	t, ok := w.byName[name]
	return safetensors.Info{Name: name, DType: safetensors.DType(t.Type), Shape: slices.Clone(t.Shape)}, ok
}

// Float32s reads a tensor, row-major.
func (w *Weights) Float32s(name string) ([]float32, error) {
	t, ok := w.byName[name]
	if !ok {
		return nil, fmt.Errorf("%w: %q", safetensors.ErrNoTensor, name)
	}
	v, err := w.file.Float32s(t)
	if err != nil {
		return nil, err
	}
	if heads := w.turned(t); heads > 0 {
		v = unturn(v, t.Shape[0], heads)
	}
	return v, nil
}

// unturn puts the rows of each head back: row 2i+j was i of half j.
func unturn(v []float32, rows, heads int) []float32 {
	out := make([]float32, len(v))
	width, dim := len(v)/rows, rows/heads
	for row := range rows {
		head, at := row/dim, row%dim
		to := head*dim + at%2*dim/2 + at/2
		copy(out[to*width:(to+1)*width], v[row*width:(row+1)*width])
	}
	return out
}

// Digest is that of the file: "sha256:" and its SHA-256, as sha256sum tells it.
func (f *File) Digest() (string, error) {
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(f.r, 0, f.size))
	if err == nil && n != f.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", fmt.Errorf("digest of a GGUF file: %w", err)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
