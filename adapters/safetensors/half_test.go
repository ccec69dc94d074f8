package safetensors

import (
	"math"
	"testing"
)

// formats are the two 16 bit formats, with what the tests need to know of them.
var formats = []struct {
	name     string
	from     func(uint16) float32
	to       func(float32) uint16
	infinity uint16
	value    func(h uint16) float64 // straight from the definition
}{
	{"F16", fromF16, toF16, 0x7c00, func(h uint16) float64 { return define(h, 5, 10) }},
	{"BF16", fromBF16, toBF16, 0x7f80, func(h uint16) float64 { return define(h, 8, 7) }},
}

// define is the value of a binary floating point number by IEEE 754, section 3.4.
func define(h uint16, exponentBits, fractionBits int) float64 {
	sign := 1 - 2*float64(h>>15)
	exponent := int(h>>fractionBits) & (1<<exponentBits - 1)
	fraction := float64(h&(1<<fractionBits-1)) / float64(int(1)<<fractionBits)
	bias := 1<<(exponentBits-1) - 1
	switch {
	case exponent == 0:
		return sign * math.Ldexp(fraction, 1-bias)
	case exponent < 1<<exponentBits-1:
		return sign * math.Ldexp(1+fraction, exponent-bias)
	case fraction == 0:
		return sign * math.Inf(1)
	}
	return math.NaN()
}

func TestEvery16BitFloatIsReadExactlyAndComesBack(t *testing.T) {
	for _, f := range formats {
		for i := range 1 << 16 {
			h := uint16(i)
			got, want := f.from(h), f.value(h)
			if float64(got) != want && !(math.IsNaN(float64(got)) && math.IsNaN(want)) {
				t.Fatalf("%s %#04x is %v, want %v", f.name, h, got, want)
			}
			if math.Signbit(float64(got)) != (h>>15 == 1) {
				t.Fatalf("%s %#04x: the sign is lost", f.name, h)
			}
			if back := f.to(got); back != h {
				t.Fatalf("%s %#04x came back as %#04x", f.name, h, back)
			}
		}
	}
}

// Rounding is monotonic, so that looking at the middle between all neighbours, and
// at the float32 on either side of it, decides it everywhere.
func TestRoundsToTheNearestAndTiesToEven(t *testing.T) {
	for _, f := range formats {
		for _, sign := range []uint16{0, 0x8000} {
			for h := uint16(0); h < f.infinity; h++ {
				lo, hi := sign|h, sign|(h+1)
				next := f.value(hi)
				if h+1 == f.infinity { // as if the format went on
					next = 2*f.value(lo) - f.value(lo-1)
				}
				exact := (f.value(lo) + next) / 2
				mid := float32(exact)
				if float64(mid) != exact {
					t.Fatalf("%s: the middle above %#04x is no float32", f.name, lo)
				}
				even := lo
				if lo&1 == 1 {
					even = hi
				}
				toward0 := math.Float32frombits(math.Float32bits(mid) - 1)
				away := math.Float32frombits(math.Float32bits(mid) + 1)
				if f.to(mid) != even || f.to(toward0) != lo || f.to(away) != hi {
					t.Fatalf("%s between %#04x and %#04x: %v became %#04x, %v %#04x, %v %#04x",
						f.name, lo, hi, toward0, f.to(toward0), mid, f.to(mid), away, f.to(away))
				}
			}
		}
	}
}

func TestRoundsTheEdges(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		name      string
		in        float32
		f16, bf16 uint16
	}{
		{"zero", 0, 0, 0},
		{"minus zero", float32(math.Copysign(0, -1)), 0x8000, 0x8000},
		{"the smallest float32", math.SmallestNonzeroFloat32, 0, 0},
		{"the largest float32", math.MaxFloat32, 0x7c00, 0x7f80},
		{"infinity", inf, 0x7c00, 0x7f80},
		{"minus infinity", -inf, 0xfc00, 0xff80},
		{"a NaN whose payload does not fit", math.Float32frombits(0x7f800001), 0x7e00, 0x7fc0},
		{"a NaN that rounding would carry over", math.Float32frombits(0x7fffffff), 0x7fff, 0x7fff},
		{"a negative NaN", math.Float32frombits(0xffc00000), 0xfe00, 0xffc0},
	} {
		if got := toF16(c.in); got != c.f16 {
			t.Errorf("%s as F16 is %#04x, want %#04x", c.name, got, c.f16)
		}
		if got := toBF16(c.in); got != c.bf16 {
			t.Errorf("%s as BF16 is %#04x, want %#04x", c.name, got, c.bf16)
		}
	}
}
