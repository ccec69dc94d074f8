package jinja

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

type filter func(s *state, v value, a args) value

var filters map[string]filter

func init() {
	filters = map[string]filter{
		"trim": func(s *state, v value, a args) value {
			t := s.print(v)
			return s.charged(t, s.strip(t, or(a.take("trim", 0, "chars")[0], nil), ""))
		},
		"upper":      worded("upper", upper),
		"lower":      worded("lower", lower),
		"capitalize": worded("capitalize", capitalize),
		"title":      worded("title", titleFilter),
		"string":     worded("string", func(t string) string { return t }),
		"safe":       worded("safe", func(t string) string { return t }),
		"escape":     worded("escape", escapeHTML),
		"e":          worded("e", escapeHTML),
		"replace": func(s *state, v value, a args) value {
			got := a.take("replace", 2, "old", "new", "count")
			n := int64(-1)
			if c := or(got[2], nil); c != nil {
				n = wholeOf("replace", c)
			}
			return s.replace(s.print(v), s.print(got[0]), s.print(got[1]), n)
		},
		"indent":  indent,
		"tojson":  tojson,
		"default": defaulted,
		"d":       defaulted,
		"int":     toInt,
		"float":   toFloat,
		"abs": func(s *state, v value, a args) value {
			a.take("abs", 0)
			if s.less(v, int64(0)) {
				return negative{literal{v}}.eval(s)
			}
			return positive{literal{v}}.eval(s)
		},
		"round":  rounded,
		"length": length,
		"count":  length,
	}
	for name, f := range listFilters {
		filters[name] = f
	}
}

func worded(name string, f func(string) string) filter {
	return func(s *state, v value, a args) value {
		a.take(name, 0)
		t := s.print(v)
		return s.charged(t, f(t))
	}
}

func escapeHTML(t string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;").Replace(t)
}

func indent(s *state, v value, a args) value {
	got := a.take("indent", 0, "width", "first", "blank")
	by, ok := or(got[0], int64(4)).(string)
	if !ok {
		by = s.repeat(" ", wholeOf("indent", or(got[0], int64(4)))).(string)
	}
	lines := strings.Split(strings.TrimSuffix(s.print(v)+"\n", "\n"), "\n")
	s.step(len(lines))
	for i, l := range lines {
		if (i > 0 || truth(or(got[1], false))) && (l != "" || truth(or(got[2], false)) || i == 0) {
			s.make(len(by) + len(l))
			lines[i] = by + l
		}
	}
	return s.charged("", strings.Join(lines, "\n"))
}

func tojson(s *state, v value, a args) value {
	got := a.take("tojson", 0, "ensure_ascii", "indent", "separators", "sort_keys")
	style := jsonStyle{item: ", ", key: ": ", ascii: truth(or(got[0], false)), sorted: truth(or(got[3], false))}
	switch by := or(got[1], nil).(type) {
	case nil:
	case string:
		style.indent, style.lines = by, true
	default:
		style.indent, style.lines = s.repeat(" ", wholeOf("tojson", by)).(string), true
	}
	if style.lines {
		style.item = ","
	}
	if seps := or(got[2], nil); seps != nil {
		pair := s.iterate(seps)
		if len(pair) != 2 {
			fail("separators are two strings")
		}
		style.item, style.key = textOf("tojson", pair[0]), textOf("tojson", pair[1])
	}
	s.make(len(style.item) + len(style.key))
	var b strings.Builder
	s.json(&b, v, style, 0)
	return b.String()
}

func defaulted(_ *state, v value, a args) value {
	got := a.take("default", 0, "default_value", "boolean")
	if _, missing := v.(undefined); missing || truth(or(got[1], false)) && !truth(v) {
		return or(got[0], "")
	}
	return v
}

func toInt(s *state, v value, a args) value {
	got := a.take("int", 0, "default", "base")
	if t, ok := v.(string); ok {
		t = strings.TrimFunc(t, isSpace)
		if n, err := strconv.ParseInt(strings.TrimPrefix(t, "+"), int(wholeOf("int", or(got[1], int64(10))))%37, 64); err == nil {
			return n
		}
		f, err := strconv.ParseFloat(t, 64)
		if err != nil {
			return or(got[0], int64(0))
		}
		v = f
	}
	if i, f, whole, ok := number(v); ok {
		if whole {
			return i
		}
		if math.Abs(f) < 1<<63 {
			return int64(f)
		}
	}
	return or(got[0], int64(0))
}

func toFloat(_ *state, v value, a args) value {
	other := or(a.take("float", 0, "default")[0], 0.0)
	if t, ok := v.(string); ok {
		if f, err := strconv.ParseFloat(strings.TrimFunc(t, isSpace), 64); err == nil {
			return f
		}
		return other
	}
	if _, f, _, ok := number(v); ok {
		return f
	}
	return other
}

func rounded(_ *state, v value, a args) value {
	got := a.take("round", 0, "precision", "method")
	i, f, whole, ok := number(defined(v))
	if !ok {
		fail("round needs a number, not a %s", kindOf(v))
	}
	digits := wholeOf("round", or(got[0], int64(0)))
	if digits < -15 || digits > 15 {
		fail("round to %d digits", digits)
	}
	scale := math.Pow(10, float64(digits))
	switch how := or(got[1], "common"); {
	case how == "common" && whole && digits >= 0:
		return i
	case how == "common" && whole:
		return int64(math.RoundToEven(f*scale) / scale)
	case how == "common" && digits > 0: // of the decimal digits, as Python
		f, _ = strconv.ParseFloat(strconv.FormatFloat(f, 'f', int(digits), 64), 64)
		return f
	case how == "common":
		return math.RoundToEven(f*scale) / scale
	case how == "ceil":
		return math.Ceil(f*scale) / scale
	case how == "floor":
		return math.Floor(f*scale) / scale
	}
	fail("round is common, ceil or floor")
	return nil
}

func length(s *state, v value, a args) value {
	a.take("length", 0)
	switch v := v.(type) {
	case string:
		s.step(len(v) / 64)
		return int64(runes(v))
	case *list:
		return int64(len(v.items))
	case *dict:
		return int64(len(v.keys))
	case undefined:
		return int64(0)
	}
	fail("a %s has no length", kindOf(v))
	return nil
}

// sorted sorts values that have an order.
func (s *state) sorted(all []value, key func(value) value) []value {
	s.make(32 * len(all))
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b value) int { return s.cmp(key(a), key(b)) })
	return all
}
