package nn

import (
	"math"
	"testing"
)

func TestQuantizeIsOffByHalfAScaleAtMost(t *testing.T) {
	const in, out = 7, 3
	w := make([]float32, in*out)
	for i := range in {
		w[i*out] = float32(i) - 3.3 // and a column of zeros
		w[i*out+2] = 1e-3 * float32(math.Sin(float64(i)))
	}
	codes, scales := Quantize(w, out)
	if scales[1] != 0 {
		t.Errorf("zeros have scale %v", scales[1])
	}
	reached := [out]int8{}
	for i, v := range w {
		c, s := codes[i], scales[i%out]
		if off := math.Abs(float64(float32(c)*s - v)); off > 0.5001*float64(s) {
			t.Errorf("%v became %d times %v", v, c, s)
		}
		if c < 0 {
			c = -c
		}
		reached[i%out] = max(reached[i%out], c)
	}
	if reached != [out]int8{127, 0, 127} {
		t.Errorf("the greatest codes of the columns are %v", reached)
	}
}
