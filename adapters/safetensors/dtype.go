package safetensors

import (
	"math/bits"
	"slices"
)

// DType is an element type, as the format spells it.
type DType string

// The element types of the format. Float32s reads F64, F32, F16 and BF16; Int64s
// reads the integers and BOOL; the rest can only be copied, as Bytes.
const (
	Bool       DType = "BOOL"
	F4         DType = "F4" // two elements to a byte
	F6E2M3     DType = "F6_E2M3"
	F6E3M2     DType = "F6_E3M2"
	U8         DType = "U8"
	I8         DType = "I8"
	F8E5M2     DType = "F8_E5M2"
	F8E4M3     DType = "F8_E4M3"
	F8E8M0     DType = "F8_E8M0"
	F8E4M3FNUZ DType = "F8_E4M3FNUZ"
	F8E5M2FNUZ DType = "F8_E5M2FNUZ"
	I16        DType = "I16"
	U16        DType = "U16"
	F16        DType = "F16"  // IEEE 754 binary16
	BF16       DType = "BF16" // the upper half of a float32
	I32        DType = "I32"
	U32        DType = "U32"
	F32        DType = "F32"
	C64        DType = "C64" // two float32
	F64        DType = "F64"
	I64        DType = "I64"
	U64        DType = "U64"
)

// dtypes is every element type with its width in bits, in the order of the
// reference's enumeration. Write lays tensors out from the last to the first, as
// the reference does, which keeps each of them aligned.
var dtypes = []struct {
	dtype DType
	bits  int
}{
	{Bool, 8}, {F4, 4}, {F6E2M3, 6}, {F6E3M2, 6}, {U8, 8}, {I8, 8},
	{F8E5M2, 8}, {F8E4M3, 8}, {F8E8M0, 8}, {F8E4M3FNUZ, 8}, {F8E5M2FNUZ, 8},
	{I16, 16}, {U16, 16}, {F16, 16}, {BF16, 16},
	{I32, 32}, {U32, 32}, {F32, 32}, {C64, 64}, {F64, 64}, {I64, 64}, {U64, 64},
}

// order is the place of d in dtypes, or -1 where the format knows no such type.
func (d DType) order() int {
	for i := range dtypes {
		if dtypes[i].dtype == d {
			return i
		}
	}
	return -1
}

// Bits is the width of one element, 0 for a type that the format does not know.
func (d DType) Bits() int {
	if i := d.order(); i >= 0 {
		return dtypes[i].bits
	}
	return 0
}

// size is the number of bytes of a tensor. It says why there is no such number:
// an unknown type, a negative dimension, a product that overflows, or elements of
// 4 or 6 bits that do not fill their last byte. As in the reference a product
// overflows in the order of the shape, even where a later dimension is 0.
func size(d DType, shape []int) (n int64, problem string) {
	width := d.Bits()
	if width == 0 {
		return 0, "the element type is unknown"
	}
	if slices.ContainsFunc(shape, func(dim int) bool { return dim < 0 }) {
		return 0, "the shape holds a negative dimension"
	}
	elements := uint64(1)
	for _, dim := range shape {
		hi, lo := bits.Mul64(elements, uint64(dim)) // #nosec G115 -- not negative: checked above
		if hi != 0 {
			return 0, "the shape overflows"
		}
		elements = lo
	}
	hi, lo := bits.Mul64(elements, uint64(width)) // #nosec G115 -- at most 64 bits wide
	if hi != 0 || lo > 1<<63-1 || elements > 1<<62 {
		return 0, "the shape overflows"
	}
	if lo%8 != 0 {
		return 0, "the elements do not fill their last byte"
	}
	return int64(lo / 8), ""
}
