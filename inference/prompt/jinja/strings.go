package jinja

import (
	"strings"
	"unicode/utf8"
)

// charged counts a string that a function made, and what it read to make it.
func (s *state) charged(read, made string) string {
	s.step(len(read) / 64)
	s.make(len(made))
	return made
}

// join puts values together as text.
func (s *state) join(all []value, between string) string {
	n := 0
	parts := make([]string, len(all))
	for i, v := range all {
		s.step(1)
		parts[i] = s.print(v)
		n += len(parts[i])
	}
	s.make(n + len(between)*len(all))
	return strings.Join(parts, between)
}

// text reads a string argument.
func textOf(what string, v value) string {
	t, ok := defined(v).(string)
	if !ok {
		fail("%s needs a string, not a %s", what, kindOf(v))
	}
	return t
}

func wholeOf(what string, v value) int64 {
	n, _, whole, ok := number(defined(v))
	if !ok || !whole {
		fail("%s needs an integer, not a %s", what, kindOf(v))
	}
	return n
}

// strip is Python's strip: side is "l", "r" or "" for both.
func (s *state) strip(t string, chars value, side string) string {
	cut := isSpace
	if chars != nil {
		set := textOf("strip", chars)
		s.step(len(t) / 64 * (1 + len(set)/8))
		cut = func(r rune) bool { return strings.ContainsRune(set, r) }
	}
	if side != "r" {
		t = strings.TrimLeftFunc(t, cut)
	}
	if side != "l" {
		t = strings.TrimRightFunc(t, cut)
	}
	return t
}

// split is Python's split and rsplit; n below 0 is without limit.
func (s *state) split(t string, by value, n int64, right bool) value {
	var parts []string
	s.step(len(t)/64 + 1)
	if by == nil {
		parts = splitSpace(t, n, right)
	} else {
		sep := textOf("split", by)
		if sep == "" {
			fail("split by an empty string")
		}
		s.make(16 * strings.Count(t, sep))
		parts = splitBy(t, sep, n, right)
	}
	s.make(32 * len(parts))
	l := &list{items: make([]value, len(parts))}
	for i, p := range parts {
		l.items[i] = p
	}
	return l
}

func splitBy(t, sep string, n int64, right bool) []string {
	if n < 0 || n >= int64(len(t)) {
		return strings.Split(t, sep)
	}
	if !right {
		return strings.SplitN(t, sep, int(n)+1)
	}
	var back []string
	for ; n > 0; n-- {
		at := strings.LastIndex(t, sep)
		if at < 0 {
			break
		}
		back, t = append(back, t[at+len(sep):]), t[:at]
	}
	return reversed(append(back, t))
}

// splitSpace splits at runs of white space, dropping those at the ends; what is left
// after n splits keeps its own.
func splitSpace(t string, n int64, right bool) []string {
	var parts []string
	for {
		if right {
			t = strings.TrimRightFunc(t, isSpace)
		} else {
			t = strings.TrimLeftFunc(t, isSpace)
		}
		at := strings.IndexFunc(t, isSpace)
		if right {
			at = strings.LastIndexFunc(t, isSpace)
		}
		switch {
		case t == "":
		case n == 0 || at < 0:
			parts = append(parts, t)
		case right:
			_, size := utf8.DecodeRuneInString(t[at:])
			parts, t, n = append(parts, t[at+size:]), t[:at], n-1
			continue
		default:
			parts, t, n = append(parts, t[:at]), t[at:], n-1
			continue
		}
		if right {
			return reversed(parts)
		}
		return parts
	}
}

func reversed(parts []string) []string {
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return parts
}

// splitLines is Python's splitlines without the ends kept.
func splitLines(t string) []value {
	var lines []value
	for t != "" {
		at := strings.IndexFunc(t, func(r rune) bool {
			return r >= '\n' && r <= '\r' || r >= 0x1c && r <= 0x1e || r == 0x85 || r == 0x2028 || r == 0x2029
		})
		if at < 0 {
			return append(lines, t)
		}
		lines = append(lines, t[:at])
		_, n := utf8.DecodeRuneInString(t[at:])
		if strings.HasPrefix(t[at:], "\r\n") {
			n = 2
		}
		t = t[at+n:]
	}
	return lines
}

// every reports whether t has characters and all are so.
func every(t string, so func(rune) bool) bool {
	return t != "" && strings.IndexFunc(t, func(r rune) bool { return !so(r) }) < 0
}
