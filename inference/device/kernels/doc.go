// Package kernels has matrix products, attention and norms of our own for XLA's CPU plugin, for
// processors on which they are faster than the plugin's: [Rewrite] puts calls of them into a
// program, and a plugin that was told of them by [Register] calls them; their threads are ours.
//
// The products are those of float32, bfloat16 and int8 matrices with float32 results, and what
// is added to them and done to them after is done while they are in the cache. Rows that a model
// says nobody reads, a batch's padding, are left out. All is
// written in C, with the instructions that the processor turns out to have: AVX2, AVX-512, its
// products of bfloat16, or the tiles of AMX.
package kernels

// Level is what a processor can do; each includes the levels before it.
type Level int

// The levels, by number, are those of matmul.h.
const (
	None       Level = iota // no kernels: another processor, system or a build without cgo
	AVX2                    // with FMA
	AVX512                  // F, BW, DQ and VL
	AVX512BF16              // and products of pairs of bfloat16
	AMX                     // tiles of bfloat16

	// BF16x3 is no more than AMX, but has float32 products done by it too, as three of
	// bfloat16: several times as fast, with errors of 2^-16 for each product, where float32's own
	// are 2^-24. It is for who asks for it.
	BF16x3
)

// String is the level's name in logs.
func (l Level) String() string {
	return [...]string{"none", "avx2", "avx512", "avx512bf16", "amx", "bf16x3"}[l]
}
