package jinja

import "strings"

type parser struct {
	toks  []token
	at    int
	line  *int
	nest  int
	loops int
}

func (p *parser) peek() token { return p.toks[p.at] }

func (p *parser) next() token {
	t := p.toks[p.at]
	*p.line = t.line
	if t.kind != eof {
		p.at++
	}
	return t
}

func (p *parser) isOp(o string) bool   { return p.peek().kind == op && p.peek().text == o }
func (p *parser) isName(n string) bool { return p.peek().kind == name && p.peek().text == n }

func (p *parser) skipOp(o string) bool {
	if p.isOp(o) {
		p.next()
		return true
	}
	return false
}

func (p *parser) skipName(n string) bool {
	if p.isName(n) {
		p.next()
		return true
	}
	return false
}

func (p *parser) expectOp(o string) {
	if !p.skipOp(o) {
		fail("expected %q, got %s", o, p.seen())
	}
}

func (p *parser) expectName() string {
	if p.peek().kind != name {
		fail("expected a name, got %s", p.seen())
	}
	return p.next().text
}

func (p *parser) end() {
	if p.peek().kind != blockEnd {
		fail("expected the end of the tag, got %s", p.seen())
	}
	p.next()
}

func (p *parser) seen() string {
	*p.line = p.peek().line
	switch t := p.peek(); t.kind {
	case eof:
		return "the end of the template"
	case blockEnd, outEnd:
		return "the end of the tag"
	default:
		return "\"" + t.text + "\""
	}
}

func (p *parser) deeper() func() {
	if p.nest++; p.nest > maxNest {
		fail("nested more than %d deep", maxNest)
	}
	return func() { p.nest-- }
}

// until reads statements up to a tag of one of these names, which it leaves as the next
// token; with none, up to the end.
func (p *parser) until(ends ...string) []stmt {
	defer p.deeper()()
	var body []stmt
	for {
		t := p.next()
		switch t.kind {
		case data:
			body = append(body, text{t.text})
		case outBegin:
			e := p.tuple(true)
			if p.peek().kind != outEnd {
				fail("expected the end of the expression, got %s", p.seen())
			}
			p.next()
			body = append(body, output{e, t.line})
		case blockBegin:
			if p.peek().kind != name {
				fail("expected the name of a tag, got %s", p.seen())
			}
			for _, e := range ends {
				if p.isName(e) {
					return body
				}
			}
			body = append(body, p.statement(t.line))
		default: // eof
			if len(ends) > 0 {
				fail("the template ends before %s", strings.Join(ends, " or "))
			}
			return body
		}
	}
}

func (p *parser) statement(line int) stmt {
	switch tag := p.next().text; tag {
	case "if":
		return p.ifs(line)
	case "for":
		return p.loop(line)
	case "set":
		return p.set(line)
	case "macro":
		return p.macro()
	case "with":
		return p.with()
	case "filter":
		return p.piped(line)
	case "generation":
		p.end()
		body := p.until("endgeneration")
		p.next()
		p.end()
		return scoped{body: body}
	case "break", "continue":
		if p.loops == 0 {
			fail("%s outside of a loop", tag)
		}
		p.end()
		if tag == "break" {
			return jump{leaveLoop}
		}
		return jump{leaveRound}
	default:
		fail("the tag %q is not supported in a chat template", tag)
		return nil
	}
}

func (p *parser) ifs(line int) stmt {
	s := ifs{line: line}
	for {
		s.tests = append(s.tests, p.tuple(false))
		p.end()
		s.bodies = append(s.bodies, p.until("elif", "else", "endif"))
		switch p.next().text {
		case "elif":
			continue
		case "else":
			p.end()
			s.bodies = append(s.bodies, p.until("endif"))
			p.next()
		}
		p.end()
		return s
	}
}

func (p *parser) loop(line int) stmt {
	s := loop{line: line, into: p.target(false)}
	if !p.skipName("in") {
		fail("expected in, got %s", p.seen())
	}
	s.over = p.tuple(false)
	if p.skipName("if") {
		s.where = p.expression()
	}
	if p.isName("recursive") {
		fail("recursive loops are not supported")
	}
	p.end()
	p.loops++
	s.body = p.until("else", "endfor")
	p.loops--
	if p.next().text == "else" {
		p.end()
		s.none = p.until("endfor")
		p.next()
	}
	p.end()
	return s
}

// target reads a name, several with commas, or, in a set, an attribute of a namespace.
func (p *parser) target(attrs bool) target {
	one := func() target {
		defer p.deeper()()
		if p.skipOp("(") {
			t := p.target(attrs)
			p.expectOp(")")
			return t
		}
		t := target{name: p.expectName()}
		if reserved[t.name] {
			fail("%s cannot be assigned to", t.name)
		}
		if attrs && p.skipOp(".") {
			t.attr = p.expectName()
		}
		return t
	}
	t := one()
	if !p.isOp(",") {
		return t
	}
	many := target{parts: []target{t}}
	for p.skipOp(",") {
		if p.peek().kind != name && !p.isOp("(") || p.isName("in") {
			break
		}
		many.parts = append(many.parts, one())
	}
	return many
}

func (p *parser) set(line int) stmt {
	into := p.target(true)
	if p.skipOp("=") {
		s := set{into, p.tuple(true), line}
		p.end()
		return s
	}
	if into.parts != nil {
		fail("expected \"=\", got %s", p.seen())
	}
	c := capture{into: into, line: line}
	for p.skipOp("|") {
		c.filters = append(c.filters, p.filter(nil))
	}
	p.end()
	c.body = p.until("endset")
	p.next()
	p.end()
	return c
}

func (p *parser) piped(line int) stmt {
	s := piped{line: line, filters: []filtered{p.filter(nil)}}
	for p.skipOp("|") {
		s.filters = append(s.filters, p.filter(nil))
	}
	p.end()
	s.body = p.until("endfilter")
	p.next()
	p.end()
	return s
}

func (p *parser) with() stmt {
	var s scoped
	for p.peek().kind != blockEnd {
		if len(s.into) > 0 {
			p.expectOp(",")
		}
		s.into = append(s.into, p.target(false))
		p.expectOp("=")
		s.to = append(s.to, p.expression())
	}
	p.end()
	s.body = p.until("endwith")
	p.next()
	p.end()
	return s
}

func (p *parser) macro() stmt {
	m := &macro{name: p.expectName()}
	p.expectOp("(")
	for !p.skipOp(")") {
		if len(m.params) > 0 {
			p.expectOp(",")
		}
		m.params = append(m.params, p.expectName())
		if p.skipOp("=") {
			m.defaults = append(m.defaults, p.expression())
		} else if m.defaults != nil {
			fail("a parameter without a default after one with")
		}
	}
	p.end()
	outer := p.loops
	p.loops = 0
	m.body = p.until("endmacro")
	p.loops = outer
	p.next()
	p.end()
	return m
}
