// Command t5 makes the weights of builtin:tiny-t5: it trains a Unigram vocabulary, and
// then a small T5 on instructions with their answers (inference/builtin/tasks) and on
// sentences with spans missing (Raffel et al. 2020, section 3.1.4), both in every batch.
//
//	go run ./inference/builtin/pretrain/t5 -work /tmp/tiny-t5 -minutes 60
//	go run ./inference/builtin/pretrain/t5 -work /tmp/tiny-t5 -score 40
//
// The steps leave their results in the folder -work, and a step whose result is there
// is not done again: to resume a run that was stopped, start it again. The model is
// written to -work/model whenever the run saves itself.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"lorikeet/inference/builtin/corpus"
	"lorikeet/inference/builtin/tasks"
	"lorikeet/inference/device"
	"lorikeet/inference/text"
)

type options struct {
	work, corpus, debian, goroot, data, backend string
	size                                        shape
	vocab, score, room                          int
	minutes, rate, spans                        float64
	every                                       time.Duration
	seed                                        uint64
	muon                                        bool
}

func main() {
	var o options
	flag.StringVar(&o.work, "work", "pretrain-t5", "folder of the run: its state and the model")
	flag.StringVar(&o.corpus, "corpus", "", "file of sentences, made where it is missing (default WORK/corpus.txt)")
	flag.StringVar(&o.debian, "debian", "/usr", "where wordnet-base and python3-doc are installed")
	flag.StringVar(&o.goroot, "goroot", "/usr/local/go", "the Go distribution")
	flag.StringVar(&o.data, "data", "", "folder of JSON rows to add to the corpus")
	flag.StringVar(&o.backend, "backend", "xla:cpu", "what computes; see lorikeet/inference/device")
	flag.IntVar(&o.vocab, "vocab", 4096, "tokens of the vocabulary")
	flag.IntVar(&o.size.Dim, "dim", 256, "d_model")
	flag.IntVar(&o.size.Heads, "heads", 4, "num_heads")
	flag.IntVar(&o.size.HeadDim, "head", 64, "d_kv")
	flag.IntVar(&o.size.FFN, "ffn", 512, "d_ff")
	flag.IntVar(&o.size.Encoder, "encoder", 3, "num_layers")
	flag.IntVar(&o.size.Decoder, "decoder", 3, "num_decoder_layers")
	flag.IntVar(&o.room, "rows", 1, "how many times the rows of the lanes make a batch")
	flag.Float64Var(&o.minutes, "minutes", 60, "time to train; the learning rate falls to zero over it")
	flag.Float64Var(&o.rate, "rate", 2e-2, "peak learning rate, relative to the root mean square of a weight")
	flag.Float64Var(&o.spans, "spans", 0.12, "share of sentences with spans missing")
	flag.DurationVar(&o.every, "every", 4*time.Minute, "time between two saves")
	flag.BoolVar(&o.muon, "muon", true, "learn matrices by Muon in place of AdamW")
	flag.IntVar(&o.score, "score", 0, "do not train: answer so many held-out examples of each task")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of everything random")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "pretrain t5:", err)
		os.Exit(1)
	}
}

func (o options) model() string { return filepath.Join(o.work, "model") }
func (o options) state() string { return filepath.Join(o.work, "state.safetensors") }

func (o options) run(ctx context.Context) error {
	if err := os.MkdirAll(o.model(), 0o755); err != nil {
		return err
	}
	sentences, tokenizer, err := o.prepare()
	if err != nil {
		return err
	}
	maker := tasks.New(sentences)
	d, err := device.Open(ctx, o.backend, device.FromEnv(os.Getenv))
	if err != nil {
		return err
	}
	if o.score > 0 {
		return o.report(ctx, d.Backend, maker)
	}
	o.size.Vocab = tokenizer.VocabSize()
	l, err := newLearner(d.Backend, o.size, o.lanes(), o.seed)
	if err != nil {
		return err
	}
	l.muon = o.muon
	fmt.Printf("%d sentences, %d tokens in the vocabulary, %d parameters\n", len(sentences), o.size.Vocab, l.Size())
	return o.train(ctx, l, &source{maker: maker, tokenizer: tokenizer, sentences: sentences, spans: o.spans, seed: o.seed})
}

// sources are those of the corpus whose licence is known to allow it, of plain language.
func (o options) sources() []corpus.Source {
	var out []corpus.Source
	for _, s := range corpus.List(o.debian, o.goroot, o.data, o.seed) {
		if !strings.Contains(s.Name, "p3_t0") && !strings.Contains(s.Name, "fortunes") && !strings.Contains(s.Name, "dict-") {
			out = append(out, s)
		}
	}
	return out
}

// prepare makes the corpus and the vocabulary where they are missing.
func (o options) prepare() ([]string, *text.Tokenizer, error) {
	file := o.corpus
	if file == "" {
		file = filepath.Join(o.work, "corpus.txt")
	}
	if _, err := os.Stat(file); err != nil {
		if err := corpus.WriteFile(file, o.sources()); err != nil {
			return nil, nil, err
		}
	}
	sentences, err := corpus.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(filepath.Join(o.model(), "tokenizer.json")); err != nil {
		if err := writeVocab(o.model(), sentences, o.vocab, o.seed); err != nil {
			return nil, nil, err
		}
	}
	t, err := text.Load(os.DirFS(o.model()))
	return sentences, t, err
}
