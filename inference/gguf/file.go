// Package gguf reads the files of llama.cpp: one file with a model's hyper-parameters,
// tokenizer, chat template and weights, most of them quantised. Folder shows such a file
// as the Hugging Face folder it was made from, so that whatever reads those reads it:
// config.json and the tokenizer's files are made from the metadata, and Weights gives the
// tensors by their names there, as float32.
//
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3,
// little endian. A file is outside input: what its header claims is held against the
// file's size before memory is taken for it, and what is wrong comes back as
// invalid.Faults.
//
// Why not a library: that of go-huggingface 0.4.1 takes memory as the header asks for it,
// so that a file of a hundred bytes panics it or fills the memory.
package gguf

import (
	"errors"
	"io"
	"slices"

	"lorikeet/adapters/invalid"
)

// File is an open GGUF file. It may be read by several goroutines at once.
type File struct {
	r       io.ReaderAt
	size    int64
	meta    map[string]any // bool, int64, float64, string, []int64, []float64, []string
	tensors []Tensor       // as in the file
	byName  map[string]int
}

// Tensor is where a tensor lies and how it is stored.
type Tensor struct {
	Name  string
	Shape []int // outermost dimension first, unlike in the file
	Type  string
	kind  kind
	at    int64 // from the file's start
	size  int64 // bytes
}

// The largest header. Those of real files have some megabytes, most of it vocabulary.
const maxHeader = 128 << 20

// Open reads the header of a file of the given size.
func Open(r io.ReaderAt, size int64) (*File, error) {
	p := newParser(r, size)
	f := &File{r: r, size: size, meta: map[string]any{}, byName: map[string]int{}}
	if err := f.header(p); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) header(p *parser) error {
	if magic := p.take(4); string(magic) != "GGUF" {
		return errors.Join(invalid.Field("header", "the file does not begin with GGUF"), p.err)
	}
	version := p.u32()
	switch {
	case p.err != nil:
		return p.err
	case version&0xffff == 0 && version != 0:
		return invalid.Field("header", "the file is big endian, which is not supported")
	case version != 2 && version != 3:
		return invalid.Field("header", "version %d is not supported; known: 2, 3", version)
	}
	tensors, pairs := p.u64(), p.u64()
	for i := uint64(0); i < pairs && p.err == nil; i++ {
		key := p.text()
		v := p.value(p.u32())
		if _, twice := f.meta[key]; twice && p.err == nil {
			return invalid.Field(key, "is there twice")
		}
		f.meta[key] = v
	}
	for i := uint64(0); i < tensors && p.err == nil; i++ {
		f.tensors = append(f.tensors, p.tensor())
	}
	if p.err != nil {
		return p.err
	}
	if n := f.Int("split.count", 1); n > 1 {
		return invalid.Field("split.count", "this is one of %d files; put them together with llama-gguf-split --merge", n)
	}
	return f.place(p.at)
}

// place finds where the tensors lie, the header having ended at the given byte.
func (f *File) place(end int64) error {
	align := int64(f.Int("general.alignment", 32))
	if align < 1 || align > 1<<20 || align&(align-1) != 0 {
		return invalid.Field("general.alignment", "%d is no power of two of a common size", align)
	}
	data := (end + align - 1) / align * align
	var errs []error
	for i := range f.tensors {
		t := &f.tensors[i]
		if _, twice := f.byName[t.Name]; twice {
			errs = append(errs, invalid.Field(t.Name, "the tensor is there twice"))
			continue
		}
		f.byName[t.Name] = i
		if err := t.measure(); err != nil {
			errs = append(errs, err)
			continue
		}
		if t.at%align != 0 || t.at > f.size-data || t.size > f.size-data-t.at {
			errs = append(errs, invalid.Field(t.Name, "the tensor's %d bytes from %d on are not in the file, which has %d after its header", t.size, t.at, max(0, f.size-data)))
			continue
		}
		t.at += data
	}
	return errors.Join(errs...)
}

// measure works out a tensor's size.
func (t *Tensor) measure() error {
	if t.kind.decode == nil {
		return invalid.Field(t.Name, "the tensor is stored as %s, which is not supported; supported: %s", t.Type, supported())
	}
	values := int64(1)
	for _, d := range t.Shape {
		if d < 1 || int64(d) > (1<<40)/values {
			return invalid.Field(t.Name, "the tensor has shape %v", t.Shape)
		}
		values *= int64(d)
	}
	if len(t.Shape) == 0 || t.Shape[len(t.Shape)-1]%t.kind.values != 0 {
		return invalid.Field(t.Name, "rows of shape %v are not made of blocks of %d, as %s has them", t.Shape, t.kind.values, t.Type)
	}
	t.size = values / int64(t.kind.values) * int64(t.kind.bytes)
	return nil
}

// Tensors lists the tensors as they are in the file.
func (f *File) Tensors() []Tensor { return slices.Clone(f.tensors) }

// Tensor finds a tensor by its name in the file.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := f.byName[name]
	if !ok {
		return Tensor{}, false
	}
	return f.tensors[i], true
}

// Int reads a number of the metadata, other where there is none.
func (f *File) Int(key string, other int) int {
	if n, ok := f.meta[key].(int64); ok && n == int64(int(n)) {
		return int(n)
	}
	return other
}

// Text reads a text of the metadata, "" where there is none.
func (f *File) Text(key string) string {
	s, _ := f.meta[key].(string)
	return s
}

// Float32s reads a tensor and undoes its quantisation.
func (f *File) Float32s(t Tensor) ([]float32, error) {
	raw := make([]byte, t.size)
	if n, err := f.r.ReadAt(raw, t.at); n < len(raw) {
		return nil, errors.Join(invalid.Field(t.Name, "the file ends within the tensor"), err)
	}
	v := make([]float32, t.size/int64(t.kind.bytes)*int64(t.kind.values))
	for i := 0; len(raw) > 0; i += t.kind.values {
		t.kind.decode(raw[:t.kind.bytes], v[i:i+t.kind.values])
		raw = raw[t.kind.bytes:]
	}
	return v, nil
}
