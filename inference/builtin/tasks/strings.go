package tasks

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// Tasks on the words of a text.

func copyText(m *Maker, r *rand.Rand) Example {
	s := m.text(r, 9)
	return Example{Input: s, Output: s}
}

func reverse(m *Maker, r *rand.Rand) Example {
	w := phrase(r, 2+r.IntN(5))
	if r.IntN(3) == 0 {
		w = strings.Fields(strings.ToLower(bare(m.text(r, 6))))
	}
	back := slices.Clone(w)
	slices.Reverse(back)
	return Example{Input: strings.Join(w, " "), Output: strings.Join(back, " ")}
}

// bare is a text without punctuation.
func bare(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`.,;:!?"()`, r) {
			return -1
		}
		return r
	}, s)
}

func upper(_ *Maker, r *rand.Rand) Example {
	s := strings.Join(phrase(r, 1+r.IntN(3)), " ")
	return Example{Input: s, Output: strings.ToUpper(s)}
}

func lower(_ *Maker, r *rand.Rand) Example {
	s := strings.Join(phrase(r, 1+r.IntN(3)), " ")
	in := strings.ToUpper(s)
	if r.IntN(3) == 0 {
		w := strings.Fields(s)
		for i := range w {
			w[i] = upperFirst(w[i])
		}
		in = strings.Join(w, " ")
	}
	return Example{Input: in, Output: s}
}

// onWords is a task whose answer is made of the words of a text.
func onWords(m *Maker, r *rand.Rand, most int, answer func(w []string) []string) Example {
	s := m.text(r, most)
	w := strings.Fields(bare(s))
	if len(w) < 2 { // marks alone
		w = phrase(r, 3)
		s = strings.Join(w, " ")
	}
	return Example{Input: s, Output: strings.Join(answer(w), " ")}
}

func first(m *Maker, r *rand.Rand) Example {
	return onWords(m, r, 9, func(w []string) []string { return w[:1] })
}

func last(m *Maker, r *rand.Rand) Example {
	return onWords(m, r, 9, func(w []string) []string { return w[len(w)-1:] })
}

func second(m *Maker, r *rand.Rand) Example {
	return onWords(m, r, 9, func(w []string) []string { return w[1:2] })
}

func twice(_ *Maker, r *rand.Rand) Example {
	s := strings.Join(phrase(r, 1+r.IntN(3)), " ")
	return Example{Input: s, Output: s + " " + s}
}

func dropFirst(_ *Maker, r *rand.Rand) Example {
	w := phrase(r, 2+r.IntN(4))
	return Example{Input: strings.Join(w, " "), Output: strings.Join(w[1:], " ")}
}

func dropLast(_ *Maker, r *rand.Rand) Example {
	w := phrase(r, 2+r.IntN(4))
	return Example{Input: strings.Join(w, " "), Output: strings.Join(w[:len(w)-1], " ")}
}

func comma(_ *Maker, r *rand.Rand) Example {
	w := phrase(r, 2+r.IntN(4))
	return Example{Input: strings.Join(w, " "), Output: strings.Join(w, ", ")}
}

func count(m *Maker, r *rand.Rand) Example {
	e := onWords(m, r, 8, func(w []string) []string { return w })
	e.Output = inWords(len(strings.Fields(e.Output)))
	return e
}

func longestWord(_ *Maker, r *rand.Rand) Example {
	for {
		w := phrase(r, 3)
		best, others := 0, 0
		for i := range w {
			if len(w[i]) > len(w[best]) {
				best = i
			}
		}
		for i := range w {
			if i != best {
				others = max(others, len(w[i]))
			}
		}
		if len(w[best]) > others+1 {
			return Example{Input: strings.Join(w, " "), Output: w[best]}
		}
	}
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func contains(m *Maker, r *rand.Rand) Example {
	s := m.text(r, 9)
	w := strings.Fields(bare(s))
	asked := pick(r, vocabulary)
	if r.IntN(2) == 0 && len(w) > 0 {
		asked = pick(r, w)
	}
	return Example{Instruction: ask(r, "contains", map[string]string{"w": asked}), Input: s, Output: yesNo(slices.Contains(w, asked))}
}

func member(_ *Maker, r *rand.Rand) Example {
	from := words[pick(r, kinds)]
	if r.IntN(3) == 0 {
		from = vocabulary
	}
	n := min(len(from)-1, 3+r.IntN(4))
	w := some(r, from, n+1)
	asked := w[n] // may be there twice among the words of the vocabulary
	if r.IntN(2) == 0 {
		asked = w[r.IntN(n)]
	}
	w = w[:n]
	return Example{Instruction: ask(r, "member", map[string]string{"w": asked}), Input: strings.Join(w, ", "), Output: yesNo(slices.Contains(w, asked))}
}
