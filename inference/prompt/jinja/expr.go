package jinja

import (
	"strconv"
	"strings"
)

var reserved = map[string]bool{"true": true, "false": true, "none": true, "True": true, "False": true, "None": true}

// expression reads one with a conditional; the methods below follow the precedence of
// Jinja's grammar, loosest first.
func (p *parser) expression() expr {
	defer p.deeper()()
	e := p.or()
	for p.skipName("if") {
		c := either{test: p.or(), then: e}
		if p.skipName("else") {
			c.other = p.expression()
		}
		e = c
	}
	return e
}

// tuple reads expressions with commas between them, or just one.
func (p *parser) tuple(conditional bool) expr {
	one := p.or
	if conditional {
		one = p.expression
	}
	e := one()
	if !p.isOp(",") {
		return e
	}
	t := items{list: []expr{e}, tuple: true}
	for p.skipOp(",") {
		if k := p.peek().kind; k == blockEnd || k == outEnd || p.isOp(")") {
			break
		}
		t.list = append(t.list, one())
	}
	return t
}

func (p *parser) or() expr {
	e := p.and()
	for p.skipName("or") {
		e = logic{false, e, p.and()}
	}
	return e
}

func (p *parser) and() expr {
	e := p.not()
	for p.skipName("and") {
		e = logic{true, e, p.not()}
	}
	return e
}

func (p *parser) not() expr {
	if p.isName("not") {
		defer p.deeper()()
		p.next()
		return not{p.not()}
	}
	return p.compare()
}

func (p *parser) compare() expr {
	c := compare{first: p.sum()}
	for {
		var o string
		switch t := p.peek(); {
		case t.kind == op && strings.Contains(" == != < <= > >= ", " "+t.text+" "), p.isName("in"):
			o = p.next().text
		case p.isName("not") && p.toks[p.at+1].kind == name && p.toks[p.at+1].text == "in":
			p.next()
			p.next()
			o = "not in"
		default:
			if c.ops == nil {
				return c.first
			}
			return c
		}
		c.ops = append(c.ops, o)
		c.rest = append(c.rest, p.sum())
	}
}

// left reads operators of one precedence.
func (p *parser) left(of func() expr, ops ...string) expr {
	e := of()
	for {
		o := ""
		for _, candidate := range ops {
			if p.isOp(candidate) {
				o = candidate
			}
		}
		if o == "" {
			return e
		}
		p.next()
		e = binary{o, e, of()}
	}
}

func (p *parser) sum() expr     { return p.left(p.concat, "+", "-") }
func (p *parser) concat() expr  { return p.left(p.product, "~") }
func (p *parser) product() expr { return p.left(p.power, "*", "/", "//", "%") }
func (p *parser) power() expr   { return p.left(func() expr { return p.unary(true) }, "**") }

func (p *parser) unary(filters bool) expr {
	defer p.deeper()()
	var e expr
	switch {
	case p.skipOp("-"):
		e = negative{p.unary(false)}
	case p.skipOp("+"):
		e = positive{p.unary(false)}
	default:
		e = p.primary()
	}
	e = p.postfix(e)
	for filters {
		switch {
		case p.skipOp("|"):
			e = p.filter(e)
		case p.isName("is"):
			e = p.test(e)
		case p.isOp("("):
			e = call{e, p.arguments()}
		default:
			return e
		}
	}
	return e
}

func (p *parser) primary() expr {
	t := p.next()
	switch {
	case t.kind == name:
		switch t.text {
		case "true", "True":
			return literal{true}
		case "false", "False":
			return literal{false}
		case "none", "None":
			return literal{nil}
		}
		return lookup{t.text}
	case t.kind == str:
		for p.peek().kind == str {
			t.text += p.next().text
		}
		return literal{t.text}
	case t.kind == integer:
		n, err := strconv.ParseInt(strings.ReplaceAll(t.text, "_", ""), 0, 64)
		if strings.Trim(t.text, "0_") == "" {
			n, err = 0, nil
		}
		if err != nil {
			fail("%s is too large", t.text)
		}
		return literal{n}
	case t.kind == float:
		f, err := strconv.ParseFloat(strings.ReplaceAll(t.text, "_", ""), 64)
		if err != nil {
			fail("%s is too large", t.text)
		}
		return literal{f}
	case t.kind == op && t.text == "(":
		if p.skipOp(")") {
			return items{tuple: true}
		}
		e := p.tuple(true)
		p.expectOp(")")
		return e
	case t.kind == op && t.text == "[":
		return items{list: p.list("]")}
	case t.kind == op && t.text == "{":
		return p.dict()
	}
	if t.kind != eof {
		p.at--
	}
	fail("expected an expression, got %s", p.seen())
	return nil
}

func (p *parser) list(end string) []expr {
	var l []expr
	for !p.skipOp(end) {
		if len(l) > 0 {
			p.expectOp(",")
			if p.skipOp(end) {
				break
			}
		}
		l = append(l, p.expression())
	}
	return l
}

func (p *parser) dict() expr {
	var d pairs
	for !p.skipOp("}") {
		if len(d.keys) > 0 {
			p.expectOp(",")
			if p.skipOp("}") {
				break
			}
		}
		d.keys = append(d.keys, p.expression())
		p.expectOp(":")
		d.values = append(d.values, p.expression())
	}
	return d
}

func (p *parser) postfix(e expr) expr {
	for {
		switch {
		case p.skipOp("."):
			if p.peek().kind == integer {
				e = index{e, p.primary()}
			} else {
				e = attr{e, p.expectName()}
			}
		case p.skipOp("["):
			e = p.subscript(e)
		case p.isOp("("):
			e = call{e, p.arguments()}
		default:
			return e
		}
	}
}

func (p *parser) subscript(of expr) expr {
	var part [3]expr
	colons := 0
	for !p.skipOp("]") {
		switch {
		case p.skipOp(":"):
			if colons++; colons > 2 {
				fail("a slice of more than three parts")
			}
		case part[colons] != nil:
			fail("expected \"]\", got %s", p.seen())
		default:
			part[colons] = p.expression()
		}
	}
	if colons > 0 {
		return slice{of, part[0], part[1], part[2]}
	}
	if part[0] == nil {
		fail("an empty subscript")
	}
	return index{of, part[0]}
}
