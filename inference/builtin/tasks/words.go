package tasks

import (
	_ "embed"
	"fmt"
	"math/rand/v2"
	"strings"

	"lorikeet/inference/builtin/corpus"
)

var (
	//go:embed words.txt
	wordsText string
	//go:embed facts.txt
	factsText string
	//go:embed spanish.txt
	spanishText string
	//go:embed phrases.txt
	phrasesText string
	//go:embed subjects.txt
	subjectsText string
	//go:embed chat.txt
	chatText string
)

// pair is a fact: a question's word, and the answer's.
type pair struct{ a, b string }

var (
	words   = must(lists(wordsText))
	phrases = must(lists(phrasesText))
	facts   = must(pairs(factsText))
	spanish = must(pairs(spanishText))
	chat    = must(pairs("chat: " + chatLine()))["chat"]
	grammar = must(corpus.ParseGrammar(subjectsText + "\n" + inGrammar() + "\n" + corpus.ReviewRules))
)

// must is for text that is part of the program.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// chatLine is chat.txt without its comment.
func chatLine() string {
	_, line, _ := strings.Cut(chatText, "\n")
	return strings.TrimSpace(line)
}

// inGrammar gives the grammar those words that it names and the reviews do not.
func inGrammar() string {
	var lines []string
	for _, name := range []string{"male", "female", "city", "month", "day", "country", "instrument", "vegetable", "food"} {
		lines = append(lines, name+": "+strings.Join(words[name], " | "))
	}
	return strings.Join(lines, "\n")
}

// lists reads lines "name: a | b".
func lists(text string) (map[string][]string, error) {
	out := map[string][]string{}
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, rest, ok := strings.Cut(line, ": ")
		if !ok || out[name] != nil {
			return nil, fmt.Errorf("line %d: no name, or one that is there", n+1)
		}
		for w := range strings.SplitSeq(rest, " | ") {
			out[name] = append(out[name], strings.TrimSpace(w))
		}
	}
	return out, nil
}

// pairs reads lines "name: a = b | c = d".
func pairs(text string) (map[string][]pair, error) {
	all, err := lists(text)
	out := map[string][]pair{}
	for name, list := range all {
		for _, s := range list {
			a, b, ok := strings.Cut(s, " = ")
			if !ok {
				return nil, fmt.Errorf("%s: %q is no pair", name, s)
			}
			out[name] = append(out[name], pair{strings.TrimSpace(a), strings.TrimSpace(b)})
		}
	}
	return out, err
}

// vocabulary are all plain words, for tasks on words.
var vocabulary = func() []string {
	var all []string
	for _, kind := range []string{"animal", "fruit", "vegetable", "color", "food", "drink", "vehicle", "furniture", "clothing", "tool", "instrument",
		"sport", "job", "body", "thing", "place", "verb", "plain", "adverb", "noun"} {
		all = append(all, words[kind]...)
	}
	return all
}()

// kinds are the categories of things.
var kinds = []string{"animal", "fruit", "vegetable", "color", "drink", "vehicle", "clothing", "tool", "instrument", "sport", "job", "country", "city", "month", "day"}

// phrase is a list of n words.
func phrase(r *rand.Rand, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = pick(r, vocabulary)
	}
	return out
}

// text is a few words: a list of them, or a short sentence.
func (m *Maker) text(r *rand.Rand, most int) string {
	if len(m.sentences) > 0 && r.IntN(3) > 0 {
		for range 20 {
			if s := pick(r, m.sentences); strings.Count(s, " ") < most {
				return s
			}
		}
	}
	if r.IntN(3) == 0 {
		if s := sentence(r).text; strings.Count(s, " ") < most {
			return s
		}
	}
	s := strings.Join(phrase(r, 2+r.IntN(most-2)), " ")
	if r.IntN(4) == 0 {
		s = upperFirst(s) + "."
	}
	return s
}
