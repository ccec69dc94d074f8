package kernels

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// attentionCall is the custom call that stands for attention.
const attentionCall = "lorikeet_attention"

// attention is softmax(scale·q·kᵀ + bias)·v as nn.Attend writes it, found from its end.
type attention struct {
	q, k, v, bias                         tensor
	live, liveKeys                        tensor // the masks of queries and keys, if there are any
	batch, heads, queries, keys, dim, out int
	qs, ks, vs                            [4]int // strides: batch, heads, queries or keys, dim
	bs                                    [3]int
	scale                                 float32
}

// leastQueries is how many rows of each pair's product the kernels are made for: for fewer, as in a
// step of writing, they would turn all keys round.
const leastQueries = 16

// findAttention finds it in the product of weights and values.
func (f *function) findAttention(product []string, seen map[string]tensor) (a attention, ok bool) {
	weights, _, _ := f.args(product[1], "divide")
	if weights == nil || len(f.uses[product[1]]) != 1 || !f.row(weights[1], "add", weights[0]) {
		return a, false
	}
	exp, _, _ := f.args(weights[0], "exponential")
	if exp == nil {
		return a, false
	}
	shifted, _, _ := f.args(exp[0], "subtract")
	if shifted == nil || !f.row(shifted[1], "maximum", shifted[0]) {
		return a, false
	}
	sum, types, _ := f.args(shifted[0], "add")
	if sum == nil {
		return a, false
	}
	a.scale = 1
	scores := sum[0]
	if scaled, _, _ := f.args(scores, "multiply"); scaled != nil {
		if a.scale, ok = f.constant(scaled[1]); !ok || math.IsNaN(float64(a.scale)) || math.IsInf(float64(a.scale), 0) {
			return a, false
		}
		scores = scaled[0]
	}
	s := f.definition(scores)
	if s.op != "stablehlo.dot_general" {
		return a, false
	}
	m := binary.FindStringSubmatch(s.rest)
	if m == nil || !a.setScores(m, seen) || !a.setValues(product, seen) {
		return a, false
	}
	a.live, a.liveKeys = a.mask(f, a.q, a.qs, a.queries), a.mask(f, a.k, a.ks, a.keys)
	return a, f.setBias(&a, sum[1], types[1])
}

// sides are the axes of a product's two factors: two of the batch, its own, and the
// contracted one.
func sides(m []string, seen map[string]tensor) (l, r tensor, left, right [4]int, ok bool) {
	l, okL := operand(m[1], m[4], seen)
	r, okR := operand(m[2], m[5], seen)
	if !okL || !okR || l.element != "f32" || r.element != "f32" || l.rounded || r.rounded || !strings.HasSuffix(m[6], "xf32") || len(l.dims) != 4 || len(r.dims) != 4 || strings.Contains(m[3], "algorithm =") {
		return l, r, left, right, false
	}
	n := numbersOf(m[3])
	for _, s := range []struct {
		side string
		to   *[4]int
	}{{"lhs", &left}, {"rhs", &right}} {
		batch, contracting := n[s.side+"batching"], n[s.side+"contracting"]
		if len(batch) != 2 || len(contracting) != 1 {
			return l, r, left, right, false
		}
		own := slices.DeleteFunc([]int{0, 1, 2, 3}, func(i int) bool { return slices.Contains(batch, i) || i == contracting[0] })
		if len(own) != 1 {
			return l, r, left, right, false
		}
		*s.to = [4]int{batch[0], batch[1], own[0], contracting[0]}
		for _, i := range s.to {
			if i > 3 {
				return l, r, left, right, false
			}
		}
	}
	return l, r, left, right, true
}

func pick(l []int, at [4]int) (p [4]int) {
	for i, x := range at {
		p[i] = l[x]
	}
	return p
}

func (a *attention) setScores(m []string, seen map[string]tensor) bool {
	q, k, left, right, ok := sides(m, seen)
	if !ok {
		return false
	}
	a.q, a.k, a.qs, a.ks = q, k, pick(q.strides, left), pick(k.strides, right)
	dq, dk := pick(q.dims, left), pick(k.dims, right)
	a.batch, a.heads, a.queries, a.keys, a.dim = dq[0], dq[1], dq[2], dk[2], dq[3]
	return dq[0] == dk[0] && dq[1] == dk[1] && dq[3] == dk[3] && a.queries >= leastQueries
}

func (a *attention) setValues(m []string, seen map[string]tensor) bool {
	w, v, left, right, ok := sides(m, seen)
	if !ok || left != [4]int{0, 1, 2, 3} || !slices.Equal(w.dims, []int{a.batch, a.heads, a.queries, a.keys}) {
		return false
	}
	d := pick(v.dims, right)
	s := pick(v.strides, right)
	a.v, a.out, a.vs = v, d[2], [4]int{s[0], s[1], s[3], s[2]} // keys before the values' own axis
	return d[0] == a.batch && d[1] == a.heads && d[3] == a.keys
}

func (f *function) setBias(a *attention, name, typ string) bool {
	if b, types, attributes := f.args(name, "broadcast_in_dim"); b != nil {
		if attributes != "broadcast_dimensions = array<i64: 0, 1, 2, 3>" {
			return false
		}
		name, typ = b[0], types[0]
	}
	bias, ok := parse(name, typ)
	if !ok || bias.element != "f32" || len(bias.dims) != 4 || bias.dims[3] != a.keys {
		return false
	}
	for i, n := range []int{a.batch, a.heads, a.queries} {
		switch bias.dims[i] {
		case n:
			a.bs[i] = bias.strides[i]
		case 1:
		default:
			return false
		}
	}
	a.bias = bias
	return true
}

// call is the statement that does what the product called name did, whose result has a type.
func (a attention) call(name, typ string, level Level) string {
	l := []int{a.batch, a.heads, a.queries, a.keys, a.dim, a.out}
	live, has := given(a.live, a.liveKeys)
	l = slices.Concat(l, a.qs[:], a.ks[:], a.vs[:], a.bs[:], []int{int(math.Float32bits(a.scale)), int(level), has})
	turned := fmt.Sprintf("%dx%dx%dx%dxf32", a.batch, a.queries, a.heads, a.out)
	turnedName := own(name)
	return fmt.Sprintf("%s = %s\n    %s = \"stablehlo.transpose\"(%s) { permutation = array<i64: 0, 2, 1, 3> } : (tensor<%s>) -> tensor<%s>",
		turnedName, call(attentionCall, append([]tensor{a.q, a.k, a.v, a.bias}, live...), l, turned), name, turnedName, turned, typ)
}
