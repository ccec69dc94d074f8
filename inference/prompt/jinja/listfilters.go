package jinja

import (
	"slices"
	"strings"
)

// The filters that take or give lists. Where Jinja gives a generator these give a list.
var listFilters = map[string]filter{
	"list": func(s *state, v value, a args) value {
		a.take("list", 0)
		return s.listOf(s.iterate(v))
	},
	"first": func(s *state, v value, a args) value {
		a.take("first", 0)
		if all := s.iterate(v); len(all) > 0 {
			return all[0]
		}
		return undefined{"the first item of nothing"}
	},
	"last": func(s *state, v value, a args) value {
		a.take("last", 0)
		if all := s.iterate(v); len(all) > 0 {
			return all[len(all)-1]
		}
		return undefined{"the last item of nothing"}
	},
	"join": func(s *state, v value, a args) value {
		got := a.take("join", 0, "d", "attribute")
		all := s.iterate(v)
		if at := or(got[1], nil); at != nil {
			all = s.each(all, func(item value) value { return s.path(item, at) })
		}
		return s.join(all, s.print(or(got[0], "")))
	},
	"reverse": func(s *state, v value, a args) value {
		a.take("reverse", 0)
		all := slices.Clone(s.iterate(v))
		s.make(16 * len(all))
		slices.Reverse(all)
		if _, ok := v.(string); ok {
			return s.join(all, "")
		}
		return &list{items: all}
	},
	"items": func(s *state, v value, a args) value {
		a.take("items", 0)
		switch v := v.(type) {
		case undefined:
			return &list{}
		case *dict:
			return s.entries(v)
		}
		fail("items of a %s", kindOf(v))
		return nil
	},
	"dictsort": func(s *state, v value, a args) value {
		got := a.take("dictsort", 0, "case_sensitive", "by", "reverse")
		d, ok := v.(*dict)
		if !ok {
			fail("dictsort of a %s", kindOf(v))
		}
		by := int64(0)
		if or(got[1], "key") == "value" {
			by = 1
		}
		all := s.sorted(s.entries(d).(*list).items, func(e value) value {
			return s.folded(e.(*list).items[by], truth(or(got[0], false)))
		})
		if truth(or(got[2], false)) {
			slices.Reverse(all)
		}
		return &list{items: all}
	},
	"sort": func(s *state, v value, a args) value {
		got := a.take("sort", 0, "reverse", "case_sensitive", "attribute")
		all := s.sorted(s.iterate(v), func(item value) value {
			if at := or(got[2], nil); at != nil {
				item = s.path(item, at)
			}
			return s.folded(item, truth(or(got[1], false)))
		})
		if truth(or(got[0], false)) {
			slices.Reverse(all)
		}
		return &list{items: all}
	},
	"unique": func(s *state, v value, a args) value {
		a.take("unique", 0)
		seen, kept := map[any]bool{}, []value(nil)
		for _, item := range s.iterate(v) {
			s.step(1)
			if h := hash(s.folded(item, false)); !seen[h] {
				seen[h] = true
				kept = append(kept, item)
			}
		}
		return s.listOf(kept)
	},
	"sum": func(s *state, v value, a args) value {
		got := a.take("sum", 0, "attribute", "start")
		total := or(got[1], int64(0))
		for _, item := range s.iterate(v) {
			if at := or(got[0], nil); at != nil {
				item = s.path(item, at)
			}
			total = binary{"+", literal{total}, literal{item}}.eval(s)
		}
		return total
	},
	"min":        func(s *state, v value, a args) value { return s.extreme("min", v, a, -1) },
	"max":        func(s *state, v value, a args) value { return s.extreme("max", v, a, 1) },
	"map":        mapping,
	"select":     picking(false, true),
	"reject":     picking(false, false),
	"selectattr": picking(true, true),
	"rejectattr": picking(true, false),
}

func (s *state) listOf(all []value) value {
	s.make(16 * len(all))
	return &list{items: slices.Clone(all)}
}

func (s *state) each(all []value, f func(value) value) []value {
	s.make(16 * len(all))
	got := make([]value, len(all))
	for i, v := range all {
		s.step(1)
		got[i] = f(v)
	}
	return got
}

// path follows an attribute like "a.b" or 0.
func (s *state) path(v, at value) value {
	names, ok := at.(string)
	if !ok {
		return s.item(v, at)
	}
	for _, name := range strings.Split(names, ".") {
		s.step(1)
		v = s.item(v, name)
	}
	return v
}

// folded lowers strings, by which Jinja sorts unless told otherwise.
func (s *state) folded(v value, caseSensitive bool) value {
	if t, ok := v.(string); ok && !caseSensitive {
		s.step(len(t) / 64)
		return lower(t)
	}
	return v
}

func (s *state) extreme(name string, v value, a args, sign int) value {
	a.take(name, 0)
	all := s.iterate(v)
	if len(all) == 0 {
		return undefined{"the " + name + " of nothing"}
	}
	best := all[0]
	for _, item := range all[1:] {
		if s.cmp(s.folded(item, false), s.folded(best, false)) == sign {
			best = item
		}
	}
	return best
}

// mapping is map(attribute="a", default=…) or map("filter", arguments…).
func mapping(s *state, v value, a args) value {
	all := s.iterate(v)
	if len(a.pos) == 0 {
		got := a.take("map", 1, "attribute", "default")
		return &list{items: s.each(all, func(item value) value {
			at := s.path(item, got[0])
			if _, missing := at.(undefined); missing {
				return or(got[1], at)
			}
			return at
		})}
	}
	name := textOf("map", a.pos[0])
	f := filters[name]
	if f == nil {
		fail("the filter %q is not supported in a chat template", name)
	}
	rest := args{a.pos[1:], a.names, a.named}
	s.deeper()
	defer s.shallower()
	return &list{items: s.each(all, func(item value) value { return f(s, item, rest) })}
}

// picking keeps the items, by attribute or whole, for which a test holds or does not.
func picking(byAttr, holds bool) filter {
	return func(s *state, v value, a args) value {
		var at value
		if byAttr {
			if len(a.pos) == 0 {
				fail("selectattr needs an attribute")
			}
			at, a.pos = a.pos[0], a.pos[1:]
		}
		pass := func(v value) bool { return truth(v) }
		if len(a.pos) > 0 {
			name := textOf("select", a.pos[0])
			if o := map[string]string{"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}[name]; o != "" {
				name = o
			}
			t := tests[name]
			if t == nil {
				fail("the test %q is not supported in a chat template", name)
			}
			rest := args{a.pos[1:], a.names, a.named}
			pass = func(v value) bool { return t(s, v, rest) }
		}
		var kept []value
		for _, item := range s.iterate(v) {
			s.step(1)
			of := item
			if byAttr {
				of = s.path(item, at)
			}
			if pass(of) == holds {
				kept = append(kept, item)
			}
		}
		s.make(16 * len(kept))
		return &list{items: kept}
	}
}
