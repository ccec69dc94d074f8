// Package inference goes from text to answer. A Base is a frozen model on disk; the
// Engine holds bases, full fine-tunes and a bank of adapters on the device, and
// batches what is asked of them. One goroutine owns the device.
package inference

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	_ "github.com/gomlx/compute/gobackend" // graphs are sketched on it to learn what they ask for
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/adapters"
	"lorikeet/inference/arch"
	"lorikeet/inference/checkpoint"
	"lorikeet/inference/gguf"
	"lorikeet/inference/nn"
	"lorikeet/inference/prompt"
	"lorikeet/inference/text"
)

// Base is a model in a Hugging Face folder: opened, checked, not yet on a device.
type Base struct {
	Name   string
	Source string
	// One of these three, by the family of the model.
	Arch    arch.Classifier
	Seq2Seq arch.Seq2Seq
	Causal  arch.Causal

	Text   *text.Tokenizer
	Chat   *prompt.Chat    // the model's own chat template; nil: none. It may be broken
	Layout adapters.Layout // what adapters may change
	Digest string          // of the configuration and every tensor
	// TokenizerDigest is of the files of the tokenizer. It is empty where Digest covers
	// them: the tokenizer of a GGUF file is in the file.
	TokenizerDigest string
	Calibration     *adapters.Calibration // of the scores of its own head; nil: none
	License         string                // as README.md says, in the hub's words; empty: it does not

	// Matrices is how those of the layers are held on the device: Float32, which the zero value
	// means too, BFloat16 or Int8 (see [nn.Pass.Matrices]). Set it before the base is loaded.
	Matrices dtypes.DType

	dir     fs.FS
	model   *checkpoint.Model
	rules   rules             // of a base that generates
	weights []nn.Param        // what the graph asks of the checkpoint
	tensors map[string]string // their names in the file
}

// sketch is the backend that graphs are built on when only their parameters matter.
var sketch = sync.OnceValues(func() (compute.Backend, error) { return compute.NewWithConfig("go:ops_sequential") })

// OpenBase reads the folder's configuration, tokenizer and list of tensors, and
// checks strictly, both ways, that graph and checkpoint agree. The folder may hold one
// GGUF file instead, or be a gguf.Folder.
func OpenBase(name, source string, dir fs.FS) (*Base, error) {
	dir, err := gguf.Unfold(dir)
	if err != nil {
		return nil, fmt.Errorf("base %s: %w", name, err)
	}
	model, err := checkpoint.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("base %s: %w", name, err)
	}
	b := &Base{Name: name, Source: source, dir: dir, model: model}
	if err := b.open(dir); err != nil {
		return nil, fmt.Errorf("base %s: %w", name, errors.Join(err, model.Close()))
	}
	return b, nil
}

func (b *Base) open(dir fs.FS) error {
	var err error
	if err = b.openFamily(b.model.Config()); err != nil {
		return err
	}
	if b.Text, err = text.Load(dir); err != nil {
		return err
	}
	if b.Chat, err = prompt.ReadChat(dir); err != nil {
		return err
	}
	if v, rows := b.Text.VocabSize(), b.Facts().Vocab; v > rows {
		return fmt.Errorf("the tokenizer has %d tokens, the model's table only %d rows: they do not belong together", v, rows)
	}
	if b.Generates() {
		if err = b.readRules(dir); err != nil {
			return err
		}
	}
	if b.Digest, err = b.model.Digest(); err != nil {
		return err
	}
	return b.identify(dir)
}

// Close releases the files.
func (b *Base) Close() error { return b.model.Close() }

// TokenizerFiles are the files a tokenizer may consist of, its chat template among them.
var TokenizerFiles = []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	"vocab.txt", "vocab.json", "merges.txt", "spiece.model", "tokenizer.model", "source.spm", "target.spm",
	"chat_template.jinja"}

// Folder is where the model was read from.
func (b *Base) Folder() fs.FS { return b.dir }

// Config is config.json as it was read.
func (b *Base) Config() []byte { return b.model.Config() }

// Sketch builds the graph of a model for one short text and tells which weights it
// asks for and which modules it has.
func Sketch(a arch.Classifier) ([]nn.Param, adapters.Layout, error) {
	f := a.Facts()
	return sketched(f.Family, func(p *nn.Pass) []*graph.Node {
		in := Inputs(p, 1, min(8, f.MaxLength))
		if len(f.Labels) == 0 { // the head comes with the adapter
			p.Bank = NewBank(p, 1, min(8, f.MaxLength), 1, nn.Profile{Pages: 1, Targets: map[string]bool{}, Heads: true})
		}
		return []*graph.Node{a.Logits(p.Root(), in)}
	})
}

// Inputs declares the inputs of a batch.
func Inputs(p *nn.Pass, batch, length int) arch.Tokens {
	return arch.Tokens{
		IDs:   p.Input("ids", dtypes.Int32, batch, length),
		Mask:  p.Input("mask", dtypes.Int32, batch, length),
		Types: p.Input("types", dtypes.Int32, batch, length),
	}
}

