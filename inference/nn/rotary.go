package nn

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra
)

// Rotary is the rotary position embedding of Su et al. 2021 for the tokens of one
// pass: the cosine and sine of every angle, [batch, length, 1, dim/2].
type Rotary struct{ cos, sin *Node }

// NewRotary turns positions [batch, length] int32 into angles. frequencies, in
// radians a position, are one for each pair of a head's dimensions.
func NewRotary(positions *Node, frequencies []float32) Rotary {
	at := ExpandAxes(ConvertDType(positions, dtypes.Float32), 2, 3) // [batch, length, 1, 1]
	angles := Mul(at, ExpandLeftToRank(Const(at.Graph(), frequencies), 4))
	return Rotary{Cos(angles), Sin(angles)}
}

// Turn rotates x [batch, length, heads, dim]. Dimension i is paired with i+dim/2, as
// in Hugging Face's checkpoints; the paper and LLaMA's own files pair neighbours.
func (r Rotary) Turn(x *Node) *Node {
	half := x.Shape().Dim(-1) / 2
	a, b := SliceAxis(x, -1, AxisRange(0, half)), SliceAxis(x, -1, AxisRange(half))
	return Concatenate([]*Node{
		Sub(Mul(a, r.cos), Mul(b, r.sin)),
		Add(Mul(b, r.cos), Mul(a, r.sin)),
	}, -1)
}

// Frequencies are those of the paper, base^(-2i/dim) for i below dim/2. They are
// rounded to float32 after each operation, as PyTorch has them: the angles of late
// positions multiply every difference.
func Frequencies(base float64, dim int) []float32 {
	f := make([]float32, dim/2)
	for i := range f {
		exponent := float32(2*i) / float32(dim)
		f[i] = 1 / float32(math.Pow(base, float64(exponent)))
	}
	return f
}

// Stretch lowers frequencies as LLaMA 3.1 does for contexts longer than the one it was
// first trained on: waves longer than trained/low positions are slowed by factor,
// those shorter than trained/high are kept, and between the two lies a ramp
// (transformers' _compute_llama3_parameters).
func Stretch(frequencies []float32, factor, low, high, trained float64) []float32 {
	out := make([]float32, len(frequencies))
	for i, v := range frequencies {
		f := float64(v)
		wave := 2 * math.Pi / f
		switch {
		case wave > trained/low:
			f /= factor
		case wave >= trained/high:
			keep := (trained/wave - low) / (high - low)
			f = (1-keep)*f/factor + keep*f
		}
		out[i] = float32(f)
	}
	return out
}
