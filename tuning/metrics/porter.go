package metrics

import (
	"strings"
	"unicode/utf8"
)

// stem is Porter's stemmer in the form of nltk's PorterStemmer, whose default mode
// differs from the paper in a few rules and knows some irregular words. word is in
// lower case.
//
// Porter, "An algorithm for suffix stripping" (Program 14(3), 1980).
func stem(word string) string {
	if s, ok := irregular[word]; ok {
		return s
	}
	if utf8.RuneCountInString(word) <= 2 {
		return word
	}
	word = plural(word)
	word = past(word)
	if s, ok := strings.CutSuffix(word, "y"); ok && utf8.RuneCountInString(s) > 1 && endsInConsonant(s) {
		word = s + "i" // happy, but not enjoy
	}
	word = derivation(word)
	word = apply(word, 0, []rule{{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""}})
	word = apply(word, 1, []rule{
		{"al", ""}, {"ance", ""}, {"ence", ""}, {"er", ""}, {"ic", ""}, {"able", ""}, {"ible", ""}, {"ant", ""}, {"ement", ""}, {"ment", ""}, {"ent", ""},
		{"ion", ""}, {"ou", ""}, {"ism", ""}, {"ate", ""}, {"iti", ""}, {"ous", ""}, {"ive", ""}, {"ize", ""}})
	if s, ok := strings.CutSuffix(word, "e"); ok && (measure(s) > 1 || measure(s) == 1 && !shortSyllable(s)) {
		word = s
	}
	if strings.HasSuffix(word, "ll") && measure(word[:len(word)-1]) > 1 {
		word = word[:len(word)-1]
	}
	return word
}

var irregular = map[string]string{
	"sky": "sky", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "news": "news",
	"innings": "inning", "inning": "inning", "outings": "outing", "outing": "outing", "cannings": "canning", "canning": "canning",
	"howe": "howe", "proceed": "proceed", "exceed": "exceed", "succeed": "succeed",
}

// rule replaces a suffix.
type rule struct{ suffix, with string }

// apply uses the first rule whose suffix fits, if what is left has more than m
// vowel-consonant pairs.
func apply(word string, m int, rules []rule) string {
	for _, r := range rules {
		s, ok := strings.CutSuffix(word, r.suffix)
		if !ok {
			continue
		}
		if measure(s) <= m || r.suffix == "ion" && !strings.HasSuffix(s, "s") && !strings.HasSuffix(s, "t") {
			return word
		}
		return s + r.with
	}
	return word
}

// plural is step 1a.
func plural(word string) string {
	switch {
	case strings.HasSuffix(word, "ies") && utf8.RuneCountInString(word) == 4:
		return word[:len(word)-1] // dies, die
	case strings.HasSuffix(word, "sses"), strings.HasSuffix(word, "ies"):
		return word[:len(word)-2]
	case strings.HasSuffix(word, "ss"):
		return word
	}
	return strings.TrimSuffix(word, "s")
}

// past is step 1b.
func past(word string) string {
	if s, ok := strings.CutSuffix(word, "ied"); ok {
		if utf8.RuneCountInString(word) == 4 {
			return s + "ie"
		}
		return s + "i"
	}
	if s, ok := strings.CutSuffix(word, "eed"); ok {
		if measure(s) > 0 {
			return s + "ee"
		}
		return word
	}
	s, ok := strings.CutSuffix(word, "ed")
	if !ok || !hasVowel(s) {
		if s, ok = strings.CutSuffix(word, "ing"); !ok || !hasVowel(s) {
			return word
		}
	}
	for _, end := range []string{"at", "bl", "iz"} {
		if strings.HasSuffix(s, end) {
			return s + "e"
		}
	}
	last, n := utf8.DecodeLastRuneInString(s)
	before, _ := utf8.DecodeLastRuneInString(s[:len(s)-n])
	switch {
	case last == before && len(s) > n && endsInConsonant(s):
		if last == 'l' || last == 's' || last == 'z' {
			return s
		}
		return s[:len(s)-n]
	case measure(s) == 1 && shortSyllable(s):
		return s + "e"
	}
	return s
}

// derivation is step 2.
func derivation(word string) string {
	if s, ok := strings.CutSuffix(word, "alli"); ok && measure(s) > 0 {
		return derivation(s + "al")
	}
	// The l of "logi" counts with the stem, for geo and theo.
	if s, ok := strings.CutSuffix(word, "logi"); ok {
		if measure(s+"l") > 0 {
			return s + "log"
		}
		return word
	}
	return apply(word, 0, []rule{
		{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"}, {"bli", "ble"}, {"alli", "al"}, {"entli", "ent"},
		{"eli", "e"}, {"ousli", "ous"}, {"ization", "ize"}, {"ation", "ate"}, {"ator", "ate"}, {"alism", "al"}, {"iveness", "ive"}, {"fulness", "ful"},
		{"ousness", "ous"}, {"aliti", "al"}, {"iviti", "ive"}, {"biliti", "ble"}, {"fulli", "ful"}})
}

// consonants tells which characters of s are consonants: all but a, e, i, o, u, and
// a y after one of those.
func consonants(s string) []bool {
	var is []bool
	for _, r := range s {
		switch r {
		case 'a', 'e', 'i', 'o', 'u':
			is = append(is, false)
		case 'y':
			is = append(is, len(is) == 0 || !is[len(is)-1])
		default:
			is = append(is, true)
		}
	}
	return is
}

// measure counts the consonants that follow a vowel: m in [C](VC)^m[V].
func measure(s string) (m int) {
	is := consonants(s)
	for i := 1; i < len(is); i++ {
		if is[i] && !is[i-1] {
			m++
		}
	}
	return m
}

func hasVowel(s string) bool {
	for _, c := range consonants(s) {
		if !c {
			return true
		}
	}
	return false
}

func endsInConsonant(s string) bool {
	is := consonants(s)
	return len(is) > 0 && is[len(is)-1]
}

// shortSyllable: the end is consonant, vowel, consonant other than w, x and y; or all
// there is are a vowel and a consonant.
func shortSyllable(s string) bool {
	is := consonants(s)
	n := len(is)
	if n == 2 {
		return !is[0] && is[1]
	}
	return n > 2 && is[n-3] && !is[n-2] && is[n-1] && !strings.ContainsAny(s[len(s)-1:], "wxy")
}