// NewBank declares the inputs that pick each example's slots.
func NewBank(p *nn.Pass, batch, length, size int, profile nn.Profile) *nn.Bank {
	b := &nn.Bank{Slots: p.Input("slots", dtypes.Int32, batch, profile.Pages), Size: size, Profile: profile}
	if profile.Embed {
		b.Tokens = p.Input("token_factors", dtypes.Float32, batch, length, profile.Pages*nn.PageRank)
	}
	return b
}

// match compares the weights of the graph with the tensors of the checkpoint. A weight
// that is absent, a tensor that nothing asks for and a shape that differs are all
// errors, reported together.
func (b *Base) match() error {
	var errs []error
	asked := map[string]bool{}
	for _, w := range b.weights {
		asked[w.Stored()] = true
		tensor, ok := b.tensors[w.Stored()]
		if !ok {
			errs = append(errs, fmt.Errorf("the checkpoint lacks %s %v", w.Stored(), w.CheckpointDims()))
			continue
		}
		if shape, _ := b.model.Shape(tensor); !slices.Equal(shape, w.CheckpointDims()) {
			errs = append(errs, fmt.Errorf("%s has shape %v, config.json makes it %v", tensor, shape, w.CheckpointDims()))
		}
	}
	for name, tensor := range b.tensors {
		if !asked[name] {
			errs = append(errs, fmt.Errorf("the checkpoint holds %s, which a %s does not use", tensor, b.Facts().Family))
		}
	}
	return errors.Join(errs...)
}

// Tensor reads one weight by the name the graph knows it by, in the checkpoint's
// layout. It gives nil where the base has no such weight.
func (b *Base) Tensor(name string) ([]float32, error) {
	tensor, ok := b.tensors[name]
	if !ok {
		return nil, nil
	}
	return b.model.Float32s(tensor)
}

// Has reports whether the checkpoint has a weight.
func (b *Base) Has(name string) bool {
	_, ok := b.tensors[name]
	return ok
}

// Value reads a weight in the layout of the device.
func (b *Base) Value(w nn.Param) ([]float32, error) {
	v, err := b.Tensor(w.Stored())
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, fmt.Errorf("base %s has no %s", b.Name, w.Stored())
	}
	if w.Transposed {
		dims := w.CheckpointDims()
		v = Transpose(v, dims[0], dims[1])
	}
	return v, nil
}

// Upload copies every weight to the device, by name.
func (b *Base) Upload(backend compute.Backend) (map[string]compute.Buffer, error) {
	buffers := make(map[string]compute.Buffer, len(b.weights))
	for _, w := range b.weights {
		if err := b.upload(backend, w, buffers); err != nil {
			return nil, errors.Join(fmt.Errorf("base %s: %s: %w", b.Name, w.Name, err), free(buffers))
		}
	}
	return buffers, nil
}

func (b *Base) upload(backend compute.Backend, w nn.Param, buffers map[string]compute.Buffer) error {
	put := func(name string, buffer compute.Buffer, err error) error {
		if err == nil {
			buffers[name] = buffer
		}
		return err
	}
	v, err := b.Value(w)
	if err != nil {
		return err
	}
	switch {
	case w.Transposed && b.Matrices == dtypes.BFloat16:
		buffer, err := nn.Upload(backend, bfloat16.FromFloat32s(v...), w.Shape.Dimensions...)
		return put(w.Name, buffer, err)
	case w.Transposed && b.Matrices == dtypes.Int8:
		codes, scales := w.Int8()
		c, s := nn.Quantize(v, w.Shape.Dim(1))
		buffer, err := nn.Upload(backend, c, codes.Shape.Dimensions...)
		if err = put(codes.Name, buffer, err); err != nil {
			return err
		}
		buffer, err = nn.Upload(backend, s, scales.Shape.Dimensions...)
		return put(scales.Name, buffer, err)
	default:
		buffer, err := nn.Upload(backend, v, w.Shape.Dimensions...)
		return put(w.Name, buffer, err)
	}
}

// dtype tells how the matrices are held on the device.
func (b *Base) dtype() string {
	switch b.Matrices {
	case dtypes.Int8, dtypes.BFloat16:
		return strings.ToLower(b.Matrices.String())
	default:
		return "float32"
	}
}

// free releases buffers.
func free(buffers map[string]compute.Buffer) error {
	var errs []error
	for _, b := range buffers {
		errs = append(errs, b.Finalize())
	}
	return errors.Join(errs...)
}

// Parameters counts the values of the weights.
func (b *Base) Parameters() int64 {
	var n int64
	for _, w := range b.weights {
		if w.Tensor == "" { // else a second copy of another
			n += int64(w.Shape.Size())
		}
	}
	return n
}

// Weights lists what the graph asks of the checkpoint, in the order of the walk.
func (b *Base) Weights() []nn.Param { return b.weights }

// Transpose turns a matrix [rows, cols] into [cols, rows], in tiles that fit a cache.
func Transpose(v []float32, rows, cols int) []float32 {
	const tile = 32
	t := make([]float32, len(v))
	for i0 := 0; i0 < rows; i0 += tile {
		for j0 := 0; j0 < cols; j0 += tile {
			for i := i0; i < min(i0+tile, rows); i++ {
				for j := j0; j < min(j0+tile, cols); j++ {
					t[j*rows+i] = v[i*cols+j]
				}
			}
		}
	}
	return t
}
