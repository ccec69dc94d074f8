package kernels

import (
	"regexp"
	"slices"
)

// gatherCall is the custom call that stands for the rows of a table: embeddings of tokens, adapters' factors of
// examples. The plugin computes it a row at a time, or by threads that then look
// out for more while ours would go on.
const gatherCall = "lorikeet_gather"

var gathered = regexp.MustCompile(`(?s)^(%[\w.#]+), (%[\w.#]+)\) \{\s*dimension_numbers = #stablehlo\.gather<\s*offset_dims = \[([\d, ]*)\],\s*collapsed_slice_dims = \[0\],\s*` +
	`operand_batching_dims = \[\],\s*start_indices_batching_dims = \[\],\s*start_index_map = \[0\],\s*index_vector_dim = (\d+)>,\s*indices_are_sorted = \w+,\s*` +
	`slice_sizes = array<i64: 1, ([\d, ]+)>\s*\} : \(tensor<([^<>]*)>, tensor<([^<>]*)>\) -> tensor<([^<>]*)>`)

// gather gives the call for a statement that takes whole rows of a float32 table [rows, …] by
// their numbers […, 1] of int32, of which those out of range are the nearest that are not.
func (s statement) gather() (text string, ok bool) {
	m := gathered.FindStringSubmatch(s.rest)
	if m == nil {
		return "", false
	}
	table, okT := parse(m[1], m[6])
	index, okI := parse(m[2], m[7])
	offsets, okO := ints(m[3])
	at, okA := ints(m[4])
	sizes, okS := ints(m[5])
	result, okR := parse("", m[8])
	if !okT || !okI || !okO || !okA || !okS || !okR || table.element != "f32" || index.element != "i32" || result.element != "f32" || len(table.dims) < 2 ||
		!slices.Equal(table.dims[1:], sizes) {
		return "", false
	}
	last := len(index.dims) - 1
	if last < 0 || len(at) != 1 || at[0] != last || index.dims[last] != 1 || !slices.Equal(result.dims, append(slices.Clone(index.dims[:last]), sizes...)) || len(offsets) != len(sizes) {
		return "", false
	}
	for i, o := range offsets {
		if o != last+i {
			return "", false
		}
	}
	return s.result + " = " + call(gatherCall, []tensor{table, index}, []int{table.dims[0], table.size() / table.dims[0], index.size()}, m[8]), true
}
