package main

import (
	"fmt"
	"math/rand/v2"

	"lorikeet/inference/builtin/tasks"
	"lorikeet/inference/builtin/unigram"
)

// alphabet are the characters that the vocabulary has whether the text has them or
// not: printable ASCII, and what Spanish and its neighbours write.
const alphabet = "!\"#$%&'()*+,-./0123456789:;<=>?@[\\]^_`abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ{|}~" +
	"áéíóúüñÁÉÍÓÚÑ¿¡àâçèêëîïôùûäöß€£°▁"

// sentinels is how many spans of a text can be missing.
const sentinels = 16

// length is model_max_length and n_positions: what was trained on, with room to spare;
// relative positions have no end.
const length = 512

// writeVocab trains the vocabulary on the corpus and on as many words of tasks, and
// writes the tokenizer's files.
func writeVocab(dir string, sentences []string, size int, seed uint64) error {
	counts := map[string]int{}
	count := func(s string) {
		for _, w := range unigram.Words(s) {
			counts[w]++
		}
	}
	for _, s := range sentences {
		count(s)
	}
	m, r := tasks.New(sentences), rand.New(rand.NewPCG(seed, 5))
	for range len(sentences) {
		e := m.Train(r)
		count(e.Instruction)
		count(e.Input)
		count(e.Output)
	}
	fixed := []unigram.Piece{{Text: unigram.Newline, Score: -4}}
	pieces := append(fixed, unigram.Train(counts, alphabet, size-sentinels-3-len(fixed))...)
	n, err := unigram.WriteFiles(dir, pieces, sentinels, length)
	if err == nil && n > size {
		err = fmt.Errorf("%d tokens, at most %d are wanted", n, size)
	}
	return err
}
