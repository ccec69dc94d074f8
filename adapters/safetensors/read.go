package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"lorikeet/adapters/invalid"
)

// piece is how many bytes of a tensor are read at once where its elements have to
// be converted: enough to make the reads few, little enough to stay in the cache.
const piece = 256 << 10

// Float32s reads a tensor of F64, F32, F16 or BF16 as float32, in row-major order.
// F32, F16 and BF16 are exact, F64 is rounded to nearest even. An F32 tensor is
// one read straight into the memory that is returned.
func (f *File) Float32s(name string) ([]float32, error) {
	t, err := f.tensor(name)
	if err != nil {
		return nil, err
	}
	var fill func(dst []float32, src []byte)
	switch t.DType {
	case F32:
		out := make([]float32, t.Len())
		if err := f.read(t, memory(out)); err != nil {
			return nil, err
		}
		fromLittleEndian(out)
		return out, nil
	case F16:
		fill = widenF16
	case BF16:
		fill = widenBF16
	case F64:
		fill = func(dst []float32, src []byte) {
			for i := range dst {
				dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
			}
		}
	default:
		return nil, invalid.Field(clip(name), "the tensor holds %s, which is not read as float32", t.DType)
	}
	return convertAll(f, t, fill)
}

// Int64s reads a tensor of integers or booleans, in row-major order. A U64 above
// 2^63-1 is an error.
func (f *File) Int64s(name string) ([]int64, error) {
	t, err := f.tensor(name)
	if err != nil {
		return nil, err
	}
	var one func(b []byte) int64
	switch t.DType {
	case I64:
		out := make([]int64, t.Len())
		if err := f.read(t, memory(out)); err != nil {
			return nil, err
		}
		fromLittleEndian(out)
		return out, nil
	case U64:
		one = func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) } // #nosec G115 -- the bits of a signed number; of U64 the sign is looked at below
	case I32:
		one = func(b []byte) int64 { return int64(int32(binary.LittleEndian.Uint32(b))) } // #nosec G115 -- the bits of a signed number
	case U32:
		one = func(b []byte) int64 { return int64(binary.LittleEndian.Uint32(b)) }
	case I16:
		one = func(b []byte) int64 { return int64(int16(binary.LittleEndian.Uint16(b))) } // #nosec G115 -- the bits of a signed number
	case U16:
		one = func(b []byte) int64 { return int64(binary.LittleEndian.Uint16(b)) }
	case I8:
		one = func(b []byte) int64 { return int64(int8(b[0])) } // #nosec G115 -- the bits of a signed number
	case U8, Bool:
		one = func(b []byte) int64 { return int64(b[0]) }
	default:
		return nil, invalid.Field(clip(name), "the tensor holds %s, which is not read as integers", t.DType)
	}
	width := t.DType.Bits() / 8
	out, err := convertAll(f, t, func(dst []int64, src []byte) {
		for i := range dst {
			dst[i] = one(src[width*i:])
		}
	})
	if err != nil {
		return nil, err
	}
	if t.DType == U64 {
		for i, v := range out {
			if v < 0 {
				return nil, invalid.Field(clip(name), "element %d is %d, above 2^63-1", i, uint64(v)) // #nosec G115 -- what it was before
			}
		}
	}
	return out, nil
}

// Bytes reads a tensor of any type as the file holds it: row-major, little endian.
func (f *File) Bytes(name string) ([]byte, error) {
	t, err := f.tensor(name)
	if err != nil {
		return nil, err
	}
	out := make([]byte, t.end-t.begin)
	if err := f.read(t, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Section is a tensor's bytes as a reader, for a tensor that is to be copied or
// hashed and need not be in memory.
func (f *File) Section(name string) (*io.SectionReader, error) {
	t, err := f.tensor(name)
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(f.r, f.data+t.begin, t.end-t.begin), nil
}

// read fills p with the bytes of t.
func (f *File) read(t entry, p []byte) error {
	if err := readAt(f.r, p, f.data+t.begin); err != nil {
		return fmt.Errorf("tensor %s: read %d bytes: %w", t.Name, len(p), err)
	}
	return nil
}

// convertAll reads t piece by piece and has fill turn each into elements.
func convertAll[E any](f *File, t entry, fill func(dst []E, src []byte)) ([]E, error) {
	width := t.DType.Bits() / 8
	out := make([]E, t.Len())
	buf := make([]byte, min(len(out)*width, piece))
	for done := 0; done < len(out); {
		n := min(len(out)-done, piece/width)
		src := buf[:n*width]
		if err := readAt(f.r, src, f.data+t.begin+int64(done)*int64(width)); err != nil {
			return nil, fmt.Errorf("tensor %s: read: %w", t.Name, err)
		}
		fill(out[done:done+n], src)
		done += n
	}
	return out, nil
}

// Two loops rather than one with a function in it: inlined, the conversion is
// several times faster.

func widenF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = fromF16(binary.LittleEndian.Uint16(src[2*i : 2*i+2]))
	}
}

func widenBF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = fromBF16(binary.LittleEndian.Uint16(src[2*i : 2*i+2]))
	}
}
