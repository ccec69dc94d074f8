package jinja

import (
	"regexp"
	"strings"
	"unicode"
)

type kind int

const (
	data kind = iota // text between tags
	blockBegin
	blockEnd
	outBegin
	outEnd
	name
	str
	integer
	float
	op
	eof
)

type token struct {
	kind kind
	text string // of a string: unescaped
	line int
}

var (
	tagBegin = regexp.MustCompile(`\{[%{#][-+]?`)
	rawBegin = regexp.MustCompile(`^\{%[-+]?\s*raw\s*(-%\}\s*|%\})`)
	rawEnd   = regexp.MustCompile(`\{%([-+]?)\s*endraw\s*(\+%\}|-%\}\s*|%\}\n?)`)
	floatRE  = regexp.MustCompile(`^(\d+_)*\d+((\.(\d+_)*\d+)?[eE][+-]?(\d+_)*\d+|\.(\d+_)*\d+)`)
	intRE    = regexp.MustCompile(`^(0[bB](_?[01])+|0[oO](_?[0-7])+|0[xX](_?[0-9a-fA-F])+|[1-9](_?\d)*|0(_?0)*)`)
	nameRE   = regexp.MustCompile(`^[\p{L}_][\p{L}\p{N}\p{M}_]*`)
	stringRE = regexp.MustCompile(`(?s)^('([^'\\]*(?:\\.[^'\\]*)*)'|"([^"\\]*(?:\\.[^"\\]*)*)")`)
	opRE     = regexp.MustCompile(`^(//|\*\*|==|!=|>=|<=|[-+/*%~\[\](){}><=.:|,])`)
)

// lexer cuts a source as Jinja's lexer does with trim_blocks and lstrip_blocks: the
// newline after a block is dropped, and so are the blanks between a line's start and a
// block; a minus sign in a tag strips all white space on its side, a plus sign none.
type lexer struct {
	rest     string
	line     *int
	toks     []token
	starting bool // the last piece ended a line
}

func lex(source string, line *int) []token {
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	l := &lexer{rest: strings.TrimSuffix(source, "\n"), line: line, starting: true}
	for l.rest != "" {
		l.piece()
	}
	l.add(eof, "")
	return l.toks
}

// take consumes n bytes.
func (l *lexer) take(n int) string {
	s := l.rest[:n]
	l.rest = l.rest[n:]
	*l.line += strings.Count(s, "\n")
	l.starting = strings.HasSuffix(s, "\n")
	return s
}

func (l *lexer) add(k kind, text string) {
	if k != data || text != "" {
		l.toks = append(l.toks, token{k, text, *l.line})
	}
}

// piece reads the text up to the next tag, and the tag.
func (l *lexer) piece() {
	at := tagBegin.FindStringIndex(l.rest)
	if at == nil {
		text := l.rest
		l.add(data, text)
		l.take(len(text))
		return
	}
	text, tag, starting := l.rest[:at[0]], l.rest[at[0]:at[1]], l.starting
	l.add(data, stripped(text, tag[2:], tag[1] != '{', starting))
	l.take(at[0])
	if tag[1] == '%' {
		if raw := rawBegin.FindString(l.rest); raw != "" {
			l.raw(raw)
			return
		}
	}
	l.take(len(tag))
	switch tag[1] {
	case '#':
		l.comment()
	case '%':
		l.add(blockBegin, "")
		l.inside("%}", blockEnd)
	default:
		l.add(outBegin, "")
		l.inside("}}", outEnd)
	}
}

// stripped is what a tag leaves of the text before it.
func stripped(text, sign string, block, starting bool) string {
	switch {
	case sign == "-":
		return strings.TrimRightFunc(text, isSpace)
	case sign == "" && block:
		from := strings.LastIndexByte(text, '\n') + 1
		if (from > 0 || starting) && strings.TrimLeftFunc(text[from:], isSpace) == "" {
			return text[:from]
		}
	}
	return text
}

func (l *lexer) raw(begin string) {
	l.take(len(begin))
	at := rawEnd.FindStringSubmatchIndex(l.rest)
	if at == nil {
		fail("raw without endraw")
	}
	l.add(data, stripped(l.rest[:at[0]], l.rest[at[2]:at[3]], true, l.starting))
	l.take(at[1])
}

func (l *lexer) comment() {
	end := strings.Index(l.rest, "#}")
	if end < 0 {
		fail("a comment without end")
	}
	body := l.take(end)
	l.take(2)
	l.trim(strings.HasSuffix(body, "-"), strings.HasSuffix(body, "+"), true)
}

// trim drops what a tag that has just ended takes with it.
func (l *lexer) trim(minus, plus, block bool) {
	switch {
	case minus:
		l.take(len(l.rest) - len(strings.TrimLeftFunc(l.rest, isSpace)))
	case block && !plus && strings.HasPrefix(l.rest, "\n"):
		l.take(1)
	}
}

// inside reads the tokens of a tag.
func (l *lexer) inside(end string, k kind) {
	var open []byte // brackets to be closed: the end of the tag does not count in them
	for {
		l.take(len(l.rest) - len(strings.TrimLeftFunc(l.rest, isSpace)))
		if len(open) == 0 {
			for _, sign := range []string{"-", "+", ""} {
				if sign == "+" && k == outEnd {
					continue
				}
				if strings.HasPrefix(l.rest, sign+end) {
					l.take(len(sign) + len(end))
					l.add(k, "")
					l.trim(sign == "-", sign == "+", k == blockEnd)
					return
				}
			}
		}
		switch {
		case l.rest == "":
			fail("a tag without %s", end)
		case l.match(floatRE, float), l.match(intRE, integer), l.match(nameRE, name):
		case l.rest[0] == '\'' || l.rest[0] == '"':
			s := stringRE.FindString(l.rest)
			if s == "" {
				fail("a string without end")
			}
			l.add(str, unescape(s[1:len(s)-1]))
			l.take(len(s))
		default:
			o := opRE.FindString(l.rest)
			if o == "" {
				fail("unexpected %q", []rune(l.rest)[0])
			}
			open = balance(open, o)
			l.add(op, o)
			l.take(len(o))
		}
	}
}

func (l *lexer) match(re *regexp.Regexp, k kind) bool {
	s := re.FindString(l.rest)
	if s == "" {
		return false
	}
	l.add(k, s)
	l.take(len(s))
	return true
}

var closes = map[string]byte{")": '(', "]": '[', "}": '{'}

func balance(open []byte, o string) []byte {
	switch o {
	case "(", "[", "{":
		if len(open) == maxNest {
			fail("brackets nested more than %d deep", maxNest)
		}
		return append(open, o[0])
	case ")", "]", "}":
		if len(open) == 0 || open[len(open)-1] != closes[o] {
			fail("unexpected %q", o)
		}
		return open[:len(open)-1]
	}
	return open
}

// isSpace is what Python's str.isspace and \s tell.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
