package safetensors

import "math"

// Both 16 bit formats convert to float32 without loss, and back by rounding to
// the nearest, ties to even, as IEEE 754 and PyTorch do. The payload of a NaN is
// kept as far as it fits, so that every 16 bit pattern survives the way there
// and back.

// fromF16 widens an IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits.
func fromF16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	magnitude := uint32(h&0x7fff) << 13
	if magnitude >= 0x1f<<23 { // infinity or NaN
		return math.Float32frombits(sign | 0xff<<23 | magnitude)
	}
	// Read as a float32, magnitude is 2^112 too small (the exponents' biases are
	// 127 and 15); the product is exact, for subnormals as well.
	return math.Float32frombits(sign | math.Float32bits(math.Float32frombits(magnitude)*0x1p112))
}

// toF16 rounds to a binary16; 65520 and above become infinite.
func toF16(f float32) uint16 {
	b := math.Float32bits(f)
	sign, magnitude := uint16(b>>16)&0x8000, b&0x7fffffff
	switch {
	case magnitude > 0xff<<23: // NaN
		fraction := uint16(magnitude>>13) & 0x3ff // #nosec G115 -- the low bits are what is wanted
		if fraction == 0 {                        // what is left would be an infinity
			fraction = 0x200
		}
		return sign | 0x7c00 | fraction
	case magnitude >= 0x477ff000: // 65520, halfway between the largest number and infinity
		return sign | 0x7c00
	case magnitude < 0x38800000: // below 2^-14: a subnormal
		// The last place of 0.5 is 2^-24, that of the subnormals: the addition rounds.
		return sign | uint16(math.Float32bits(math.Float32frombits(magnitude)+0.5)-math.Float32bits(0.5)) // #nosec G115 -- a fraction of 10 bits
	}
	odd := magnitude >> 13 & 1
	return sign | uint16((magnitude-112<<23+0xfff+odd)>>13)
}

// fromBF16 widens a bfloat16: the upper half of a float32.
func fromBF16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// toBF16 rounds to a bfloat16.
func toBF16(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0xff<<23 { // NaN; rounding could carry it into another number
		h := uint16(b >> 16)
		if h&0x7f == 0 {
			h |= 0x40
		}
		return h
	}
	odd := b >> 16 & 1
	return uint16((b + 0x7fff + odd) >> 16)
}
