// Package jinja renders the chat templates that models are shipped with, in the dialect
// that transformers gives them: Jinja 2.11 and up with trim_blocks, lstrip_blocks, break and
// continue, generation blocks, raise_exception, strftime_now and its own tojson.
//
// A template is outside input. It is a program, so it runs under limits: every node
// evaluated, every byte made and every level of nesting is counted, and there is nothing
// to call but pure functions on the values it was given. What it may do is a subset of
// Jinja chosen from the templates in use; the rest (include, import, extends, block,
// call, recursive loops, filters and methods not listed here) is refused by name. So are
// integers beyond 64 bits, formatting with %, and functions printed.
//
// Why not a library: gonja/v2 2.9.1 was tried. A macro that calls itself overflows the
// stack, which no recover catches; x ~ x sixty times fills the memory; 1 % 0 panics; and
// none, //, %, the order of tojson and the repr of strings differ from Jinja's.
//
// The idea needed to read it: parse.go and expr.go make a tree whose nodes evaluate
// themselves against a state. A mistake is a panic of *Error, caught in Parse and Render.
package jinja

import (
	"fmt"
	"strings"
	"time"
)

// The limits. A template of the usual kind takes some fifty steps a message and copies
// each content a few times.
const (
	maxSource = 256 << 10 // bytes of a template
	maxNest   = 100       // blocks in blocks, brackets in brackets
	maxDepth  = 1000      // nodes in nodes, through macros too
	maxSteps  = 1_000_000 // nodes evaluated, values compared or copied
	maxMade   = 32 << 20  // bytes of strings and lists made, and this many times the input's
	maxRange  = 100_000   // as in Jinja's sandbox
	maxOutput = 16 << 20  // bytes, and as many as the input has
)

// Error is a mistake in a template, or its refusal of what it was given.
type Error struct {
	Line   int
	Reason string
	Raised bool // by raise_exception: the template speaks to whoever made the messages
}

func (e *Error) Error() string {
	if e.Raised {
		return e.Reason
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
}

// Template is a parsed template. It may be used by several goroutines at once.
type Template struct{ body []stmt }

// Parse reads a template.
func Parse(source string) (t *Template, err error) {
	if len(source) > maxSource {
		return nil, &Error{Line: 1, Reason: fmt.Sprintf("a template of %d bytes, more than %d", len(source), maxSource)}
	}
	line := 1
	defer caught(&err, &line)
	p := &parser{line: &line}
	p.toks = lex(source, &line)
	line = 1
	body := p.until()
	return &Template{body: body}, nil
}

// Render runs the template with variables made of nil, bool, int, float64, string, []any
// and map[string]any; now is what strftime_now tells.
func (t *Template) Render(vars map[string]any, now time.Time) (text string, err error) {
	s := &state{now: now, line: 1, out: new(strings.Builder)}
	defer caught(&err, &s.line)
	s.scope = &scope{vars: map[string]value{}, up: globals}
	size := 0
	for name, v := range vars {
		s.scope.vars[name] = from(v, &size)
	}
	s.steps, s.made, s.room = maxSteps+size, maxMade+32*min(size, 1<<30), maxOutput+size
	s.run(t.body)
	return s.out.String(), nil
}

// caught turns the panic of a mistake into an error. Any other panic is a mistake of
// ours; a template must not stop the program by it.
func caught(err *error, line *int) {
	switch r := recover().(type) {
	case nil:
	case *Error:
		if r.Line == 0 {
			r.Line = *line
		}
		*err = r
	default:
		*err = &Error{Line: *line, Reason: fmt.Sprintf("internal: %v", r)}
	}
}

func fail(format string, args ...any) {
	panic(&Error{Reason: fmt.Sprintf(format, args...)})
}
