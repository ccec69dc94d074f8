// Package corpus collects the English text that the built-in models learn from:
// plain sentences out of the Go and Python distributions, of Debian packages whose
// licences allow it, of rows given as JSON lines, and of a grammar of reviews that was
// written for this project. It stores no text: a [Source] is code that finds some.
//
// Two things hold for every sentence that comes out: it is ASCII on one line, and it
// reads as prose, not as code or a table.
package corpus

import (
	"iter"
	"regexp"
	"strings"
	"unicode"
)

// Source is somewhere text comes from. Each gives raw text; [Sentences] cuts and
// cleans it.
type Source struct {
	Name    string
	Licence string
	Limit   int // sentences to take, spread evenly; 0: all
	Text    iter.Seq[string]
}

var (
	blanks   = regexp.MustCompile(`\s+`)
	sentence = regexp.MustCompile(`[.!?]["')]*\s+["'(]*[A-Z]`)
	abbrev   = regexp.MustCompile(`(?:\b(?:Mrs?|Ms|Dr|St|Co|vs|cf|Jr|Sr|etc|i\.e|e\.g)|\b[A-Z])\.$`)
	plain    = strings.NewReplacer("“", `"`, "”", `"`, "‘", "'", "’", "'", "–", "-", "—", " - ", "…", "...", "``", `"`, "''", `"`)
)

// Clean puts a text on one line, with ASCII quotes and dashes.
func Clean(text string) string {
	return strings.TrimSpace(blanks.ReplaceAllString(plain.Replace(text), " "))
}

// Sentences cuts cleaned text at its ends of sentences.
func Sentences(text string) []string {
	var out []string
	from := 0
	for _, m := range sentence.FindAllStringIndex(text, -1) {
		stop := m[0] + 1
		for stop < m[1] && strings.ContainsRune(`"')`, rune(text[stop])) {
			stop++
		}
		if abbrev.MatchString(text[from:min(m[0]+1, len(text))]) {
			continue
		}
		out = append(out, strings.TrimSpace(text[from:stop]))
		from = stop
	}
	if rest := strings.TrimSpace(text[from:]); rest != "" {
		out = append(out, rest)
	}
	return out
}

// Prose reports whether a sentence reads as English: ASCII, of three to sixty words,
// mostly of lower-case letters, and with some of the small words that code lacks.
func Prose(s string) bool {
	words := strings.Fields(s)
	if len(words) < 3 || len(words) > 60 {
		return false
	}
	letters := 0
	for _, r := range s {
		switch {
		case r > unicode.MaxASCII || r < ' ':
			return false
		case unicode.IsLower(r) || r == ' ':
			letters++
		case strings.ContainsRune(`{}[]<>|\_=*#^~@$%/+`, r):
			return false
		}
	}
	if letters*10 < len(s)*8 {
		return false
	}
	for _, w := range words {
		if len(w) > 20 {
			return false
		}
		if small[strings.ToLower(strings.Trim(w, `"'.,;:!?()`))] {
			return true
		}
	}
	return len(words) < 8
}

var small = func() map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq("a an the of to in on at for with by from as is are was were be been has have had do does did not no it its this that these those he she they we you i my your his her and or but if so when who which what than then there all any some one can will would could should") {
		m[w] = true
	}
	return m
}()

// Collect gives the distinct sentences of sources in order, each with the name of its
// source. Two sentences that differ in case or spacing are one.
func Collect(sources []Source) iter.Seq2[string, string] {
	return func(yield func(source, sentence string) bool) {
		seen := map[string]bool{}
		for _, s := range sources {
			var found []string
			for text := range s.Text {
				for _, c := range Sentences(Clean(text)) {
					key := strings.ToLower(c)
					if !seen[key] && Prose(c) {
						seen[key] = true
						found = append(found, c)
					}
				}
			}
			for _, c := range spread(found, s.Limit) {
				if !yield(s.Name, c) {
					return
				}
			}
		}
	}
}

// spread takes n of all, evenly.
func spread(all []string, n int) []string {
	if n <= 0 || n >= len(all) {
		return all
	}
	out := make([]string, n)
	for i := range out {
		out[i] = all[i*len(all)/n]
	}
	return out
}
