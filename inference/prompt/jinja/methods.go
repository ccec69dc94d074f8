package jinja

import (
	"strings"
	"unicode"
)

// The methods of Python's str, dict and list that change nothing. The others, such as
// append and update, are refused by Jinja's sandbox too.

type stringMethod func(s *state, t string, a args) value

var stringMethods map[string]stringMethod

func init() { // not a literal: they refer to what refers to them
	stringMethods = map[string]stringMethod{
		"strip":  stripper(""),
		"lstrip": stripper("l"),
		"rstrip": stripper("r"),
		"split":  splitter(false),
		"rsplit": splitter(true),
		"splitlines": func(s *state, t string, a args) value {
			a.take("splitlines", 0)
			s.step(len(t))
			lines := splitLines(t)
			s.make(32 * len(lines))
			return &list{items: lines}
		},
		"startswith": fixed(strings.HasPrefix),
		"endswith":   fixed(strings.HasSuffix),
		"removeprefix": func(s *state, t string, a args) value {
			return s.charged(t, strings.TrimPrefix(t, textOf("removeprefix", a.take("removeprefix", 1, "prefix")[0])))
		},
		"removesuffix": func(s *state, t string, a args) value {
			return s.charged(t, strings.TrimSuffix(t, textOf("removesuffix", a.take("removesuffix", 1, "suffix")[0])))
		},
		"replace":    replaceMethod,
		"upper":      mapped("upper", upper),
		"lower":      mapped("lower", lower),
		"title":      mapped("title", title),
		"capitalize": mapped("capitalize", capitalize),
		"find":       finder(strings.Index),
		"rfind":      finder(strings.LastIndex),
		"count": func(s *state, t string, a args) value {
			of := textOf("count", a.take("count", 1, "sub")[0])
			s.step(len(t)/64 + 1)
			return int64(strings.Count(t, of))
		},
		"join": func(s *state, t string, a args) value {
			all := s.iterate(a.take("join", 1, "iterable")[0])
			for _, v := range all {
				textOf("join", v)
			}
			return s.join(all, t)
		},
		"partition":  partition(strings.Index, false),
		"rpartition": partition(strings.LastIndex, true),
		"isdigit":    asked(func(t string) bool { return every(t, unicode.IsDigit) }),
		"isnumeric":  asked(func(t string) bool { return every(t, unicode.IsNumber) }),
		"isalpha":    asked(func(t string) bool { return every(t, unicode.IsLetter) }),
		"isalnum": asked(func(t string) bool {
			return every(t, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) })
		}),
		"isspace": asked(func(t string) bool { return every(t, isSpace) }),
		"isupper": asked(func(t string) bool { return cased(t, unicode.IsLower, unicode.IsUpper) }),
		"islower": asked(func(t string) bool { return cased(t, unicode.IsUpper, unicode.IsLower) }),
	}
}

func stripper(side string) stringMethod {
	return func(s *state, t string, a args) value {
		return s.charged(t, s.strip(t, or(a.take("strip", 0, "chars")[0], nil), side))
	}
}

func splitter(right bool) stringMethod {
	return func(s *state, t string, a args) value {
		got := a.take("split", 0, "sep", "maxsplit")
		return s.split(t, or(got[0], nil), wholeOf("split", or(got[1], int64(-1))), right)
	}
}

func fixed(has func(t, fix string) bool) stringMethod {
	return func(s *state, t string, a args) value {
		v := a.take("startswith", 1, "prefix")[0]
		if l, ok := v.(*list); ok && l.tuple {
			for _, item := range l.items {
				s.step(1)
				if has(t, textOf("startswith", item)) {
					return true
				}
			}
			return false
		}
		return has(t, textOf("startswith", v))
	}
}

func replaceMethod(s *state, t string, a args) value {
	got := a.take("replace", 2, "old", "new", "count")
	return s.replace(t, textOf("replace", got[0]), textOf("replace", got[1]), wholeOf("replace", or(got[2], int64(-1))))
}

