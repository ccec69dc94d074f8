package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lorikeet/inference"
	"lorikeet/inference/builtin/corpus"
	"lorikeet/inference/builtin/unigram"
)

// TestRun makes a model from nothing but a corpus, stops on the way, goes on, and lets
// it answer.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "corpus.txt")
	if err := os.WriteFile(file, []byte(strings.Join(slices.Collect(corpus.Reviews(600, 5)), "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options{work: filepath.Join(dir, "run"), corpus: file, backend: "go", vocab: 900, size: shape{Dim: 8, Heads: 2, HeadDim: 4, FFN: 16, Encoder: 1, Decoder: 1},
		room: 1, minutes: 0.01, rate: 1e-2, spans: 0.3, every: time.Hour, seed: 1, muon: true}
	for range 2 {
		if err := o.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.minutes *= 2
	}
	base, err := inference.OpenBase("tiny", "test", os.DirFS(o.model()))
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	if f := base.Seq2Seq.Facts(); f.Vocab != base.Text.VocabSize() || f.Layers != 1 || !f.Tied {
		t.Errorf("%+v", f)
	}
	o.score = 1
	if err := o.run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCorrupt(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	sentinel := func(i int) int32 { return int32(1000 - i) }
	for n := 1; n < 80; n++ {
		ids := make([]int32, n)
		for i := range ids {
			ids[i] = int32(10 + i)
		}
		in, out := corrupt(r, ids, sentinel)
		if in[len(in)-1] != unigram.EOS || out[len(out)-1] != unigram.EOS || out[0] != 1000 {
			t.Fatalf("%v → %v", in, out)
		}
		// Put back what the sentinels stand for.
		var whole []int32
		for _, id := range in[:len(in)-1] {
			if id < 900 {
				whole = append(whole, id)
				continue
			}
			at := slices.Index(out, id) + 1
			for ; out[at] < 900; at++ {
				whole = append(whole, out[at])
			}
		}
		if !slices.Equal(whole, ids) {
			t.Errorf("%v → %v", in, out)
		}
	}
}

func TestLanes(t *testing.T) {
	rows := [][]example{{{source: []int32{5, 1}, target: []int32{6, 7, 8, 1}}}, {{source: []int32{9, 1}, target: []int32{1}}}}
	lanes := []lane{{2, 3, 4}, {1, 3, 4}}
	w := weigh(rows, lanes)
	if sum := 4*w[0] + w[2]; w[1] != 0 || sum < 0.999 || sum > 1.001 || w[2] != 2*w[0] {
		t.Errorf("weights %v", w)
	}
	o := options{size: shape{Vocab: 20, Dim: 4, Heads: 1, HeadDim: 4, FFN: 4, Encoder: 1, Decoder: 1}, room: 2}
	if all := o.lanes(); all[0].rows != 2*allLanes[0].rows {
		t.Errorf("%+v", all)
	}
}

// TestRate falls to zero at the end, whatever the peak.
func TestRate(t *testing.T) {
	o := options{rate: 0.02}
	if o.at(0) != 0 || o.at(1) != 0 || o.at(1.1) != 0 || o.at(0.03) > o.rate || o.at(0.03) < 0.99*o.rate || o.at(0.5) > o.at(0.4) {
		t.Error(o.at(0), o.at(0.03), o.at(0.5), o.at(1))
	}
}
