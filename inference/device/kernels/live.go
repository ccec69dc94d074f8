package kernels

import (
	"slices"
	"strings"
)

// rows says which rows of a value are read, by a mask [batch, length, 1] of booleans: from nn's Blank on, for what is
// made of them row by row. A row of the value is one of the mask's places, in that order.
type rows struct {
	mask   tensor
	turned bool // but as attention's results are: [batch, heads, queries, …]
}

// leads tells whether the first axes of a value are those of the mask, or all of them as one.
func (r rows) leads(dims []int) bool {
	n, all := 1, r.mask.size()
	for _, d := range dims {
		n *= d
		if n >= all {
			break
		}
	}
	return n == all
}

// byRow are the operations whose results have as many rows as their arguments, each made of the
// arguments' same rows.
var byRow = []string{"add", "subtract", "multiply", "divide", "maximum", "minimum", "negate", "convert", "reshape", "tanh", "logistic",
	"exponential", "erf", "sqrt", "rsqrt", "power", "select"}

// setLive notes of what a statement defines which rows are read, where it tells.
func (f *function) setLive(s statement) {
	delete(f.live, s.result)
	if s.op == "stablehlo.select" {
		if r, ok := f.blanked(s); ok {
			f.live[s.result] = r
			return
		}
	}
	_, op, _ := strings.Cut(s.op, ".")
	if op == "transpose" {
		args, _, attributes, _ := s.args(s.op)
		if len(args) == 1 && attributes == "permutation = array<i64: 0, 2, 1, 3>" {
			if r, ok := f.live[args[0]]; ok {
				r.turned = !r.turned
				f.live[s.result] = r
			}
		}
		return
	}
	if !slices.Contains(byRow, op) {
		return
	}
	args, types, _, result := s.args(s.op)
	for i, a := range args {
		r, ok := f.live[a]
		whole, known := parse("", result)
		if !ok || r.turned || !known || !r.leads(whole.dims) {
			continue
		}
		if before, known := parse("", types[i]); op == "reshape" || known && slices.Equal(before.dims, whole.dims) {
			f.live[s.result] = r
			return
		}
	}
}

// blanked finds the mask in what has zeros where it is false.
func (f *function) blanked(s statement) (r rows, ok bool) {
	args, types, _, _ := s.args(s.op)
	if len(args) != 3 || !f.is(args[2], 0) {
		return r, false
	}
	mask, masks, attributes := f.args(args[0], "broadcast_in_dim") // of [batch, length, 1]
	if mask == nil || attributes != "broadcast_dimensions = array<i64: 0, 1, 2>" {
		return r, false
	}
	whole, known := parse("", types[1])
	r.mask, ok = parse(mask[0], masks[0])
	return r, ok && known && r.mask.element == "i1" && len(r.mask.dims) == 3 && len(whole.dims) == 3 && slices.Equal(r.mask.dims, []int{whole.dims[0], whole.dims[1], 1})
}

// mask is that of a tensor in memory; one without a name where all rows are read, as far as is known.
func (f *function) mask(t tensor) tensor {
	if r := f.live[t.name]; !r.turned {
		return r.mask
	}
	return tensor{}
}

// mask is that of a product's rows, which are a's, one after the other.
func (p product) mask(f *function, a tensor) tensor {
	mask := f.mask(a)
	if mask.name == "" {
		return mask
	}
	row := a.size() / mask.size()
	if p.k.a != 1 || p.k.size > row || p.m.a != row {
		return tensor{}
	}
	next := p.m.size * row
	for _, x := range slices.Backward(p.batch) {
		if x.a != next {
			return tensor{}
		}
		next *= x.size
	}
	if next != a.size() {
		return tensor{}
	}
	return mask
}

// mask is that of one side of an attention, whose strides these are, for so many queries or keys.
func (a attention) mask(f *function, t tensor, strides [4]int, length int) tensor {
	mask := f.mask(t)
	if mask.name == "" {
		return mask
	}
	row := t.size() / mask.size()
	if mask.size() != a.batch*length || strides[2] != row || strides[0] != row*length && a.batch != 1 {
		return tensor{}
	}
	return mask
}

// leaves notes what a call gives, if it leaves rows out.
func (f *function) leaves(name string, r rows, calls *Calls) {
	if r.mask.name != "" {
		f.live[name] = r
		calls.Blank++
	}
}
