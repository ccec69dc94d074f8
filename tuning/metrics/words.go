package metrics

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The references are Python programs, and Python's strings differ from Go's in
// small things that a score can hang on. These functions are Python's.

// isSpace is str.isspace: also the four separators of ASCII.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1C && r <= 0x1F }

// fields is str.split without arguments.
func fields(s string) []string { return strings.FieldsFunc(s, isSpace) }

// trimEnd is str.rstrip.
func trimEnd(s string) string { return strings.TrimRightFunc(s, isSpace) }

// lower is str.lower, the full mapping of Unicode: İ becomes two characters, and a Σ
// at the end of a word ς.
func lower(s string) string {
	if !strings.ContainsAny(s, "İΣ") {
		return strings.ToLower(s)
	}
	var b strings.Builder
	for i, r := range s {
		switch r {
		case 'İ':
			b.WriteString("i̇")
		case 'Σ':
			if cased(s[:i], false) && !cased(s[i+len("Σ"):], true) {
				b.WriteRune('ς')
			} else {
				b.WriteRune('σ')
			}
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// cased reports whether the character next to an edge of s is a letter with case,
// apart from marks, apostrophes and the like between.
func cased(s string, first bool) bool {
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		rest := s[n:]
		if !first {
			r, n = utf8.DecodeLastRuneInString(s)
			rest = s[:len(s)-n]
		}
		if unicode.In(r, unicode.Lu, unicode.Ll, unicode.Lt, unicode.Other_Lowercase, unicode.Other_Uppercase) {
			return true
		}
		if !unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk) && !strings.ContainsRune("'.:·’", r) {
			return false
		}
		s = rest
	}
	return false
}

// punctuation is string.punctuation.
const punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

// sum counts the n-grams in a bag.
func sum[K comparable](bag map[K]int) (n int) {
	for _, c := range bag {
		n += c
	}
	return n
}

// overlap counts the n-grams that two bags share.
func overlap[K comparable](a, b map[K]int) (n int) {
	for gram, c := range a {
		n += min(c, b[gram])
	}
	return n
}

// ngrams is the bag of all runs of n words.
func ngrams(words []string, n int) map[string]int {
	bag := make(map[string]int, max(0, len(words)-n+1))
	for i := 0; i+n <= len(words); i++ {
		// No word holds a blank, so the join is one to one.
		bag[strings.Join(words[i:i+n], " ")]++
	}
	return bag
}
