package tasks

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// Tasks on kinds of things, and on facts. What is held out of the facts is the wording
// of a question, not the fact.

func oddOne(_ *Maker, r *rand.Rand) Example {
	k := some(r, kinds, 2)
	w := some(r, words[k[0]], 3)
	for {
		odd := pick(r, words[k[1]])
		if !slices.Contains(words[k[0]], odd) { // orange
			w = slices.Insert(w, r.IntN(4), odd)
			return Example{Input: strings.Join(w, ", "), Output: odd}
		}
	}
}

func kind(_ *Maker, r *rand.Rand) Example {
	k := pick(r, kinds)
	w := some(r, words[k], 1+r.IntN(3))
	return Example{Input: strings.Join(w, ", "), Output: k}
}

func isA(_ *Maker, r *rand.Rand) Example {
	k := pick(r, kinds[:11])
	from := k
	if r.IntN(2) == 0 {
		from = pick(r, kinds[:11])
	}
	w := pick(r, words[from])
	yes := slices.Contains(words[k], w)
	return Example{Instruction: ask(r, "isa", map[string]string{"a": withArticle(w), "b": withArticle(k)}), Output: yesNo(yes)}
}

func withArticle(w string) string {
	if strings.ContainsRune("aeiou", rune(w[0])) {
		return "an " + w
	}
	return "a " + w
}

func fact(name string, bothWays bool) func(*Maker, *rand.Rand) Example {
	return func(_ *Maker, r *rand.Rand) Example {
		p := pick(r, facts[name])
		if bothWays && r.IntN(2) == 0 && once(facts[name], p.b) {
			p.a, p.b = p.b, p.a
		}
		return asked(r, name, p.a, p.b)
	}
}

// once reports whether a word is part of one pair only, so that it has one answer.
func once(all []pair, word string) bool {
	n := 0
	for _, p := range all {
		if p.a == word || p.b == word {
			n++
		}
	}
	return n == 1
}

// asked puts the word into the question, or under it.
func asked(r *rand.Rand, name, word, answer string) Example {
	return Example{Instruction: ask(r, name, map[string]string{"w": word}), Output: answer}
}

func countryOf(_ *Maker, r *rand.Rand) Example {
	p := pick(r, facts["capital"])
	return asked(r, "country", p.b, p.a)
}

// neighbor asks for the day or month that is so many after another.
func neighbor(kind string, by int) func(*Maker, *rand.Rand) Example {
	name := map[int]string{1: "after", -1: "before"}[by]
	if kind == "month" {
		name += kind
	}
	return func(_ *Maker, r *rand.Rand) Example {
		all := words[kind]
		i := r.IntN(len(all))
		return asked(r, name, all[i], all[(i+by+len(all))%len(all)])
	}
}

func talk(_ *Maker, r *rand.Rand) Example {
	p := pick(r, chat)
	q := p.a
	if r.IntN(6) == 0 {
		q = lowerFirst(strings.TrimRight(q, "!.?"))
	}
	return Example{Instruction: q, Output: p.b, key: never}
}
