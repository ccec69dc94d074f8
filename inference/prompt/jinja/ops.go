package jinja

import (
	"math"
	"math/bits"
	"strings"
)

func (n negative) eval(s *state) value {
	v := defined(s.eval(n.of))
	i, f, whole, ok := number(v)
	switch {
	case !ok:
		fail("a %s has no negative", kindOf(v))
	case !whole:
		return -f
	case i == math.MinInt64:
		tooLarge()
	}
	return -i
}

func (p positive) eval(s *state) value {
	v := defined(s.eval(p.of))
	i, f, whole, ok := number(v)
	switch {
	case !ok:
		fail("a %s has no sign", kindOf(v))
	case !whole:
		return f
	}
	return i
}

// tooLarge refuses integers that Python would hold and we do not.
func tooLarge() { fail("an integer beyond 64 bits") }

func (b binary) eval(s *state) value {
	l, r := s.eval(b.left), s.eval(b.right)
	if b.op == "~" {
		x, y := s.print(l), s.print(r)
		s.make(len(x) + len(y))
		return x + y
	}
	defined(l)
	defined(r)
	i, f, whole, ok := number(l)
	j, g, whole2, ok2 := number(r)
	if ok && ok2 {
		if whole && whole2 && b.op != "/" && !(b.op == "**" && j < 0) {
			return integers(b.op, i, j)
		}
		return floats(b.op, f, g)
	}
	switch x := l.(type) {
	case string:
		if y, ok := r.(string); ok && b.op == "+" {
			s.make(len(x) + len(y))
			return x + y
		}
		if ok2 && whole2 && b.op == "*" {
			return s.repeat(x, j)
		}
		if b.op == "%" {
			fail("formatting with %% is not supported")
		}
	case *list:
		if y, ok := r.(*list); ok && x.tuple == y.tuple && b.op == "+" {
			s.make(16 * (len(x.items) + len(y.items)))
			return &list{items: append(append(make([]value, 0, len(x.items)+len(y.items)), x.items...), y.items...), tuple: x.tuple}
		}
	}
	if t, isText := r.(string); isText && ok && whole && b.op == "*" {
		return s.repeat(t, i)
	}
	fail("%s between a %s and a %s", b.op, kindOf(l), kindOf(r))
	return nil
}

func (s *state) repeat(t string, n int64) value {
	if n <= 0 || t == "" {
		return ""
	}
	if n > int64(s.made) {
		s.make(s.made + 1)
	}
	if hi, lo := bits.Mul64(uint64(n), uint64(len(t))); hi != 0 || lo > uint64(s.made) { // #nosec G115 -- neither is negative
		s.make(s.made + 1)
	}
	s.make(int(n) * len(t))
	return strings.Repeat(t, int(n))
}

func integers(op string, i, j int64) value {
	switch op {
	case "+":
		if n := i + j; (n > i) == (j > 0) {
			return n
		}
	case "-":
		if n := i - j; (n < i) == (j > 0) {
			return n
		}
	case "*":
		return times(i, j)
	case "//", "%":
		if j == 0 {
			fail("division by zero")
		}
		if i == math.MinInt64 && j == -1 {
			tooLarge()
		}
		q, r := i/j, i%j
		if r != 0 && (r < 0) != (j < 0) { // Python rounds down
			q, r = q-1, r+j
		}
		if op == "%" {
			return r
		}
		return q
	case "**":
		switch {
		case j == 0 || i == 1:
			return int64(1)
		case i == 0:
			return int64(0)
		case i == -1:
			return 1 - j%2*2
		}
		n := int64(1)
		for range min(j, 64) { // one more than fits for the smallest base
			n = times(n, i).(int64)
		}
		return n
	}
	tooLarge()
	return nil
}

func times(i, j int64) value {
	if i == 0 || j == 0 {
		return int64(0)
	}
	n := i * j
	if n/j != i || i == math.MinInt64 && j == -1 || j == math.MinInt64 && i == -1 {
		tooLarge()
	}
	return n
}

func floats(op string, f, g float64) value {
	switch op {
	case "+":
		return f + g
	case "-":
		return f - g
	case "*":
		return f * g
	case "**":
		if f == 0 && g < 0 {
			fail("division by zero")
		}
		return math.Pow(f, g)
	}
	if g == 0 {
		fail("division by zero")
	}
	switch op {
	case "//":
		return math.Floor(f / g)
	case "%":
		r := math.Mod(f, g)
		if r != 0 && (r < 0) != (g < 0) {
			r += g
		}
		return r
	}
	return f / g
}
