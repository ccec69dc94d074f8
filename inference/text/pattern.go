package text

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"

	"lorikeet/adapters/invalid"
)

// A pattern finds stretches of text, from left to right and none twice. It stops
// and returns false as soon as yield does.
type pattern interface {
	each(s string, yield func(start, end int) bool) bool
}

// parsePattern reads {"String": …} or {"Regex": …}. The expressions of well-known
// tokenizers have code of their own; any other runs in a backtracking engine,
// because such expressions look ahead.
func parsePattern(raw json.RawMessage, field string) (pattern, error) {
	var p struct{ String, Regex *string }
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, invalid.Field(field, "%v", err)
	}
	switch {
	case p.String != nil && *p.String != "":
		return literal(*p.String), nil
	case p.Regex == nil || *p.Regex == "":
		return nil, invalid.Field(field, "must hold a String or a Regex")
	case *p.Regex == " {2,}":
		return blanks{}, nil
	case scanners[*p.Regex] != nil:
		return scanners[*p.Regex], nil
	case len(*p.Regex) > maxExpression:
		return nil, invalid.Field(field, "is longer than %d bytes", maxExpression)
	}
	re, err := regexp2.Compile(dialect(*p.Regex), regexp2.None)
	if err != nil {
		return nil, invalid.Field(field, "%.80q: %v", *p.Regex, err)
	}
	re.MatchTimeout = matchTime
	return expression{re}, nil
}

// dialect rewrites \w and \W, which in the engine of the reference take in all
// marks. Classes still differ for code points younger than the tables of Go.
func dialect(re string) string {
	const word = `\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}`
	var b strings.Builder
	class := 0 // how many [ are open
	for i := 0; i < len(re); i++ {
		switch c := re[i]; {
		case c == '[':
			class++
		case c == ']' && class > 0:
			class--
		case c == '\\' && i+1 < len(re):
			i++
			switch {
			case re[i] == 'w' && class > 0:
				b.WriteString(word)
			case re[i] == 'w':
				b.WriteString("[" + word + "]")
			case re[i] == 'W' && class == 0:
				b.WriteString("[^" + word + "]")
			default:
				b.WriteString(re[i-1 : i+1])
			}
			continue
		}
		b.WriteByte(re[i])
	}
	return b.String()
}

const (
	maxExpression = 10_000
	// matchTime is how long one match may take. A text on which an expression
	// explodes is left unmatched from there on.
	matchTime = 200 * time.Millisecond
)

// literal is a text that stands for itself.
type literal string

func (l literal) each(s string, yield func(start, end int) bool) bool {
	for at := 0; ; {
		i := strings.Index(s[at:], string(l))
		if i < 0 {
			return true
		}
		if !yield(at+i, at+i+len(l)) {
			return false
		}
		at += i + len(l)
	}
}

// blanks is two or more spaces in a row.
type blanks struct{}

func (blanks) each(s string, yield func(start, end int) bool) bool {
	for i := 0; i < len(s); i++ {
		j := i
		for j < len(s) && s[j] == ' ' {
			j++
		}
		if j-i >= 2 && !yield(i, j) {
			return false
		}
		i = max(i, j)
	}
	return true
}

// expression is a regular expression of a tokenizer that is not among the
// well-known ones.
type expression struct{ re *regexp2.Regexp }

func (e expression) each(s string, yield func(start, end int) bool) bool {
	text := []rune(s)
	m, err := e.re.FindRunesMatch(text)
	at, bytes := 0, 0 // the same place, in characters and in bytes
	advance := func(to int) int {
		for ; at < to; at++ {
			bytes += utf8.RuneLen(text[at])
		}
		return bytes
	}
	for m != nil && err == nil {
		start := advance(m.Index)
		end := advance(m.Index + m.Length)
		if start < end && !yield(start, end) {
			return false
		}
		m, err = e.re.FindNextMatch(m)
	}
	return true
}

// classMatch is every single character of a class.
type classMatch func(rune) bool

func (is classMatch) each(s string, yield func(start, end int) bool) bool {
	for i, r := range s {
		if is(r) && !yield(i, i+utf8.RuneLen(r)) {
			return false
		}
	}
	return true
}

// replaceAll puts with in place of everything that p finds.
func replaceAll(p pattern, s, with string) string {
	var b strings.Builder
	done := 0
	p.each(s, func(start, end int) bool {
		b.WriteString(s[done:start])
		b.WriteString(with)
		done = end
		return true
	})
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}
