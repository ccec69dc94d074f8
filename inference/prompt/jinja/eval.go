package jinja

import "strings"

func (l literal) eval(*state) value { return l.value }

func (l lookup) eval(s *state) value {
	v, ok := s.scope.get(l.name)
	if !ok {
		return undefined(l)
	}
	return v
}

func (i items) eval(s *state) value {
	s.make(16 * len(i.list))
	l := &list{items: make([]value, len(i.list)), tuple: i.tuple}
	for n, e := range i.list {
		l.items[n] = s.eval(e)
	}
	return l
}

func (p pairs) eval(s *state) value {
	s.make(64 * len(p.keys))
	d := newDict(len(p.keys))
	for i, k := range p.keys {
		d.set(defined(s.eval(k)), s.eval(p.values[i]))
	}
	return d
}

func (e either) eval(s *state) value {
	if truth(s.eval(e.test)) {
		return s.eval(e.then)
	}
	if e.other == nil {
		return undefined{"the value of an if without else"}
	}
	return s.eval(e.other)
}

func (l logic) eval(s *state) value {
	if v := s.eval(l.left); truth(v) != l.and {
		return v
	}
	return s.eval(l.right)
}

func (n not) eval(s *state) value { return !truth(s.eval(n.of)) }

func (c compare) eval(s *state) value {
	left := s.eval(c.first)
	for i, o := range c.ops {
		right := s.eval(c.rest[i])
		if !s.holds(o, left, right) {
			return false
		}
		left = right
	}
	return true
}

func (s *state) holds(o string, a, b value) bool {
	switch o {
	case "==":
		return s.equal(a, b)
	case "!=":
		return !s.equal(a, b)
	case "<":
		return s.less(a, b)
	case ">":
		return s.less(b, a)
	case "<=":
		return s.less(a, b) || s.equal(a, b)
	case ">=":
		return s.less(b, a) || s.equal(a, b)
	case "in":
		return s.contains(b, a)
	}
	return !s.contains(b, a)
}

func (a attr) eval(s *state) value { return s.attr(s.eval(a.of), a.name) }

// attr is a dot: an attribute or method first, then a key.
func (s *state) attr(of value, name string) value {
	switch v := defined(of).(type) {
	case *namespace:
		if got, ok := v.vars[name]; ok {
			return got
		}
	case *round:
		return v.attr(name)
	default:
		if m := method(of, name); m != nil {
			return m
		}
		if d, ok := of.(*dict); ok {
			if got, ok := d.get(name); ok {
				return got
			}
		}
	}
	return undefined{name}
}

func (i index) eval(s *state) value { return s.item(s.eval(i.of), s.eval(i.at)) }

// item is a subscript: a key or place first, then an attribute.
func (s *state) item(of, at value) value {
	defined(of)
	missing := undefined{s.print(at)}
	switch v := of.(type) {
	case *dict:
		if _, isList := at.(*list); isList {
			return missing
		}
		if got, ok := v.get(defined(at)); ok {
			return got
		}
	case *list:
		if n, _, whole, ok := number(at); ok && whole {
			if n < 0 {
				n += int64(len(v.items))
			}
			if n < 0 || n >= int64(len(v.items)) {
				return missing
			}
			return v.items[n]
		}
	case string:
		if n, _, whole, ok := number(at); ok && whole {
			r := s.runes(v)
			if n < 0 {
				n += int64(len(r))
			}
			if n < 0 || n >= int64(len(r)) {
				return missing
			}
			return string(r[n])
		}
	}
	if name, ok := at.(string); ok {
		return s.attr(of, name)
	}
	return missing
}

func (c slice) eval(s *state) value {
	of := defined(s.eval(c.of))
	switch v := of.(type) {
	case string:
		all := s.runes(v)
		var b strings.Builder
		c.each(s, len(all), func(i int) { b.WriteRune(all[i]) })
		s.make(b.Len())
		return b.String()
	case *list:
		got := &list{tuple: v.tuple}
		c.each(s, len(v.items), func(i int) { got.items = append(got.items, v.items[i]) })
		s.make(16 * len(got.items))
		return got
	}
	fail("a %s has no slices", kindOf(of))
	return nil
}

// each calls f with the places that the slice takes of a sequence of n.
func (c slice) each(s *state, n int, f func(int)) {
	step, low, high := 1, 0, n // low and high: where the ends may lie
	from, to := 0, n
	if c.step != nil {
		step = s.place(c.step, 0, 1)
	}
	switch {
	case step == 0:
		fail("a slice of step 0")
	case step < 0:
		low, high, from, to = -1, n-1, n-1, -1
	}
	from = max(low, min(s.place(c.from, n, from), high))
	to = max(low, min(s.place(c.to, n, to), high))
	s.step(max(to-from, from-to) / 64)
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		f(i)
		if step > n || step < -n { // and so that i cannot run over
			return
		}
	}
}

// place reads a part of a slice; one below 0 counts from n.
func (s *state) place(e expr, n, other int) int {
	if e == nil {
		return other
	}
	v := defined(s.eval(e))
	if v == nil {
		return other
	}
	at, _, whole, ok := number(v)
	if !ok || !whole {
		fail("a slice from a %s", kindOf(v))
	}
	if at < 0 {
		at += int64(n)
	}
	return int(at)
}

func (s *state) runes(t string) []rune {
	s.make(4 * len(t))
	s.step(len(t) / 64)
	return []rune(t)
}

func (c call) eval(s *state) value {
	of := defined(s.eval(c.of))
	f, ok := of.(*function)
	if !ok {
		fail("a %s cannot be called", kindOf(of))
	}
	return f.call(s, c.args.eval(s))
}

func (a arguments) eval(s *state) args {
	got := args{names: a.names}
	for _, e := range a.pos {
		got.pos = append(got.pos, s.eval(e))
	}
	for _, e := range a.named {
		got.named = append(got.named, s.eval(e))
	}
	return got
}

func (f filtered) eval(s *state) value { return f.apply(s, s.eval(f.of)) }

func (f filtered) apply(s *state, v value) value {
	return filters[f.name](s, v, f.args.eval(s))
}

func (t tested) eval(s *state) value {
	return tests[t.name](s, s.eval(t.of), t.args.eval(s))
}