// replace counts what it is about to make before it makes it.
func (s *state) replace(t, old, by string, n int64) string {
	times := int64(strings.Count(t, old))
	if n >= 0 {
		times = min(times, n)
	}
	s.step(len(t)/64 + 1)
	s.make(len(t))
	s.make(int(times) * len(by))
	return strings.Replace(t, old, by, int(times))
}

func mapped(name string, f func(string) string) stringMethod {
	return func(s *state, t string, a args) value {
		a.take(name, 0)
		return s.charged(t, f(t))
	}
}

func asked(f func(string) bool) stringMethod {
	return func(s *state, t string, a args) value {
		a.take("a method", 0)
		s.step(len(t) / 64)
		return f(t)
	}
}

// finder counts in characters.
func finder(index func(t, of string) int) stringMethod {
	return func(s *state, t string, a args) value {
		at := index(t, textOf("find", a.take("find", 1, "sub")[0]))
		s.step(len(t)/64 + 1)
		if at < 0 {
			return int64(-1)
		}
		return int64(runes(t[:at]))
	}
}

func partition(index func(t, of string) int, last bool) stringMethod {
	return func(s *state, t string, a args) value {
		sep := textOf("partition", a.take("partition", 1, "sep")[0])
		if sep == "" {
			fail("partition by an empty string")
		}
		s.step(len(t)/64 + 1)
		parts := []value{t, "", ""}
		if at := index(t, sep); at >= 0 {
			parts = []value{t[:at], sep, t[at+len(sep):]}
		} else if last {
			parts = []value{"", "", t}
		}
		return &list{items: parts, tuple: true}
	}
}

// method finds a method of a value, nil if it has none of that name.
func method(of value, name string) value {
	switch v := of.(type) {
	case string:
		if m := stringMethods[name]; m != nil {
			return &function{name, func(s *state, a args) value { return m(s, v, a) }}
		}
	case *dict:
		if m := dictMethods[name]; m != nil {
			return &function{name, func(s *state, a args) value { return m(s, v, a) }}
		}
	case *list:
		if m := listMethods[name]; m != nil {
			return &function{name, func(s *state, a args) value { return m(s, v, a) }}
		}
	}
	return nil
}

var dictMethods = map[string]func(s *state, d *dict, a args) value{
	"get": func(_ *state, d *dict, a args) value {
		got := a.take("get", 1, "key", "default")
		if v, ok := d.get(defined(got[0])); ok {
			return v
		}
		return or(got[1], nil)
	},
	"items": func(s *state, d *dict, a args) value { a.take("items", 0); return s.entries(d) },
	"keys": func(s *state, d *dict, a args) value {
		a.take("keys", 0)
		return &list{items: d.keys}
	},
	"values": func(s *state, d *dict, a args) value {
		a.take("values", 0)
		s.make(16 * len(d.values))
		return &list{items: append([]value{}, d.values...)}
	},
	"copy": func(_ *state, d *dict, a args) value { a.take("copy", 0); return d },
}

// entries lists a dict's pairs.
func (s *state) entries(d *dict) value {
	s.make(64 * len(d.keys))
	l := &list{}
	for i, k := range d.keys {
		l.items = append(l.items, &list{items: []value{k, d.values[i]}, tuple: true})
	}
	return l
}

var listMethods = map[string]func(s *state, l *list, a args) value{
	"index": func(s *state, l *list, a args) value {
		v := a.take("index", 1, "value")[0]
		for i, item := range l.items {
			if s.equal(item, v) {
				return int64(i)
			}
		}
		fail("the value is not in the list")
		return nil
	},
	"count": func(s *state, l *list, a args) value {
		v, n := a.take("count", 1, "value")[0], int64(0)
		for _, item := range l.items {
			if s.equal(item, v) {
				n++
			}
		}
		return n
	},
	"copy": func(_ *state, l *list, a args) value { a.take("copy", 0); return l },
}
