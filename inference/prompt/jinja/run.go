package jinja

import (
	"strings"
	"time"
	"unicode/utf8"
)

// state is one rendering.
type state struct {
	out   *strings.Builder
	scope *scope
	now   time.Time
	line  int

	steps int // left
	made  int // bytes left
	room  int // bytes of output left
	depth int
}

// scope holds the variables of a block that has its own: the template, a round of a
// loop, a macro, a with. An if has none, as in Jinja.
type scope struct {
	vars map[string]value
	up   *scope
}

func (c *scope) get(name string) (value, bool) {
	for ; c != nil; c = c.up {
		if v, ok := c.vars[name]; ok {
			return v, true
		}
	}
	return nil, false
}

// step counts n steps.
func (s *state) step(n int) {
	if s.steps -= n; s.steps < 0 {
		fail("the template takes too long")
	}
}

// make counts n bytes that are about to be made.
func (s *state) make(n int) {
	if s.made -= n; s.made < 0 || n < 0 {
		fail("the template makes too much text")
	}
}

// deeper counts a level, which the caller takes off again.
func (s *state) deeper() {
	if s.depth++; s.depth > maxDepth {
		fail("the template nests too deep")
	}
}

func (s *state) shallower() { s.depth-- }

func (s *state) write(t string) {
	if s.room -= len(t); s.room < 0 {
		fail("the template writes too much")
	}
	s.make(len(t))
	s.out.WriteString(t)
}

func (s *state) eval(e expr) value {
	s.step(1)
	s.deeper() // not deferred: after a panic the state is done with
	v := e.eval(s)
	s.depth--
	return v
}

// run executes statements until one leaves the loop.
func (s *state) run(body []stmt) leave {
	s.deeper()
	defer s.shallower()
	for _, b := range body {
		s.step(1)
		if l := b.exec(s); l != stay {
			return l
		}
	}
	return stay
}

// within runs statements in a scope of their own below up.
func (s *state) within(up *scope, vars map[string]value, body []stmt) leave {
	outer := s.scope
	s.scope = &scope{vars, up}
	l := s.run(body)
	s.scope = outer
	return l
}

// captured gives what statements write instead of writing it. A break in them leaves
// the loop around, so the text is lost with it.
func (s *state) captured(up *scope, vars map[string]value, body []stmt) (string, leave) {
	outer := s.out
	s.out = new(strings.Builder)
	l := s.within(up, vars, body)
	t := s.out.String()
	s.out = outer
	s.room += len(t)
	return t, l
}

func (t text) exec(s *state) leave {
	s.write(t.s)
	return stay
}

func (o output) exec(s *state) leave {
	s.line = o.line
	s.write(s.print(s.eval(o.of)))
	return stay
}

func (c ifs) exec(s *state) leave {
	s.line = c.line
	for i, test := range c.tests {
		if truth(s.eval(test)) {
			return s.run(c.bodies[i])
		}
	}
	if len(c.bodies) > len(c.tests) {
		return s.run(c.bodies[len(c.tests)])
	}
	return stay
}

func (j jump) exec(*state) leave { return j.leave }

func (a set) exec(s *state) leave {
	s.line = a.line
	s.assign(a.into, s.eval(a.to), s.scope.vars)
	return stay
}

func (c capture) exec(s *state) leave {
	s.line = c.line
	t, l := s.captured(s.scope, map[string]value{}, c.body)
	if l != stay {
		return l
	}
	var v value = t
	for _, f := range c.filters {
		v = f.apply(s, v)
	}
	s.assign(c.into, v, s.scope.vars)
	return stay
}

func (p piped) exec(s *state) leave {
	s.line = p.line
	t, l := s.captured(s.scope, map[string]value{}, p.body)
	if l != stay {
		return l
	}
	var v value = t
	for _, f := range p.filters {
		v = f.apply(s, v)
	}
	s.write(s.print(v))
	return stay
}

func (w scoped) exec(s *state) leave {
	vars := map[string]value{}
	for i, into := range w.into {
		s.assign(into, s.eval(w.to[i]), vars)
	}
	return s.within(s.scope, vars, w.body)
}

func (m *macro) exec(s *state) leave {
	defining := s.scope
	s.scope.vars[m.name] = &function{m.name, func(s *state, a args) value {
		vars := map[string]value{}
		outer := s.scope
		s.scope = &scope{vars, defining}
		for i, v := range a.take(m.name, 0, m.params...) {
			if v == (absent{}) {
				v = undefined{m.params[i]}
				if d := i - (len(m.params) - len(m.defaults)); d >= 0 {
					v = s.eval(m.defaults[d])
				}
			}
			vars[m.params[i]] = v
		}
		s.scope = outer
		t, _ := s.captured(defining, vars, m.body)
		return t
	}}
	return stay
}

// assign puts a value where a target says: into vars, or into a namespace.
func (s *state) assign(t target, v value, vars map[string]value) {
	switch {
	case t.parts != nil:
		got := s.iterate(v)
		if len(got) != len(t.parts) {
			fail("%d values for %d names", len(got), len(t.parts))
		}
		for i, part := range t.parts {
			s.assign(part, got[i], vars)
		}
	case t.attr != "":
		of, _ := s.scope.get(t.name)
		n, ok := of.(*namespace)
		if !ok {
			fail("%s is no namespace", t.name)
		}
		if strings.HasPrefix(t.attr, "_") {
			fail("a namespace has no attribute %s", t.attr)
		}
		n.vars[t.attr] = v
	default:
		vars[t.name] = v
	}
}

// iterate lists what a loop over v sees.
func (s *state) iterate(v value) []value {
	switch v := v.(type) {
	case undefined:
		return nil
	case *list:
		return v.items
	case *dict:
		return v.keys
	case string:
		s.make(32 * len(v))
		s.step(len(v) / 8)
		all := make([]value, 0, len(v))
		for len(v) > 0 {
			_, n := utf8.DecodeRuneInString(v)
			all, v = append(all, v[:n]), v[n:]
		}
		return all
	}
	fail("a %s cannot be iterated over", kindOf(v))
	return nil
}
