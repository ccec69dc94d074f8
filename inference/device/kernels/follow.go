package kernels

import (
	"slices"
	"strings"
)

// What follows a product, by the numbers of matmul.h.
const (
	identity = iota
	relu
	gelu
	silu
)

// chain is what is done to each element of a product: activation(y·scale + bias + more + low·up).
type chain struct {
	scale, bias tensor
	more        []tensor
	lowRank     lowRank
	activation  int
	last        int    // the statement that does the last of it
	typ         string // of what that defines
}

// follow finds what is done to a product whose last axis has n elements, as long as
// nothing else uses what comes between, and no other product has taken it: of two that
// are added, the first one adds the other.
func (f *function) follow(at int, typ string, n int, seen map[string]tensor) chain {
	c := chain{last: at, typ: typ}
	for value := f.list[at].result; ; {
		whole, ok := parse(value, typ)
		if !ok || whole.element != "f32" || len(whole.dims) == 0 || whole.dims[len(whole.dims)-1] != n {
			return c
		}
		if end, kind := f.activated(value); kind != identity {
			c.activation, c.last, c.typ = kind, end, typ
			return c
		}
		s, i, ok := f.only(value)
		if !ok || f.taken[i] {
			return c
		}
		switch s.op {
		case "stablehlo.reshape":
			args, _, _, result := s.args(s.op)
			if len(args) != 1 || args[0] != value { // a return follows the last statement
				return c
			}
			value, typ = s.result, result
			continue
		case "stablehlo.multiply":
			other, ok := f.other(s, value)
			if !ok || c.scale.name != "" || c.bias.name != "" || len(c.more) > 0 {
				return c
			}
			if c.scale, ok = f.vector(other.name, n); !ok {
				c.scale = tensor{}
				return c
			}
		case "stablehlo.add":
			other, ok := f.other(s, value)
			if !ok {
				return c
			}
			if v, is := f.vector(other.name, n); is && c.bias.name == "" {
				c.bias = v
			} else if l, dot, is := f.findLowRank(other, n, seen); is && c.lowRank.rank == 0 {
				c.lowRank, f.taken[dot] = l, true
			} else if f.definition(other.name).op != "stablehlo.broadcast_in_dim" && other.typ == typ && len(c.more) < 2 {
				c.more = append(c.more, other)
			} else {
				return c
			}
		default:
			return c
		}
		f.taken[i] = true
		value, c.last, c.typ = s.result, i, typ
	}
}

// other is the second argument of a statement, of whichever the value is not.
func (f *function) other(s statement, value string) (tensor, bool) {
	args, types, _, _ := s.args(s.op)
	if len(args) != 2 || args[0] == args[1] {
		return tensor{}, false
	}
	i := 0
	if args[0] == value {
		i = 1
	} else if args[1] != value {
		return tensor{}, false
	}
	return parse(args[i], types[i])
}

// activated tells which activation is all that a value is used for, and the statement that has it.
func (f *function) activated(x string) (end, kind int) {
	uses := f.uses[x]
	if len(uses) == 1 && uses[0] >= 0 {
		s := f.list[uses[0]]
		if o, ok := f.other(s, x); ok && s.op == "stablehlo.maximum" && f.is(o.name, 0) {
			return uses[0], relu
		}
	}
	if len(uses) != 2 || uses[0] < 0 || uses[1] < 0 {
		return 0, identity
	}
	// x·y, where y is of x: a logistic, or half of 1 + erf(x/√2).
	end = max(uses[0], uses[1])
	y, ok := f.other(f.list[end], x)
	if !ok || f.list[end].op != "stablehlo.multiply" || len(f.uses[y.name]) != 1 {
		return 0, identity
	}
	if l, _, _ := f.args(y.name, "logistic"); l != nil && l[0] == x {
		return end, silu
	}
	step := func(name, op string, by float32) string {
		s := f.definition(name)
		args, _, _, _ := s.args("stablehlo." + op)
		if len(args) != 2 || len(f.uses[name]) != 1 {
			return ""
		}
		for i := range 2 {
			if f.is(args[1-i], by) {
				return args[i]
			}
		}
		return ""
	}
	e, _, _, _ := f.definition(step(step(y.name, "multiply", 0.5), "add", 1)).args("chlo.erf")
	if len(e) == 1 && len(f.uses[e[0]]) == 1 && step(e[0], "multiply", 0.70710678) == x {
		return end, gelu
	}
	return 0, identity
}

// lowRank is what adapters add to a product: low [rows, rank] times the up [rank, n] of each
// example, of so many rows.
type lowRank struct {
	low, up    tensor
	rank, each int
}

// findLowRank finds it in a product of few steps that is used for nothing else, and the statement that it is.
func (f *function) findLowRank(value tensor, n int, seen map[string]tensor) (l lowRank, dot int, ok bool) {
	dot, ok = f.defined[value.name]
	if _, _, once := f.only(value.name); !ok || !once || f.list[dot].op != "stablehlo.dot_general" {
		return l, 0, false
	}
	m := binary.FindStringSubmatch(f.list[dot].rest)
	if m == nil || strings.Contains(m[3], "algorithm =") || m[6] != value.typ || seen[m[1]].name != "" || seen[m[2]].name != "" {
		return l, 0, false
	}
	low, okLow := parse(m[1], m[4])
	up, okUp := parse(m[2], m[5])
	p, okP := newProduct(low, up, m[3])
	if !okLow || !okUp || !okP || low.element != "f32" || up.element != "f32" {
		return l, 0, false
	}
	rank, each, of := p.k.size, p.m.size, axis{1, low.size(), up.size()}
	if len(p.batch) == 1 {
		of = p.batch[0]
	}
	if rank > mostRank || rank%8 != 0 || p.n.size != n || p.n.b != 1 || p.k.a != 1 || p.k.b != n || each > 1 && p.m.a != rank ||
		len(p.batch) > 1 || of.a != each*rank || of.b != rank*n || of.size*of.a != low.size() || of.size*of.b != up.size() {
		return l, 0, false
	}
	return lowRank{low, up, rank, each}, dot, true
}

// mostRank is the largest rank that costs nothing much beside the product that it is added to.
const mostRank = 64

// numbers are the last of a product's numbers, and arguments what follows its factors.
func (c chain) numbers() (numbers []int, arguments []tensor) {
	more := append(slices.Clone(c.more), make([]tensor, 2-len(c.more))...)
	arguments, has := given(c.scale, c.bias, more[0], more[1], c.lowRank.low, c.lowRank.up)
	return []int{c.activation, has, c.lowRank.rank, c.lowRank.each}, arguments
}
