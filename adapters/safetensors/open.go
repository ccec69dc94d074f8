package safetensors

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"lorikeet/adapters/invalid"
)

// File is an open safetensors file. It reads tensors from its io.ReaderAt when
// they are asked for, holds nothing but the header, and is safe for concurrent
// use where the reader is (an *os.File is).
type File struct {
	r        io.ReaderAt
	data     int64 // where the tensors' bytes begin
	names    []string
	tensors  map[string]entry
	metadata map[string]string
}

// Open reads and checks the header of a file of size bytes. It is as strict as
// the reference: header of at most 100 MB that lies within the file and is a JSON
// object; known types; shapes that neither overflow nor disagree with the number
// of bytes; tensors that cover the rest of the file with no overlap, hole or
// remainder. It is stricter in that names are unique (the reference takes the
// last), and that a tensor has no members which the format does not know. What is wrong comes back as invalid.Faults under
// ErrMalformed; an error of r comes back as it is, wrapped.
func Open(r io.ReaderAt, size int64) (*File, error) {
	raw, err := readHeader(r, size)
	if err != nil {
		return nil, err
	}
	h, err := parseHeader(raw)
	if err != nil {
		return nil, malformed(err)
	}
	f := &File{
		r:        r,
		data:     8 + int64(len(raw)),
		metadata: h.metadata,
		tensors:  make(map[string]entry, len(h.tensors)),
	}
	if err := checkLayout(h.tensors, size-f.data); err != nil {
		return nil, malformed(err)
	}
	for _, t := range h.tensors {
		f.tensors[t.Name] = t
	}
	f.names = slices.Sorted(maps.Keys(f.tensors))
	return f, nil
}

// readHeader returns the bytes of the header.
func readHeader(r io.ReaderAt, size int64) ([]byte, error) {
	head := make([]byte, min(max(size, 0), 64))
	if err := readAt(r, head, 0); err != nil {
		return nil, fmt.Errorf("read safetensors header: %w", err)
	}
	bad := func(format string, args ...any) error {
		if what := lookalike(head); what != "" {
			return malformed(invalid.Field("", "%s", what))
		}
		return malformed(invalid.Field("header", format, args...))
	}
	if len(head) < 9 {
		return nil, bad("the file has %d bytes; the shortest safetensors file has 10", size)
	}
	n := binary.LittleEndian.Uint64(head)
	switch {
	case n > maxHeader:
		return nil, bad("the header claims %d bytes; at most %d are allowed", n, maxHeader)
	case int64(n) > size-8:
		return nil, bad("the header claims %d bytes, the file has %d after its length", n, size-8)
	case head[8] != '{' || n < 2:
		return nil, bad("the header does not begin with '{'")
	}
	raw := make([]byte, n)
	if err := readAt(r, raw, 8); err != nil {
		return nil, fmt.Errorf("read safetensors header: %w", err)
	}
	return raw, nil
}

// checkLayout wants the tensors to cover exactly the have bytes after the header.
func checkLayout(tensors []entry, have int64) error {
	var f faults
	sorted := slices.Clone(tensors)
	slices.SortFunc(sorted, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), cmp.Compare(a.Name, b.Name))
	})
	var at int64
	var last string
	for _, t := range sorted {
		want, problem := size(t.DType, t.Shape)
		switch {
		case problem != "":
			f.add(t.Name, "%s: %s %v", problem, t.DType, t.Shape)
		case t.begin > t.end:
			f.add(t.Name, "data_offsets [%d,%d] end before they begin", t.begin, t.end)
		case want != t.end-t.begin:
			f.add(t.Name, "%s %v takes %d bytes, data_offsets [%d,%d] hold %d", t.DType, t.Shape, want, t.begin, t.end, t.end-t.begin)
		}
		switch {
		case t.begin > at:
			f.add(t.Name, "a hole: the bytes from %d to %d belong to no tensor", at, t.begin)
		case t.begin < at:
			f.add(t.Name, "overlaps %q: begins at %d, before %d", clip(last), t.begin, at)
		}
		if t.end >= at {
			at, last = t.end, t.Name
		}
	}
	switch {
	case at > have:
		f.add("", "the file is cut short: its header describes %d bytes of tensors, it holds %d", at, max(have, 0))
	case at < have:
		f.add("", "the last %d bytes of the file belong to no tensor", have-at)
	}
	return f.err()
}

// Names lists the tensors in the order of their names.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Info describes a tensor; false if the file holds none of that name.
func (f *File) Info(name string) (Info, bool) {
	t, ok := f.tensors[name]
	return t.clone(), ok
}

// Metadata is the header's __metadata__, never nil.
func (f *File) Metadata() map[string]string {
	if f.metadata == nil {
		return map[string]string{}
	}
	return maps.Clone(f.metadata)
}

// tensor finds a tensor whose bytes a slice can hold.
func (f *File) tensor(name string) (entry, error) {
	t, ok := f.tensors[name]
	if !ok {
		return entry{}, fmt.Errorf("%w: %q", ErrNoTensor, name)
	}
	if t.end-t.begin > math.MaxInt {
		return entry{}, fmt.Errorf("tensor %s: too large for this machine", name)
	}
	return t, nil
}

// readAt fills p, or says why not. A reader may report io.EOF with its last byte.
func readAt(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}
