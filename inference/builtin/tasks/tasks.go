// Package tasks makes the instructions that builtin:tiny-t5 learns to follow: small
// tasks on short texts, such as copying, extracting, counting, classifying and
// translating, generated from words, facts and grammars that were written for this
// project. A task is a function from random numbers to an example.
//
// One example in twenty is held out by a hash of what it asks: [Maker.Train] never gives
// it, [Maker.Held] gives nothing else. A key names what must not be learned by heart
// (two numbers to add, a sentence to translate) and leaves out how it was asked.
package tasks

import (
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Example is an instruction with its answer.
type Example struct {
	Task                       string
	Instruction, Input, Output string
	key                        string // "": instruction and input
}

// never is the key of what is not held out at all.
const never = "-"

// Prompt is what the model reads: the template "plain".
func (e Example) Prompt() string {
	if e.Input == "" {
		return e.Instruction
	}
	return e.Instruction + "\n" + e.Input
}

// held is the share of examples that are never trained on: one in so many.
const held = 20

// Held reports whether the example is held out.
func (e Example) Held() bool {
	h := fnv.New32a()
	key := e.key
	switch key {
	case never:
		return false
	case "":
		key = e.Prompt()
	}
	_, _ = h.Write([]byte(e.Task + "\x00" + key)) // a hash never fails
	return (h.Sum32()>>7)%held == 0
}

// task is a row of the table: its name, how often it is asked, and how an example is
// made.
type task struct {
	name   string
	weight float64
	make   func(*Maker, *rand.Rand) Example
}

// Maker makes examples.
type Maker struct {
	sentences []string // of any text, for tasks on words
	total     float64
}

// New gives a maker that also works on short ones of the given sentences.
func New(sentences []string) *Maker {
	m := &Maker{}
	for _, s := range sentences {
		if n := strings.Count(s, " ") + 1; n >= 3 && n <= 9 && len(s) < 60 {
			m.sentences = append(m.sentences, s)
		}
	}
	for _, t := range table {
		m.total += t.weight
	}
	return m
}

// Names lists the tasks.
func Names() []string {
	var names []string
	for _, t := range table {
		names = append(names, t.name)
	}
	return names
}

// Train makes an example of any task.
func (m *Maker) Train(r *rand.Rand) Example {
	for {
		at := r.Float64() * m.total
		i := 0
		for ; i < len(table)-1 && at >= table[i].weight; i++ {
			at -= table[i].weight
		}
		if e := m.one(table[i], r); !e.Held() {
			return e
		}
	}
}

// Held makes an example of a task that Train never gives; false where the task is so
// small that none is found.
func (m *Maker) Held(name string, r *rand.Rand) (Example, bool) {
	for _, t := range table {
		if t.name != name {
			continue
		}
		for range 50 * held {
			if e := m.one(t, r); e.Held() {
				return e, true
			}
		}
	}
	return Example{}, false
}

func (m *Maker) one(t task, r *rand.Rand) Example {
	e := t.make(m, r)
	e.Task = t.name
	if e.Instruction == "" {
		e.Instruction = ask(r, t.name, nil)
	}
	return e
}

// ask words an instruction, its places filled in: as people do, now with "please", now
// without a mark at the end or a capital at the beginning.
func ask(r *rand.Rand, name string, places map[string]string) string {
	s := pick(r, phrases[name])
	for place, word := range places {
		s = strings.ReplaceAll(s, "<"+place+">", word)
	}
	if r.IntN(12) == 0 && !strings.HasSuffix(s, "?") {
		s = "Please " + lowerFirst(s)
	}
	if r.IntN(12) == 0 {
		s = lowerFirst(s)
	}
	if r.IntN(8) == 0 {
		s = strings.TrimRight(s, ".?:")
	}
	return s
}

func pick[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

// some picks n different ones.
func some[T any](r *rand.Rand, all []T, n int) []T {
	out := make([]T, 0, n)
	for _, i := range r.Perm(len(all))[:n] {
		out = append(out, all[i])
	}
	return out
}

func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[n:]
}

func upperFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}
