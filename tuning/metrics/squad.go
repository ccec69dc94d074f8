package metrics

import (
	"strings"
	"unicode"
)

// ExactMatch is 1 when an answer is the reference but for case, punctuation, articles
// and blanks, else 0.
//
// Rajpurkar et al., "SQuAD: 100,000+ questions for machine comprehension of text"
// (EMNLP 2016). Equal to the official script of SQuAD 1.1.
func ExactMatch(hyp, ref string) float64 {
	if strings.Join(squadWords(hyp), " ") == strings.Join(squadWords(ref), " ") {
		return 1
	}
	return 0
}

// TokenF1 is the F1 score of the words that an answer shares with the reference,
// after the same normalization as [ExactMatch]. Two answers without words are equal.
func TokenF1(hyp, ref string) float64 {
	h, r := squadWords(hyp), squadWords(ref)
	if len(h) == 0 && len(r) == 0 {
		return 1
	}
	return prf(overlap(ngrams(h, 1), ngrams(r, 1)), len(h), len(r)).F1
}

// squadWords are the words of a normalized answer.
func squadWords(s string) []string {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune(punctuation, r) {
			return -1
		}
		return r
	}, lower(s))
	// Articles are a, an and the between characters that no word has: Python's \b.
	var b strings.Builder
	for s != "" {
		end := strings.IndexFunc(s, func(r rune) bool { return !isWord(r) })
		if end < 0 {
			end = len(s)
		}
		switch w := s[:end]; w {
		case "a", "an", "the":
			b.WriteByte(' ')
		default:
			b.WriteString(w)
		}
		s = s[end:]
		next := strings.IndexFunc(s, isWord)
		if next < 0 {
			next = len(s)
		}
		b.WriteString(s[:next])
		s = s[next:]
	}
	return fields(b.String())
}

// isWord is \w of Python's re.
func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) || r == '_' }
