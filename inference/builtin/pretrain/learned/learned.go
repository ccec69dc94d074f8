// Package learned keeps what the programs that pretrain the built-in models learn: on the
// device, in a file to go on from, and as tensors of a Hugging Face checkpoint. It makes
// the steps, too.
package learned

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/compute"

	"lorikeet/adapters/safetensors"
	"lorikeet/inference"
	"lorikeet/inference/nn"
)

// Tensor is a weight that learns, with its optimizer's two moments.
type Tensor struct {
	Param       nn.Param
	Value, M, V compute.Buffer
}

// buffers are the three, by their names in a file.
func (t *Tensor) buffers() map[string]*compute.Buffer {
	return map[string]*compute.Buffer{"value": &t.Value, "m": &t.M, "v": &t.V}
}

// Weights are all that learns of a model, and the steps it has made.
type Weights struct {
	Tensors []Tensor
	Steps   int

	backend compute.Backend
	place   map[string]int
}

// New has no weights yet.
func New(backend compute.Backend) *Weights {
	return &Weights{backend: backend, place: map[string]int{}}
}

// Add puts a weight on the device, in the graph's layout, with moments of zero.
func (w *Weights) Add(p nn.Param, value []float32) error {
	t := Tensor{Param: p}
	zero := make([]float32, len(value))
	for _, put := range []struct {
		to   *compute.Buffer
		from []float32
	}{{&t.Value, value}, {&t.M, zero}, {&t.V, zero}} {
		var err error
		if *put.to, err = nn.Upload(w.backend, put.from, p.Shape.Dimensions...); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	w.place[p.Name] = len(w.Tensors)
	w.Tensors = append(w.Tensors, t)
	return nil
}

// Size counts the values of the weights.
func (w *Weights) Size() (n int) {
	for _, t := range w.Tensors {
		n += t.Param.Shape.Size()
	}
	return n
}

// Save writes all of it, with the step and the time it took, so that a run can go on.
func (w *Weights) Save(file string, seconds float64) error {
	var out []safetensors.Out
	for i := range w.Tensors {
		t := &w.Tensors[i]
		for kind, b := range t.buffers() {
			v, err := nn.Download(*b)
			if err != nil {
				return err
			}
			out = append(out, safetensors.Out{Name: kind + ":" + t.Param.Name, DType: "F32", Shape: t.Param.Shape.Dimensions, Data: v})
		}
	}
	slices.SortFunc(out, func(a, b safetensors.Out) int { return strings.Compare(a.Name, b.Name) })
	f, err := os.Create(file + ".part")
	if err != nil {
		return err
	}
	err = safetensors.Write(f, out, map[string]string{"step": strconv.Itoa(w.Steps), "seconds": strconv.FormatFloat(seconds, 'f', 1, 64)})
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(file+".part", file)
}

// Load puts a saved run back on the device; found is false where there is none.
func (w *Weights) Load(file string) (seconds float64, found bool, err error) {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, false, err
	}
	s, err := safetensors.Open(f, size)
	if err != nil {
		return 0, false, err
	}
	for i := range w.Tensors {
		t := &w.Tensors[i]
		for kind, to := range t.buffers() {
			v, err := s.Float32s(kind + ":" + t.Param.Name)
			if err != nil {
				return 0, false, err
			}
			b, err := nn.Upload(w.backend, v, t.Param.Shape.Dimensions...)
			if err != nil {
				return 0, false, err
			}
			if err := (*to).Finalize(); err != nil {
				return 0, false, err
			}
			*to = b
		}
	}
	if w.Steps, err = strconv.Atoi(s.Metadata()["step"]); err != nil {
		return 0, false, err
	}
	seconds, err = strconv.ParseFloat(s.Metadata()["seconds"], 64)
	return seconds, true, err
}

// Export is the weight as a checkpoint has it under this name, in bfloat16.
func (t *Tensor) Export(name string) (safetensors.Out, error) {
	v, err := nn.Download(t.Value)
	dims := t.Param.CheckpointDims()
	if err == nil && t.Param.Transposed {
		v = inference.Transpose(v, dims[1], dims[0])
	}
	return safetensors.Out{Name: name, DType: "BF16", Shape: dims, Data: v}, err
}
