package jinja

func (p *parser) arguments() arguments {
	var a arguments
	p.expectOp("(")
	for first := true; !p.skipOp(")"); first = false {
		if !first {
			p.expectOp(",")
			if p.skipOp(")") {
				break
			}
		}
		if next := p.toks[p.at+1]; p.peek().kind == name && next.kind == op && next.text == "=" {
			a.names = append(a.names, p.next().text)
			p.next()
			a.named = append(a.named, p.expression())
			continue
		}
		if a.named != nil {
			fail("an argument without a name after one with")
		}
		a.pos = append(a.pos, p.expression())
	}
	return a
}

func (p *parser) filter(of expr) filtered {
	f := filtered{of: of, name: p.expectName()}
	if filters[f.name] == nil {
		fail("the filter %q is not supported in a chat template", f.name)
	}
	if p.isOp("(") {
		f.args = p.arguments()
	}
	return f
}

// test reads "is [not] name", with an argument in brackets or without.
func (p *parser) test(of expr) expr {
	p.next()
	negated := p.skipName("not")
	t := tested{of: of, name: p.expectName()}
	if tests[t.name] == nil {
		fail("the test %q is not supported in a chat template", t.name)
	}
	switch k := p.peek().kind; {
	case p.isOp("("):
		t.args = p.arguments()
	case (k == name || k == str || k == integer || k == float || p.isOp("[") || p.isOp("{")) &&
		!p.isName("else") && !p.isName("or") && !p.isName("and") && !p.isName("if") && !p.isName("is") && !p.isName("not") && !p.isName("in"):
		t.args.pos = []expr{p.postfix(p.primary())}
	}
	if negated {
		return not{t}
	}
	return t
}
