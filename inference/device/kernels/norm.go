package kernels

import "math"

// normCall is the custom call that stands for a layer normalization, or for one by the root
// mean square alone.
const normCall = "lorikeet_norm"

// norm is x / √(mean(x²) + epsilon) · weight + bias, of x - mean(x) where it is centered, as
// nn's Norm and RMSNorm write it.
type norm struct {
	x, weight, bias tensor
	epsilon         float32
	centered        bool
	last            int
	typ             string
}

// findNorm finds it in the product with the weight, the statement at i.
func (f *function) findNorm(i int) (n norm, ok bool) {
	args, types, _, _ := f.list[i].args("stablehlo.multiply")
	if len(args) != 2 {
		return n, false
	}
	divided, _, _ := f.args(args[0], "divide")
	x, okX := parse("", types[0])
	if divided == nil || len(f.uses[args[0]]) != 1 || !okX || x.element != "f32" || len(x.dims) < 2 {
		return n, false
	}
	dim := x.dims[len(x.dims)-1]
	if n.weight, ok = f.vector(args[1], dim); !ok {
		return n, false
	}
	x.name, x.typ = divided[0], types[0]
	if n.epsilon, ok = f.meanSquare(divided[1], x.name, dim); !ok {
		return n, false
	}
	if s, _, _ := f.args(x.name, "subtract"); s != nil && len(f.uses[x.name]) == 3 && f.mean(s[1], s[0], dim) {
		n.centered, x.name = true, s[0]
	}
	n.x, n.last, n.typ = x, i, types[0]
	if s, end, one := f.only(f.list[i].result); one && s.op == "stablehlo.add" {
		if o, ok := f.other(s, f.list[i].result); ok {
			if n.bias, ok = f.vector(o.name, dim); ok {
				n.last = end
			}
		}
	}
	return n, true
}

// meanSquare tells whether a value is √(mean(x²) + epsilon) of each row of x, and that epsilon.
func (f *function) meanSquare(name, x string, dim int) (epsilon float32, ok bool) {
	b, _, _ := f.args(name, "broadcast_in_dim")
	if b == nil || len(f.uses[name]) != 1 || len(f.uses[b[0]]) != 1 {
		return 0, false
	}
	root, _, _ := f.args(b[0], "sqrt")
	if root == nil {
		return 0, false
	}
	sum, _, _ := f.args(root[0], "add")
	if sum == nil {
		return 0, false
	}
	if epsilon, ok = f.constant(sum[1]); !ok {
		return 0, false
	}
	r, _, _ := f.args(sum[0], "reshape")
	if r == nil {
		return 0, false
	}
	m, _, _ := f.args(r[0], "multiply")
	if m == nil || !f.is(m[1], 1/float32(dim)) {
		return 0, false
	}
	red := reduction.FindStringSubmatch(f.definition(m[0]).rest)
	if red == nil || !f.reduced(m[0], "add", red[1]) {
		return 0, false
	}
	square, _, _ := f.args(red[1], "multiply")
	return epsilon, square != nil && square[0] == x && square[1] == x
}

// mean tells whether a value is the mean of each row of x, for each element of x.
func (f *function) mean(name, x string, dim int) bool {
	m, _, _ := f.args(f.perRow(name), "multiply")
	return m != nil && f.is(m[1], 1/float32(dim)) && f.reduced(m[0], "add", x)
}

// call is what stands for it; live has no name where all rows are read.
func (n norm) call(level Level, live tensor) string {
	dim := n.x.dims[len(n.x.dims)-1]
	more, has := given(n.bias, live)
	numbers := []int{n.x.size() / dim, dim, 0, has & 1, int(math.Float32bits(n.epsilon)), int(level)}
	if n.centered {
		numbers[2] = 1
	}
	return call(normCall, append([]tensor{n.x, n.weight}, more...), numbers, n.typ)
}
