package jinja

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// print is Python's str.
func (s *state) print(v value) string {
	switch v := v.(type) {
	case undefined:
		return ""
	case string:
		return v
	}
	var b strings.Builder
	s.repr(&b, v)
	return b.String()
}

// repr is Python's repr.
func (s *state) repr(b *strings.Builder, v value) {
	s.step(1)
	s.deeper()
	defer s.shallower()
	before := b.Len()
	switch v := v.(type) {
	case undefined:
		b.WriteString("Undefined")
	case nil:
		b.WriteString("None")
	case bool:
		if v {
			b.WriteString("True")
		} else {
			b.WriteString("False")
		}
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		b.WriteString(floatString(v))
	case string:
		quote(b, v)
	case *list:
		open, end := "[", "]"
		if v.tuple {
			open, end = "(", ")"
			if len(v.items) == 1 {
				end = ",)"
			}
		}
		b.WriteString(open)
		for i, item := range v.items {
			if i > 0 {
				b.WriteString(", ")
			}
			s.repr(b, item)
		}
		b.WriteString(end)
	case *dict:
		b.WriteString("{")
		for i, k := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			s.repr(b, k)
			b.WriteString(": ")
			s.repr(b, v.values[i])
		}
		b.WriteString("}")
	default:
		fail("a %s cannot be written", kindOf(v))
	}
	s.make(b.Len() - before)
}

func floatString(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	t := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(t, ".") {
		t += ".0"
	}
	return t
}

func quote(b *strings.Builder, t string) {
	q := '\''
	if strings.Contains(t, "'") && !strings.Contains(t, `"`) {
		q = '"'
	}
	b.WriteRune(q)
	for _, r := range t {
		switch {
		case r == q || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			fmt.Fprintf(b, `\U%08x`, r)
		}
	}
	b.WriteRune(q)
}

// jsonStyle is how json.dumps writes.
type jsonStyle struct {
	item, key string
	indent    string // of one level; with it, each item has its line
	lines     bool
	ascii     bool
	sorted    bool
}

// json writes a value as Python's json.dumps does.
func (s *state) json(b *strings.Builder, v value, style jsonStyle, level int) {
	s.step(1)
	s.deeper()
	defer s.shallower()
	before := b.Len()
	line := func(level int) {
		if style.lines {
			s.make(len(style.indent) * level)
			b.WriteString("\n" + strings.Repeat(style.indent, level))
		}
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		b.WriteString(strings.NewReplacer("nan", "NaN", "inf", "Infinity").Replace(floatString(v)))
	case string:
		jsonQuote(b, v, style.ascii)
	case *list:
		b.WriteString("[")
		for i, item := range v.items {
			if i > 0 {
				b.WriteString(style.item)
			}
			line(level + 1)
			s.json(b, item, style, level+1)
		}
		if len(v.items) > 0 {
			line(level)
		}
		b.WriteString("]")
	case *dict:
		b.WriteString("{")
		for n, i := range s.order(v, style.sorted) {
			if n > 0 {
				b.WriteString(style.item)
			}
			line(level + 1)
			if k, ok := v.keys[i].(string); ok {
				jsonQuote(b, k, style.ascii)
			} else {
				b.WriteByte('"')
				s.json(b, v.keys[i], style, level)
				b.WriteByte('"')
			}
			b.WriteString(style.key)
			s.json(b, v.values[i], style, level+1)
		}
		if len(v.keys) > 0 {
			line(level)
		}
		b.WriteString("}")
	default:
		defined(v)
		fail("a %s has no form in JSON", kindOf(v))
	}
	s.make(b.Len() - before)
}

// order gives the places of a dict's entries, in the order of keys if sorted.
func (s *state) order(d *dict, sorted bool) []int {
	at := make([]int, len(d.keys))
	for i := range at {
		at[i] = i
	}
	if sorted {
		slices.SortStableFunc(at, func(i, j int) int { return s.cmp(d.keys[i], d.keys[j]) })
	}
	return at
}

// cmp orders for sorting.
func (s *state) cmp(a, b value) int {
	switch {
	case s.less(a, b):
		return -1
	case s.less(b, a):
		return 1
	}
	return 0
}

var jsonEscapes = map[rune]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}

func jsonQuote(b *strings.Builder, t string, ascii bool) {
	b.WriteByte('"')
	for _, r := range t {
		switch e := jsonEscapes[r]; {
		case e != "":
			b.WriteString(e)
		case r < 0x20 || ascii && r >= 0x7f && r < 0x10000 && r != 0x7f:
			fmt.Fprintf(b, `\u%04x`, r)
		case ascii && r >= 0x10000:
			r -= 0x10000
			fmt.Fprintf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

// runes counts the characters of a string.
func runes(t string) int { return utf8.RuneCountInString(t) }
