package metrics

// Stem is exported to the tests, which compare it with nltk's.
var Stem = stem

// Tokenize13a is what BLEU splits words with.
func Tokenize13a(s string) []string { return fields(tokenize(trimEnd(s), "13a")) }
