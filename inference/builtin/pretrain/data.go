package main

import (
	"math/rand/v2"

	"lorikeet/inference/builtin/wordpiece"
	"lorikeet/inference/text"
)

// lengths are what batches are padded to; a batch has tokens/length rows, so that every
// step costs about the same.
var lengths = []int{16, 32, 64, 128, 256}

const tokens = 2048

// example is a text cut by both tokenizers, word by word.
type example struct {
	student, teacher []int32 // with the special tokens
	studentWord      []int32 // the word that each token is part of, -1 for special ones
	teacherWord      []int32
}

// cutter cuts words with one tokenizer and remembers them.
type cutter struct {
	t        *text.Tokenizer
	cls, sep int32
	known    map[string][]int32
}

func newCutter(t *text.Tokenizer) *cutter {
	c := &cutter{t: t, known: map[string][]int32{}}
	c.cls, _ = t.CLS()
	c.sep, _ = t.SEP()
	return c
}

func (c *cutter) cut(words []string) (ids, word []int32) {
	ids, word = []int32{c.cls}, []int32{-1}
	for i, w := range words {
		pieces, ok := c.known[w]
		if !ok {
			pieces = c.t.EncodePlain(w)
			c.known[w] = pieces
		}
		for _, p := range pieces {
			ids, word = append(ids, p), append(word, int32(i))
		}
	}
	return append(ids, c.sep), append(word, -1)
}

// long says how the long texts are made: of every longEvery sentences in a row, the
// first longOf become one text.
const (
	longEvery = 120
	longOf    = 10
)

// examples cuts the sentences. A text that is too long loses its last words.
func examples(sentences []string, student, teacher *text.Tokenizer) []example {
	s, t := newCutter(student), newCutter(teacher)
	limit := lengths[len(lengths)-1]
	var out []example
	add := func(words []string) {
		for {
			var e example
			e.student, e.studentWord = s.cut(words)
			e.teacher, e.teacherWord = t.cut(words)
			if max(len(e.student), len(e.teacher)) <= limit {
				out = append(out, e)
				return
			}
			words = words[:len(words)*9/10]
		}
	}
	for i := 0; i < len(sentences); i++ {
		words := wordpiece.Words(sentences[i])
		if i%longEvery == 0 {
			for range longOf - 1 {
				if i+1 < len(sentences) {
					i++
					words = append(words, wordpiece.Words(sentences[i])...)
				}
			}
		}
		add(words)
	}
	return out
}

// batch is examples of one length.
type batch struct {
	number int // names the teacher's answer in the cache
	length int
	rows   []example
}

// batches deals the examples out, each length by itself. Which examples meet depends on
// the seed alone; the order of the batches is another matter.
func batches(all []example, seed uint64) []batch {
	r := rand.New(rand.NewPCG(seed, 11))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var out []batch
	open := map[int][]example{}
	for _, e := range all {
		for _, l := range lengths {
			if max(len(e.student), len(e.teacher)) > l {
				continue
			}
			if open[l] = append(open[l], e); len(open[l]) == tokens/l {
				out = append(out, batch{number: len(out), length: l, rows: open[l]})
				delete(open, l)
			}
			break
		}
	}
	return out
}

// pad lays rows of ids out as [rows, length], empty places holding fill.
func pad(rows []example, length int, of func(example) []int32, fill int32) []int32 {
	out := make([]int32, len(rows)*length)
	for i := range out {
		out[i] = fill
	}
	for i, e := range rows {
		copy(out[i*length:], of(e))
	}
	return out
}

// present is 1 where a row has a token.
func present(rows []example, length int, of func(example) []int32) []int32 {
	out := make([]int32, len(rows)*length)
	for i, e := range rows {
		for j := range of(e) {
			out[i*length+j] = 1
		}
	}
	return out
}

// masks is how many tokens of a batch are masked: about one in twelve.
const masks = 96

// mask replaces some tokens of ids by [MASK] and says which: [masks, 3] of row, place
// and token.
func (b batch) mask(ids []int32, token int32, r *rand.Rand) []int32 {
	out := make([]int32, masks*3)
	for i := range masks {
		tries := 0
		for ; tries < 8; tries++ {
			row := r.IntN(len(b.rows))
			e := b.rows[row]
			at := r.IntN(len(e.student))
			place := row*b.length + at
			if e.studentWord[at] >= 0 && ids[place] != token {
				copy(out[i*3:], []int32{int32(row), int32(at), ids[place]})
				ids[place] = token
				break
			}
		}
		if tries == 8 {
			out[i*3] = -1
		}
	}
	return out
}
