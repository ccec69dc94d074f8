package jinja

import "unicode"

type test func(s *state, v value, a args) bool

var tests map[string]test

func init() {
	tests = map[string]test{
		"defined":   plain(func(v value) bool { _, u := v.(undefined); return !u }),
		"undefined": plain(func(v value) bool { _, u := v.(undefined); return u }),
		"none":      plain(func(v value) bool { return v == nil }),
		"boolean":   plain(func(v value) bool { _, ok := v.(bool); return ok }),
		"true":      plain(func(v value) bool { b, ok := v.(bool); return ok && b }),
		"false":     plain(func(v value) bool { b, ok := v.(bool); return ok && !b }),
		"integer":   plain(func(v value) bool { _, ok := v.(int64); return ok }),
		"float":     plain(func(v value) bool { _, ok := v.(float64); return ok }),
		"number":    plain(func(v value) bool { _, _, _, ok := number(v); return ok }),
		"string":    plain(func(v value) bool { _, ok := v.(string); return ok }),
		"mapping":   plain(func(v value) bool { _, ok := v.(*dict); return ok }),
		"callable":  plain(isCallable),
		"sequence":  plain(isSequence),
		"iterable":  plain(isSequence),
		"odd":       plain(func(v value) bool { return integers("%", wholeOf("odd", v), 2) == int64(1) }),
		"even":      plain(func(v value) bool { return integers("%", wholeOf("even", v), 2) == int64(0) }),
		"lower":     func(s *state, v value, a args) bool { return cased(s.print(v), unicode.IsUpper, unicode.IsLower) },
		"upper":     func(s *state, v value, a args) bool { return cased(s.print(v), unicode.IsLower, unicode.IsUpper) },
		"divisibleby": func(_ *state, v value, a args) bool {
			return integers("%", wholeOf("divisibleby", v), wholeOf("divisibleby", a.take("divisibleby", 1, "num")[0])) == int64(0)
		},
		"sameas": func(s *state, v value, a args) bool {
			other := a.take("sameas", 1, "other")[0]
			return kindOf(v) == kindOf(other) && s.equal(v, other)
		},
		"in": func(s *state, v value, a args) bool { return s.contains(a.take("in", 1, "seq")[0], v) },
	}
	for o, names := range map[string][]string{"==": {"eq", "equalto"}, "!=": {"ne"}, "<": {"lt", "lessthan"},
		"<=": {"le"}, ">": {"gt", "greaterthan"}, ">=": {"ge"}} {
		for _, name := range names {
			tests[name] = func(s *state, v value, a args) bool { return s.holds(o, v, a.take(name, 1, "other")[0]) }
		}
	}
}

func plain(f func(value) bool) test {
	return func(_ *state, v value, a args) bool {
		a.take("a test", 0)
		return f(v)
	}
}

// isSequence holds for undefined values as well, which iterate over nothing.
func isSequence(v value) bool {
	switch v.(type) {
	case string, *list, *dict, undefined:
		return true
	}
	return false
}

// isCallable holds for undefined values too, which have the means to complain of it.
func isCallable(v value) bool {
	switch v.(type) {
	case *function, undefined:
		return true
	}
	return false
}
