package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lorikeet/adapters/safetensors"
	"lorikeet/inference"
	"lorikeet/inference/arch"
	"lorikeet/inference/builtin/corpus"
	"lorikeet/inference/checkpoint"
)

// tinyTeacher writes a BERT with random weights and a vocabulary of its own, and a
// corpus of reviews, and returns their folder.
func tinyTeacher(t *testing.T) (dir string, sentences []string) {
	t.Helper()
	dir = t.TempDir()
	sentences = slices.Collect(corpus.Reviews(1500, 5))
	if err := os.WriteFile(filepath.Join(dir, "corpus.txt"), []byte(strings.Join(sentences, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeVocab(dir, sentences, 900, 256); err != nil {
		t.Fatal(err)
	}
	vocab, err := corpus.ReadFile(filepath.Join(dir, "vocab.txt"))
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Appendf(nil, `{"model_type":"bert","architectures":["BertModel"],"vocab_size":%d,"hidden_size":12,"num_hidden_layers":3,
		"num_attention_heads":3,"intermediate_size":24,"hidden_act":"gelu","max_position_embeddings":256,"layer_norm_eps":1e-12}`, len(vocab))
	model, err := arch.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	params, _, err := inference.Sketch(model)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	var out []safetensors.Out
	for _, p := range params {
		v := random(p, p.CheckpointDims(), r)
		for i := range v {
			if len(p.Shape.Dimensions) > 1 {
				v[i] *= 15
			}
		}
		out = append(out, safetensors.Out{Name: p.Name, DType: "F32", Shape: p.CheckpointDims(), Data: v})
	}
	if err := checkpoint.WriteDir(dir, config, out, nil); err != nil {
		t.Fatal(err)
	}
	return dir, sentences
}

// TestRun makes a model from nothing but a teacher and a corpus, stops on the way and
// goes on.
func TestRun(t *testing.T) {
	dir, _ := tinyTeacher(t)
	for _, begin := range []string{"prune", "random"} {
		t.Run(begin, func(t *testing.T) {
			o := options{teacher: dir, work: t.TempDir(), corpus: filepath.Join(dir, "corpus.txt"), cache: filepath.Join(dir, "answers"),
				backend: "go", keep: "0,2", begin: begin, size: shape{Vocab: 900, Dim: 8, Heads: 2, FFN: 16, Layers: 2, Positions: 256},
				loss: weights{Words: 1, Text: 2, Masked: 0.05}, minutes: 0.02, rate: 1e-3, dropout: 0.1, every: time.Hour, seed: 1}
			for range 2 {
				if err := o.run(t.Context()); err != nil {
					t.Fatal(err)
				}
				o.minutes *= 2
			}
			base, err := inference.OpenBase("student", "test", os.DirFS(o.model()))
			if err != nil {
				t.Fatal(err)
			}
			defer base.Close()
			if f := base.Arch.Facts(); f.Hidden != 8 || f.Layers != 2 || f.Vocab != 900 {
				t.Errorf("%+v", f)
			}
			if _, err := json.Marshal(base.Layout); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRunRefusals(t *testing.T) {
	dir, _ := tinyTeacher(t)
	good := options{teacher: dir, corpus: filepath.Join(dir, "corpus.txt"), backend: "go", keep: "0,2", begin: "prune",
		size: shape{Vocab: 900, Dim: 8, Heads: 2, FFN: 16, Layers: 2, Positions: 256}, seed: 1}
	for name, change := range map[string]func(*options){
		"no teacher":                    func(o *options) { o.teacher = "" },
		"a layer the teacher lacks":     func(o *options) { o.keep = "0,3" },
		"fewer layers than it keeps":    func(o *options) { o.keep = "0" },
		"heads of another width":        func(o *options) { o.size.Heads = 4 },
		"positions it cannot train all": func(o *options) { o.size.Positions = 64 },
		"too little text":               func(o *options) { o.corpus = filepath.Join(dir, "config.json") },
		"a backend there is not":        func(o *options) { o.backend = "abacus" },
	} {
		o := good
		o.work = t.TempDir()
		change(&o)
		if err := o.run(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestExamplesKeepWordsTogether checks that cutting word by word gives what cutting the
// whole text gives, so that the words of student and teacher are the same words.
func TestExamplesKeepWordsTogether(t *testing.T) {
	dir, sentences := tinyTeacher(t)
	o := options{work: t.TempDir(), corpus: filepath.Join(dir, "corpus.txt"), size: shape{Vocab: 500, Positions: 256}}
	_, student, err := o.prepare()
	if err != nil {
		t.Fatal(err)
	}
	teacher, err := inference.OpenBase("teacher", "test", os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer teacher.Close()
	sentences = sentences[1:100]
	for i, s := range sentences {
		// The first of longEvery sentences becomes part of a long text: put another before.
		e := examples([]string{"x", "", "", "", "", "", "", "", "", "", s}, student, teacher.Text)[1]
		if want := student.Encode(s, nil, 0).IDs; !slices.Equal(e.student, want) {
			t.Errorf("%d %q: %v, want %v", i, s, e.student, want)
		}
		if want := teacher.Text.Encode(s, nil, 0).IDs; !slices.Equal(e.teacher, want) {
			t.Errorf("%d %q: %v, want %v", i, s, e.teacher, want)
		}
		if a, b := slices.Max(e.studentWord), slices.Max(e.teacherWord); a != b {
			t.Errorf("%q: %d words and %d", s, a, b)
		}
	}
}
