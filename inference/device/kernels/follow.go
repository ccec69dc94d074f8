package kernels

// What follows a product, by the numbers of matmul.h.
const (
	identity = iota
	relu
	gelu
	silu
)

// chain is what is done to each element of a product: activation(y·scale + bias + more).
type chain struct {
	scale, bias tensor
	more        []tensor
	activation  int
	last        int    // the statement that does the last of it
	typ         string // of what that defines
}

// follow finds what is done to a product whose last axis has n elements, as long as
// nothing else uses what comes between, and no other product has taken it: of two that
// are added, the first one adds the other.
func (f *function) follow(at int, typ string, n int) chain {
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

// numbers are the last of a product's numbers, and arguments what follows its factors.
func (c chain) numbers() (numbers []int, arguments []tensor) {
	arguments, has := given(append([]tensor{c.scale, c.bias}, c.more...)...)
	return []int{c.activation, has}, arguments
}
