package jinja

import "strings"

// equal compares as Python does.
func (s *state) equal(a, b value) bool {
	s.step(1)
	s.deeper()
	defer s.shallower()
	if i, f, whole, ok := number(a); ok {
		j, g, whole2, ok := number(b)
		if ok && whole && whole2 {
			return i == j
		}
		return ok && f == g
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case undefined:
		_, ok := b.(undefined)
		return ok
	case string:
		t, ok := b.(string)
		s.step(len(a) / 64)
		return ok && a == t
	case *list:
		l, ok := b.(*list)
		if !ok || a.tuple != l.tuple || len(a.items) != len(l.items) {
			return false
		}
		for i := range a.items {
			if !s.equal(a.items[i], l.items[i]) {
				return false
			}
		}
		return true
	case *dict:
		d, ok := b.(*dict)
		if !ok || len(a.keys) != len(d.keys) {
			return false
		}
		for i, k := range a.keys {
			if v, ok := d.get(k); !ok || !s.equal(a.values[i], v) {
				return false
			}
		}
		return true
	}
	return a == b // pointers
}

// less orders numbers, strings and lists.
func (s *state) less(a, b value) bool {
	s.step(1)
	s.deeper()
	defer s.shallower()
	defined(a)
	defined(b)
	if i, f, whole, ok := number(a); ok {
		if j, g, whole2, ok := number(b); ok {
			if whole && whole2 {
				return i < j
			}
			return f < g
		}
	}
	if t, ok := a.(string); ok {
		if u, ok := b.(string); ok {
			s.step(min(len(t), len(u)) / 64)
			return t < u
		}
	}
	if l, ok := a.(*list); ok {
		if m, ok := b.(*list); ok && l.tuple == m.tuple {
			for i := range min(len(l.items), len(m.items)) {
				if !s.equal(l.items[i], m.items[i]) {
					return s.less(l.items[i], m.items[i])
				}
			}
			return len(l.items) < len(m.items)
		}
	}
	fail("a %s and a %s have no order", kindOf(a), kindOf(b))
	return false
}

// number reads a number; true and false are 1 and 0. f holds it in any case.
func number(v value) (i int64, f float64, whole, ok bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, 1, true, true
		}
		return 0, 0, true, true
	case int64:
		return v, float64(v), true, true
	case float64:
		return 0, v, false, true
	}
	return 0, 0, false, false
}

// defined refuses an undefined value where Jinja does.
func defined(v value) value {
	if u, ok := v.(undefined); ok {
		fail("%s is undefined", u.name)
	}
	return v
}

func (s *state) contains(in, v value) bool {
	switch in := in.(type) {
	case undefined:
		return false
	case string:
		t, ok := v.(string)
		if !ok {
			defined(v)
			fail("a %s cannot be in a string", kindOf(v))
		}
		s.step(len(in) / 64)
		return strings.Contains(in, t)
	case *list:
		for _, item := range in.items {
			if s.equal(item, v) {
				return true
			}
		}
		return false
	case *dict:
		_, ok := in.get(v)
		return ok
	}
	fail("a %s holds nothing", kindOf(in))
	return false
}
