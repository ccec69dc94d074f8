package corpus

import (
	_ "embed"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
)

// ReviewRules is the grammar of reviews, which was written for this project; see
// [ParseGrammar].
//
//go:embed reviews.txt
var ReviewRules string

// Grammar is a context-free grammar: the choices of each symbol.
type Grammar map[string][]string

// ParseGrammar reads a grammar. A line "name: a | b" gives the choices of a symbol, and
// <name> in a choice stands for one of them; a line that begins with # is a comment.
func ParseGrammar(text string) (Grammar, error) {
	g := Grammar{}
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, choices, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, fmt.Errorf("grammar, line %d: no colon", n+1)
		}
		for c := range strings.SplitSeq(choices, " | ") {
			g[name] = append(g[name], strings.TrimSpace(c))
		}
	}
	for name, choices := range g {
		for _, c := range choices {
			for _, part := range strings.Split(c, "<")[1:] {
				symbol, _, ok := strings.Cut(part, ">")
				if !ok || len(g[symbol]) == 0 {
					return nil, fmt.Errorf("grammar: %s uses <%s>, which has no line", name, symbol)
				}
			}
		}
	}
	return g, nil
}

// Expand puts choices at random in place of the symbols of a text.
func (g Grammar) Expand(r *rand.Rand, text string) string {
	var out strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "<")
		out.WriteString(before)
		if !ok {
			return out.String()
		}
		symbol, after, _ := strings.Cut(rest, ">")
		choices := g[symbol]
		out.WriteString(g.Expand(r, choices[r.IntN(len(choices))]))
		text = after
	}
}

// Reviews gives n sentences of opinion on films, things, food and service, and plain
// statements about them, from a grammar. The same seed gives the same sentences.
func Reviews(n int, seed uint64) iter.Seq[string] {
	return func(yield func(string) bool) {
		g, err := ParseGrammar(ReviewRules)
		if err != nil {
			panic(err) // the text is part of the program; a test parses it
		}
		r := rand.New(rand.NewPCG(seed, 7))
		for range n {
			s := g.Expand(r, "<S>")
			s = strings.ToUpper(s[:1]) + s[1:]
			if !yield(Article(s)) {
				return
			}
		}
	}
}

// Article turns "a amazing" into "an amazing".
func Article(s string) string {
	words := strings.Split(s, " ")
	for i, w := range words[:len(words)-1] {
		next := words[i+1]
		if (w == "a" || w == "A") && next != "" && strings.ContainsRune("aeiou", rune(next[0])) &&
			!strings.HasPrefix(next, "one") && !strings.HasPrefix(next, "us") {
			words[i] = w + "n"
		}
	}
	return strings.Join(words, " ")
}
