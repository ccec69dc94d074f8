package gguf

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// kind is a way to store values: in blocks of some values and bytes. decode makes
// float32 of one block.
//
// Layouts: ggml-common.h of llama.cpp. The arithmetic is in float32 and in the order of
// gguf-py, so that the values are those of transformers, bit for bit.
type kind struct {
	name   string
	values int
	bytes  int
	decode func(b []byte, v []float32)
}

var kinds = map[uint32]kind{
	0:  {"F32", 1, 4, func(b []byte, v []float32) { v[0] = math.Float32frombits(binary.LittleEndian.Uint32(b)) }},
	1:  {"F16", 1, 2, func(b []byte, v []float32) { v[0] = half(b) }},
	2:  {"Q4_0", 32, 18, q4_0},
	3:  {"Q4_1", 32, 20, q4_1},
	6:  {"Q5_0", 32, 22, q5_0},
	7:  {"Q5_1", 32, 24, q5_1},
	8:  {"Q8_0", 32, 34, q8_0},
	12: {"Q4_K", 256, 144, q4_K},
	13: {"Q5_K", 256, 176, q5_K},
	14: {"Q6_K", 256, 210, q6_K},
	30: {"BF16", 1, 2, func(b []byte, v []float32) {
		v[0] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16)
	}},
}

// others are the types that are known by name only.
var others = map[uint32]string{9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS",
	19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
	29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4"}

func typeName(id uint32) string {
	if k, ok := kinds[id]; ok {
		return k.name
	}
	if name, ok := others[id]; ok {
		return name
	}
	return fmt.Sprintf("type %d", id)
}

// supported lists the types that can be read.
func supported() string {
	var names []string
	for _, id := range slices.Sorted(maps.Keys(kinds)) {
		names = append(names, kinds[id].name)
	}
	return strings.Join(names, ", ")
}

// half reads an IEEE 754 half-precision number.
func half(b []byte) float32 {
	h := uint32(binary.LittleEndian.Uint16(b))
	sign, exp, frac := h>>15<<31, h>>10&0x1f, h&0x3ff
	switch {
	case exp == 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	case exp == 0: // subnormal: a multiple of 2^-24
		f := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(sign | math.Float32bits(f))
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// In the simple types a block has a scale, in some a least value, and then a few bits for
// each value: the first half of the values in the low halves of the bytes.

func q4_0(b []byte, v []float32) {
	d := half(b)
	for i, q := range b[2:18] {
		v[i], v[i+16] = d*float32(int(q&15)-8), d*float32(int(q>>4)-8)
	}
}

func q4_1(b []byte, v []float32) {
	d, m := half(b), half(b[2:])
	for i, q := range b[4:20] {
		v[i], v[i+16] = float32(d*float32(q&15))+m, float32(d*float32(q>>4))+m
	}
}

func q5_0(b []byte, v []float32) {
	d, high := half(b), binary.LittleEndian.Uint32(b[2:])
	for i, q := range b[6:22] {
		v[i] = d * float32(int(q&15|byte(high>>i&1)<<4)-16)
		v[i+16] = d * float32(int(q>>4|byte(high>>(i+16)&1)<<4)-16)
	}
}

func q5_1(b []byte, v []float32) {
	d, m, high := half(b), half(b[2:]), binary.LittleEndian.Uint32(b[4:])
	for i, q := range b[8:24] {
		v[i] = float32(d*float32(q&15|byte(high>>i&1)<<4)) + m
		v[i+16] = float32(d*float32(q>>4|byte(high>>(i+16)&1)<<4)) + m
	}
}

func q8_0(b []byte, v []float32) {
	d := half(b)
	for i, q := range b[2:34] {
		v[i] = d * float32(int8(q)) // #nosec G115 -- the bits of a signed number
	}
}

// In the K types a block of 256 has scales of scales: eight or sixteen small ones, packed
// into a few bits, and one or two for all.

// scales reads the six-bit scale and least value of eight groups from twelve bytes.
func scales(b []byte, group int) (scale, least byte) {
	if group < 4 {
		return b[group] & 63, b[group+4] & 63
	}
	return b[group+4]&15 | b[group-4]>>6<<4, b[group+4]>>4 | b[group]>>6<<4
}

func q4_K(b []byte, v []float32) {
	d, m := half(b), half(b[2:])
	for group := range 8 {
		scale, least := scales(b[4:16], group)
		by, from := float32(d*float32(scale)), float32(m*float32(least))
		for i := range 32 {
			q := b[16+group/2*32+i] >> (group % 2 * 4) & 15
			v[group*32+i] = float32(by*float32(q)) - from
		}
	}
}

func q5_K(b []byte, v []float32) {
	d, m := half(b), half(b[2:])
	for group := range 8 {
		scale, least := scales(b[4:16], group)
		by, from := float32(d*float32(scale)), float32(m*float32(least))
		for i := range 32 {
			q := b[48+group/2*32+i]>>(group%2*4)&15 | b[16+i]>>group&1<<4
			v[group*32+i] = float32(by*float32(q)) - from
		}
	}
}

func q6_K(b []byte, v []float32) {
	low, high, by, d := b[:128], b[128:192], b[192:208], half(b[208:])
	for i := range 256 {
		part, j := i/128, i%128 // each half has its own bytes
		q := low[part*64+j%64]>>(j/64*4)&15 | high[part*32+j%32]>>(j/32*2)&3<<4
		v[i] = float32(d*float32(int8(by[i/16]))) * float32(int(q)-32) // #nosec G115 -- the bits of a signed number
	}
}
