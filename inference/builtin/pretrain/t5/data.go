package main

import (
	"math"
	"math/rand/v2"

	"lorikeet/inference/arch"
	"lorikeet/inference/builtin/tasks"
	"lorikeet/inference/builtin/unigram"
	"lorikeet/inference/text"
)

// lane is a part of every batch: rows of examples that fit a source and a target
// length. A step is one graph over all lanes, so that each step sees short answers and
// long ones, in the proportion in which they come.
type lane struct{ rows, source, target int }

// allLanes have the shares in which 20,000 examples fell on them; what comes too often
// for its lane is dropped.
var allLanes = []lane{{56, 12, 4}, {26, 16, 4}, {30, 24, 4}, {7, 40, 4}, {26, 12, 8}, {20, 16, 8}, {16, 24, 10}, {8, 32, 14}, {5, 48, 24}}

func (o options) lanes() []lane {
	out := make([]lane, len(allLanes))
	for i, l := range allLanes {
		out[i] = lane{l.rows * o.room, l.source, l.target}
	}
	return out
}

// example is what the model reads and writes, both with the end.
type example struct {
	source, target []int32
	task           string // "spans" for a sentence with spans missing
}

// source makes examples.
type source struct {
	maker     *tasks.Maker
	tokenizer *text.Tokenizer
	sentences []string
	spans     float64
	seed      uint64
}

func (s *source) example(r *rand.Rand) example {
	if r.Float64() < s.spans {
		ids := s.tokenizer.Encode(s.sentences[r.IntN(len(s.sentences))], nil, 0).IDs
		in, out := corrupt(r, ids[:len(ids)-1], s.sentinel)
		return example{in, out, "spans"}
	}
	e := s.maker.Train(r)
	return s.encode(e)
}

func (s *source) encode(e tasks.Example) example {
	return example{s.tokenizer.Encode(e.Prompt(), nil, 0).IDs, s.tokenizer.EncodeTarget(e.Output, 0).IDs, e.Task}
}

// sentinel is the token of the i-th span: they are the last of the vocabulary, the
// first of them at the end.
func (s *source) sentinel(i int) int32 { return int32(s.tokenizer.VocabSize() - 1 - i) }

// corrupt takes about a sixth of a text's tokens out, in spans of one to four, and
// leaves sentinels in their place; the target is the sentinels with what they stand
// for.
func corrupt(r *rand.Rand, ids []int32, sentinel func(int) int32) (in, out []int32) {
	n := max(1, int(math.Round(float64(len(ids))*0.17)))
	gone := make([]bool, len(ids))
	for spans := 0; n > 0 && spans < sentinels-1; spans++ {
		size := min(n, 1+r.IntN(4))
		at := r.IntN(len(ids) - min(size, len(ids)-1))
		for i := at; i < min(at+size, len(ids)); i++ {
			gone[i] = true
		}
		n -= size
	}
	k := 0
	for i, id := range ids {
		switch {
		case !gone[i]:
			in = append(in, id)
			continue
		case i == 0 || !gone[i-1]:
			in, out = append(in, sentinel(k)), append(out, sentinel(k))
			k++
		}
		out = append(out, id)
	}
	return append(in, unigram.EOS), append(out, sentinel(k), unigram.EOS)
}

// batch fills the lanes for one step. The same step gives the same batch.
func (s *source) batch(step int, lanes []lane) [][]example {
	r := rand.New(rand.NewPCG(s.seed, uint64(step)+1<<32))
	out := make([][]example, len(lanes))
	left := 0
	for _, l := range lanes {
		left += l.rows
	}
	for tries := 0; left > 0 && tries < 100_000; tries++ {
		e := s.example(r)
		for i, l := range lanes {
			if len(e.source) > l.source || len(e.target) > l.target {
				continue
			}
			if len(out[i]) < l.rows {
				out[i] = append(out[i], e)
				left--
			}
			break
		}
	}
	return out
}

// inputs lays the rows of a lane out for the graph.
type inputs struct{ ids, mask, decoder, labels []int32 }

func pack(rows []example, l lane, f arch.Seq2SeqFacts) inputs {
	in := inputs{ids: make([]int32, l.rows*l.source), mask: make([]int32, l.rows*l.source)}
	for i := range l.rows {
		labels := make([]int32, l.target)
		for j := range labels {
			labels[j] = -100
		}
		if i < len(rows) {
			copy(labels, rows[i].target)
			copy(in.ids[i*l.source:(i+1)*l.source], rows[i].source)
			for j := range rows[i].source {
				in.mask[i*l.source+j] = 1
			}
		} else {
			in.mask[i*l.source] = 1 // attention to nothing is not a number
		}
		in.labels = append(in.labels, labels...)
		in.decoder = append(in.decoder, f.ShiftRight(labels)...)
	}
	return in
}
