package nn

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

// BFloat16 is the matrix in bfloat16: float32 rounded to eight bits of precision.
func (p Param) BFloat16() Param {
	p.Shape = shapes.Make(dtypes.BFloat16, p.Shape.Dimensions...)
	return p
}

// Int8 splits a matrix [in, out] into codes, int8 [in, out], and scales, float32 [out]:
// a value is code·scale of its column. That is weight-only quantisation, symmetric and
// for each output channel, with the absolute maximum as the range; activations stay
// float32, as in LLM.int8() (Dettmers et al. 2022) without its outliers.
func (p Param) Int8() (codes, scales Param) {
	codes, scales = p, p
	out := p.Shape.Dim(1)
	codes.Shape = shapes.Make(dtypes.Int8, p.Shape.Dim(0), out)
	scales.Shape = shapes.Make(dtypes.Float32, out)
	scales.Name, scales.Tensor, scales.Transposed = p.Name+".scales", p.Stored(), false
	return codes, scales
}

// Quantize rounds a matrix [in, out] to the codes and scales of [Param.Int8]. The
// furthest a value is off is half of its column's scale, which is a 127th of the
// column's greatest magnitude. A column of zeros has scale 0.
func Quantize(w []float32, out int) (codes []int8, scales []float32) {
	codes, scales = make([]int8, len(w)), make([]float32, out)
	for i := 0; i < len(w); i += out {
		for j, v := range w[i : i+out] {
			scales[j] = max(scales[j], float32(math.Abs(float64(v))))
		}
	}
	inverse := make([]float32, out)
	for j := range scales {
		scales[j] /= math.MaxInt8
		if scales[j] > 0 {
			inverse[j] = 1 / scales[j]
		}
	}
	for i := 0; i < len(w); i += out {
		for j, v := range w[i : i+out] {
			codes[i+j] = int8(min(max(math.RoundToEven(float64(v*inverse[j])), -math.MaxInt8), math.MaxInt8))
		}
	}
	return codes, scales
}
