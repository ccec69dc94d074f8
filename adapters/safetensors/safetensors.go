// Package safetensors reads and writes the safetensors file format: tensors with
// names, and nothing that can run.
//
// A file is eight bytes of header length (little endian), a JSON header, and the
// tensors' bytes one after another, also little endian:
//
//	{"__metadata__":{"format":"pt"},
//	 "classifier.bias":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}, …}
//
// Offsets count from the end of the header. The format is defined at
// https://github.com/huggingface/safetensors, whose Rust crate is the reference.
//
// A file comes from a stranger, so Open believes none of it: everything that
// the header says is checked against the file's size before anything is
// allocated for it, and what is wrong comes back as invalid.Faults under
// ErrMalformed, all of it at once. After Open has returned, reading a tensor can
// only fail because the disk does, or because the caller asks for a type that
// the tensor does not hold.
package safetensors

import (
	"errors"
	"slices"
)

// ErrMalformed is wrapped by every error about the content of a file, next to
// the invalid.Faults that say what is wrong with it.
var ErrMalformed = errors.New("not a valid safetensors file")

// ErrNoTensor is returned for a name that the file does not hold.
var ErrNoTensor = errors.New("no such tensor")

// Limits of the header, above what any real file needs, so that a hostile one
// costs little. maxHeader is the reference implementation's.
const (
	maxHeader   = 100_000_000 // bytes
	maxTensors  = 1 << 18
	maxMetadata = 1 << 16 // entries
	maxRank     = 64      // what PyTorch and NumPy allow
)

// Info describes one tensor. Shape is outermost dimension first (row-major
// order); a scalar has an empty Shape.
type Info struct {
	Name  string
	DType DType
	Shape []int
}

// Len is the number of elements. It cannot overflow for an Info from a File.
func (i Info) Len() int {
	n := 1
	for _, d := range i.Shape {
		n *= d
	}
	return n
}

func (i Info) clone() Info {
	i.Shape = slices.Clone(i.Shape)
	return i
}
