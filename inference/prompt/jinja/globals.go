package jinja

import (
	"fmt"
	"strings"
	"time"
)

// globals are what every template may call.
var globals *scope

func init() {
	globals = &scope{vars: map[string]value{}}
	for name, call := range map[string]func(*state, args) value{
		"range": ranged, "dict": dictOf, "namespace": namespaceOf,
		"raise_exception": func(s *state, a args) value {
			panic(&Error{Reason: s.print(a.take("raise_exception", 1, "message")[0]), Raised: true})
		},
		"strftime_now": func(s *state, a args) value {
			return strftime(s.now, textOf("strftime_now", a.take("strftime_now", 1, "format")[0]))
		},
	} {
		globals.vars[name] = &function{name, call}
	}
}

func ranged(s *state, a args) value {
	var n []int64
	for _, v := range a.pos {
		n = append(n, wholeOf("range", v))
	}
	from, to, step := int64(0), int64(0), int64(1)
	switch {
	case len(n) == 1:
		to = n[0]
	case len(n) == 2:
		from, to = n[0], n[1]
	case len(n) == 3 && n[2] != 0:
		from, to, step = n[0], n[1], n[2]
	default:
		fail("range takes one to three integers, the third not 0")
	}
	l := &list{}
	for i := from; step > 0 && i < to || step < 0 && i > to; {
		if len(l.items) == maxRange {
			fail("a range of more than %d", maxRange)
		}
		s.make(16)
		l.items = append(l.items, i)
		next := i + step
		if (next > i) != (step > 0) {
			break
		}
		i = next
	}
	return l
}

func dictOf(s *state, a args) value {
	d := newDict(0)
	if len(a.pos) > 1 {
		fail("dict takes one argument and names")
	}
	for _, v := range a.pos {
		if from, ok := v.(*dict); ok {
			v = s.entries(from)
		}
		for _, pair := range s.iterate(v) {
			kv := s.iterate(pair)
			if len(kv) != 2 {
				fail("dict needs pairs")
			}
			d.set(defined(kv[0]), kv[1])
		}
	}
	s.make(64 * len(a.names))
	for i, name := range a.names {
		d.set(name, a.named[i])
	}
	return d
}

func namespaceOf(s *state, a args) value {
	d := dictOf(s, a).(*dict)
	n := &namespace{vars: map[string]value{}}
	for i, k := range d.keys {
		name := textOf("namespace", k)
		if strings.HasPrefix(name, "_") {
			fail("a namespace has no attribute %s", name)
		}
		n.vars[name] = d.values[i]
	}
	return n
}

// strftime knows the directives that do not depend on a locale.
func strftime(t time.Time, format string) string {
	layouts := map[byte]string{'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'H': "15", 'I': "03", 'M': "04", 'S': "05",
		'B': "January", 'b': "Jan", 'h': "Jan", 'A': "Monday", 'a': "Mon", 'p': "PM", 'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04",
		'D': "01/02/06", 'e': "_2"}
	if len(format) > 1000 {
		fail("a format of %d bytes", len(format))
	}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		c, bare := format[i], false
		if c == '-' && i+1 < len(format) { // glibc: no leading zero
			i++
			c, bare = format[i], true
		}
		var piece string
		switch layout := layouts[c]; {
		case layout != "":
			piece = t.Format(layout)
		case c == 'j':
			piece = fmt.Sprintf("%03d", t.YearDay())
		case c == 'f':
			piece = fmt.Sprintf("%06d", t.Nanosecond()/1000)
		case c == '%':
			piece = "%"
		case c == 'n':
			piece = "\n"
		case c == 't':
			piece = "\t"
		case c == 'Z' || c == 'z': // the time has no zone there
		default:
			fail("the time format %%%c is not supported", c)
		}
		if bare {
			piece = strings.TrimLeft(piece, "0 ")
			if piece == "" {
				piece = "0"
			}
		}
		b.WriteString(piece)
	}
	return b.String()
}
