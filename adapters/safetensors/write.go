package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"
)

// Out is a tensor to write. Data is one of
//
//	[]float32  for F32; for F64; for F16 and BF16, rounded to nearest, ties to even
//	[]int32    for I32
//	[]int64    for I64
//	[]byte     for any type: the bytes as they are to be in the file, little endian
//	Later      for F32: made when the tensor is written, and then forgotten
//
// in row-major order.
type Out struct {
	Name  string
	DType DType
	Shape []int
	Data  any
}

// Later makes the values of a tensor.
type Later func() ([]float32, error)

// Size is how many bytes Write writes for these tensors.
func Size(tensors []Out, metadata map[string]string) (int64, error) {
	head, err := buildHeader(laidOut(tensors), metadata)
	if err != nil {
		return 0, malformed(err)
	}
	n := int64(len(head))
	for _, t := range tensors {
		data, _ := dataSize(t) // the header was built of them: they are good
		n += data
	}
	return n, nil
}

// laidOut are the tensors in the order of the file.
func laidOut(tensors []Out) []Out {
	sorted := slices.Clone(tensors)
	slices.SortStableFunc(sorted, func(a, b Out) int {
		return cmp.Or(cmp.Compare(b.DType.order(), a.DType.order()), cmp.Compare(a.Name, b.Name))
	})
	return sorted
}

// Write writes a file. Tensors are laid out as the reference does it: by type,
// widest first, then by name, after a header padded to eight bytes, so that each
// is aligned. The same tensors and metadata always make the same bytes. metadata
// may be nil; Hugging Face's readers want {"format":"pt"}.
//
// What is wrong with the tensors comes back as invalid.Faults under ErrMalformed,
// before anything is written.
func Write(w io.Writer, tensors []Out, metadata map[string]string) error {
	sorted := laidOut(tensors)
	head, err := buildHeader(sorted, metadata)
	if err != nil {
		return malformed(err)
	}
	if _, err := w.Write(head); err != nil {
		return fmt.Errorf("write safetensors header: %w", err)
	}
	for _, t := range sorted {
		if err := writeData(w, t); err != nil {
			return fmt.Errorf("write tensor %s: %w", t.Name, err)
		}
	}
	return nil
}

// buildHeader checks the tensors and encodes the length and the header.
func buildHeader(sorted []Out, metadata map[string]string) ([]byte, error) {
	var f faults
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	b.WriteByte('{')
	comma := ""
	if metadata != nil {
		for k, v := range metadata {
			if !utf8.ValidString(k) || !utf8.ValidString(v) {
				f.add("__metadata__", "the entry %q is not UTF-8", clip(k))
			}
		}
		b.WriteString(`"__metadata__":`)
		b.Write(encode(metadata))
		comma = ","
	}
	seen := map[string]bool{}
	var at int64
	for _, t := range sorted {
		if t.Name == "__metadata__" || !utf8.ValidString(t.Name) {
			f.add(t.Name, "this cannot be a tensor's name")
		}
		if seen[t.Name] {
			f.add(t.Name, "the name is there twice")
		}
		seen[t.Name] = true
		n, problem := size(t.DType, t.Shape)
		if problem == "" && len(t.Shape) > maxRank {
			problem = "the shape has too many dimensions"
		}
		if problem != "" {
			f.add(t.Name, "%s: %s %v", problem, t.DType, t.Shape)
			continue
		}
		if have, ok := dataSize(t); !ok {
			f.add(t.Name, "%T cannot be written as %s", t.Data, t.DType)
		} else if have != n {
			f.add(t.Name, "%s %v takes %d bytes, the data makes %d", t.DType, t.Shape, n, have)
		}
		if n > math.MaxInt64-at {
			f.add(t.Name, "the tensors are too large for one file")
			break
		}
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		fmt.Fprintf(&b, `%s%s:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, comma, encode(t.Name), t.DType, encode(shape), at, at+n)
		comma = ","
		at += n
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > maxHeader {
		f.add("header", "the header would take %d bytes; at most %d are allowed", b.Len()-8, maxHeader)
	}
	if len(sorted) > maxTensors {
		f.add("header", "%d tensors; at most %d are allowed", len(sorted), maxTensors)
	}
	head := b.Bytes()
	binary.LittleEndian.PutUint64(head, uint64(len(head)-8)) // #nosec G115 -- a length
	return head, f.err()
}

// encode is JSON without HTML escapes, as the reference writes it.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // strings, numbers and maps of strings always encode
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// dataSize is how many bytes Data makes in the file; false if it cannot be
// written as the tensor's type.
func dataSize(t Out) (int64, bool) {
	switch d := t.Data.(type) {
	case []float32:
		ok := t.DType == F32 || t.DType == F64 || t.DType == F16 || t.DType == BF16
		return int64(len(d)) * int64(t.DType.Bits()/8), ok
	case []int32:
		return 4 * int64(len(d)), t.DType == I32
	case []int64:
		return 8 * int64(len(d)), t.DType == I64
	case []byte:
		return int64(len(d)), true
	case Later:
		n, problem := size(t.DType, t.Shape)
		return n, problem == "" && t.DType == F32
	}
	return 0, false
}

func writeData(w io.Writer, t Out) error {
	switch d := t.Data.(type) {
	case Later:
		v, err := d()
		if err != nil {
			return err
		}
		if n, _ := dataSize(t); int64(len(v)) != n/4 {
			return fmt.Errorf("%d values were made for the shape %v", len(v), t.Shape)
		}
		return writeNumbers(w, v)
	case []byte:
		_, err := w.Write(d)
		return err
	case []int32:
		return writeNumbers(w, d)
	case []int64:
		return writeNumbers(w, d)
	case []float32:
		switch t.DType {
		case F16:
			return writeConverted(w, d, 2, func(b []byte, f float32) { binary.LittleEndian.PutUint16(b, toF16(f)) })
		case BF16:
			return writeConverted(w, d, 2, func(b []byte, f float32) { binary.LittleEndian.PutUint16(b, toBF16(f)) })
		case F64:
			return writeConverted(w, d, 8, func(b []byte, f float32) {
				binary.LittleEndian.PutUint64(b, math.Float64bits(float64(f)))
			})
		}
		return writeNumbers(w, d)
	}
	return fmt.Errorf("cannot write %T", t.Data)
}

// writeNumbers writes the memory behind d.
func writeNumbers[E number](w io.Writer, d []E) error {
	if !littleEndian {
		d = slices.Clone(d)
		fromLittleEndian(d) // swapping is its own inverse
	}
	_, err := w.Write(memory(d))
	return err
}

// writeConverted encodes d piece by piece, width bytes each.
func writeConverted(w io.Writer, d []float32, width int, put func([]byte, float32)) error {
	buf := make([]byte, min(len(d)*width, piece))
	for len(d) > 0 {
		n := min(len(d), piece/width)
		for i, f := range d[:n] {
			put(buf[i*width:], f)
		}
		if _, err := w.Write(buf[:n*width]); err != nil {
			return err
		}
		d = d[n:]
	}
	return nil
}
