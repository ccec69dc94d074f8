package tasks

import (
	"math/rand/v2"
	"strings"

	"lorikeet/inference/builtin/corpus"
)

// opinion is a review whose sentiment and topic are known from the symbol of the
// grammar that made it.
type opinion struct {
	text  string
	good  bool
	topic string // "": of more than one
}

// opinions are the symbols of the grammar: of a good and of a bad review.
var opinions = []struct{ good, bad, topic string }{
	{"pf", "nf", "film"}, {"pt", "nt", "product"}, {"pg", "ng", "food"}, {"pshort", "nshort", ""}, {"gturn", "bturn", ""},
}

// review writes an opinion of one or two sentences.
func review(r *rand.Rand, topics bool) opinion {
	n := len(opinions)
	if topics {
		n = 3
	}
	o := opinions[r.IntN(n)]
	good := r.IntN(2) == 0
	symbol := o.bad
	if good {
		symbol = o.good
	}
	text := expand(r, "<"+symbol+">")
	if len(text) < 60 && r.IntN(3) == 0 && o.topic != "" {
		text += " " + expand(r, "<"+symbol+">")
	}
	if r.IntN(8) == 0 {
		text = strings.ToLower(strings.TrimRight(text, ".!"))
	}
	return opinion{text, good, o.topic}
}

// expand writes a sentence of the grammar.
func expand(r *rand.Rand, symbol string) string {
	return corpus.Article(upperFirst(grammar.Expand(r, symbol)))
}

// either answers with one of two words, by sentiment.
func either(good, bad string) func(*Maker, *rand.Rand) Example {
	return func(_ *Maker, r *rand.Rand) Example {
		o := review(r, false)
		e := Example{Input: o.text, Output: bad, key: o.text}
		if o.good {
			e.Output = good
		}
		return e
	}
}

var (
	sentiment = either("positive", "negative")
	goodBad   = either("good", "bad")
	liked     = either("yes", "no")
	disliked  = either("no", "yes")
	reply     = either("Thank you! We are glad that you like it.", "We are sorry to hear that. We will try to do better.")
)

func topic(_ *Maker, r *rand.Rand) Example {
	o := review(r, true)
	return Example{Input: o.text, Output: o.topic, key: o.text}
}

var subjects = []string{"sports", "weather", "music", "travel", "school", "money", "health", "cooking"}

func subject(_ *Maker, r *rand.Rand) Example {
	s := pick(r, subjects)
	text := expand(r, "<s."+s+">")
	return Example{Input: text, Output: s, key: text}
}

// label asks for an answer in a given form, so that a form is something to follow.
func label(_ *Maker, r *rand.Rand) Example {
	names := []string{"sentiment", "label", "answer", "opinion", "result", "class", "review", "verdict"}
	choices := [][2]string{{"positive", "negative"}, {"good", "bad"}, {"yes", "no"}, {"happy", "sad"}, {"like", "hate"}, {"up", "down"}, {"1", "0"}, {"great", "terrible"}}
	o, name, c := review(r, false), pick(r, names), pick(r, choices)
	says := c[1]
	if o.good {
		says = c[0]
	}
	if r.IntN(3) == 0 {
		return Example{Instruction: "Answer " + c[0] + " or " + c[1] + ".", Input: o.text, Output: says, key: o.text}
	}
	return Example{Instruction: pick(r, []string{"Answer in the form ", "Write ", "Answer with "}) + `"` + name + ": " + c[0] + `" or "` + name + ": " + c[1] + `".`,
		Input: o.text, Output: name + ": " + says, key: o.text}
}
