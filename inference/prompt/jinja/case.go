package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// Python maps cases as Unicode says in full: "ß" is raised to "SS", and a sigma at the
// end of a word is lowered to "ς". A Caser has a state and serves one call.

func upper(t string) string { return cases.Upper(language.Und).String(t) }

func lower(t string) string { return cases.Lower(language.Und).String(t) }

// first cuts t after its first character.
func first(t string) (string, string) {
	_, n := utf8.DecodeRuneInString(t)
	return t[:n], t[n:]
}

// raised is a character as a word starts with it: "ǆ" becomes "ǅ".
func raised(r string) string { return cases.Title(language.Und).String(r) }

func capitalize(t string) string {
	start, _ := first(t)
	// What comes before tells which sigma is meant.
	return raised(start) + strings.TrimPrefix(lower(t), lower(start))
}

// title is Python's title: each run of letters with a case is capitalized.
func title(t string) string {
	var b strings.Builder
	for t != "" {
		start := strings.IndexFunc(t, hasCase)
		if start < 0 {
			start = len(t)
		}
		b.WriteString(t[:start])
		t = t[start:]
		end := len(t) - len(strings.TrimLeftFunc(t, hasCase))
		b.WriteString(capitalize(t[:end]))
		t = t[end:]
	}
	return b.String()
}

func hasCase(r rune) bool {
	return unicode.In(r, unicode.Upper, unicode.Lower, unicode.Title, unicode.Other_Uppercase, unicode.Other_Lowercase)
}

// titleFilter is Jinja's filter: the character after white space or one of -({[< is
// raised, the rest of its word lowered.
func titleFilter(t string) string {
	breaks := func(r rune) bool { return isSpace(r) || strings.ContainsRune("-({[<", r) }
	var b strings.Builder
	for t != "" {
		at := strings.IndexFunc(t, breaks)
		if at < 0 {
			at = len(t)
		}
		start, rest := first(t[:at])
		b.WriteString(upper(start) + lower(rest))
		t = t[at:]
		end := len(t) - len(strings.TrimLeftFunc(t, breaks))
		b.WriteString(t[:end])
		t = t[end:]
	}
	return b.String()
}

// cased reports whether t has letters with a case, and all have this one.
func cased(t string, wrong, right func(rune) bool) bool {
	return strings.IndexFunc(t, wrong) < 0 && strings.IndexFunc(t, right) >= 0
}
