// Command pretrain makes the weights of builtin:tiny-bert: it collects a corpus, trains
// a WordPiece vocabulary on it, and distils a sentence-transformer into a small BERT.
//
//	go run ./inference/builtin/pretrain -teacher all-MiniLM-L6-v2 -work /tmp/tiny-bert -minutes 30
//
// The steps leave their results in the folder -work, and a step whose result is there
// is not done again: to resume a run that was stopped, start it again. The model is
// written to -work/model whenever the run saves itself.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"lorikeet/inference/builtin/corpus"
	"lorikeet/inference/device"
	"lorikeet/inference/text"
)

type options struct {
	teacher, work, corpus, cache, debian, goroot, data, backend, keep, begin string
	size                                                                     shape
	loss                                                                     weights
	minutes, rate, dropout                                                   float64
	every                                                                    time.Duration
	seed                                                                     uint64
}

func main() {
	var o options
	flag.StringVar(&o.teacher, "teacher", "", "folder of all-MiniLM-L6-v2")
	flag.StringVar(&o.work, "work", "pretrain", "folder of the run: its state and the model")
	flag.StringVar(&o.corpus, "corpus", "", "file of sentences, made where it is missing (default WORK/corpus.txt)")
	flag.StringVar(&o.cache, "cache", "", "folder of the teacher's answers (default WORK/teacher)")
	flag.StringVar(&o.debian, "debian", "/usr", "where wordnet-base, fortunes, dict-devil, dict-jargon and python3-doc are installed")
	flag.StringVar(&o.goroot, "goroot", "/usr/local/go", "the Go distribution")
	flag.StringVar(&o.data, "data", "", "folder of JSON rows to add to the corpus")
	flag.StringVar(&o.backend, "backend", "xla:cpu", "what computes; see lorikeet/inference/device")
	flag.StringVar(&o.begin, "init", "prune", "what the student starts as: prune (the teacher with parts taken out) or random")
	flag.StringVar(&o.keep, "keep", "0,1,3,5", "the teacher's layers that a pruned student keeps")
	flag.IntVar(&o.size.Vocab, "vocab", 8000, "tokens of the vocabulary")
	flag.IntVar(&o.size.Dim, "dim", 256, "hidden_size")
	flag.IntVar(&o.size.Heads, "heads", 8, "num_attention_heads")
	flag.IntVar(&o.size.FFN, "ffn", 1024, "intermediate_size")
	flag.IntVar(&o.size.Layers, "layers", 4, "num_hidden_layers")
	flag.IntVar(&o.size.Positions, "positions", 256, "max_position_embeddings")
	flag.Float64Var(&o.loss.Words, "words", 1, "weight of the words' states in the loss")
	flag.Float64Var(&o.loss.Text, "text", 2, "weight of the text's embedding, by way of the pooler")
	flag.Float64Var(&o.loss.Masked, "masked", 0.05, "weight of the masked tokens")
	flag.Float64Var(&o.minutes, "minutes", 30, "time to train; the learning rate falls to zero over it")
	flag.Float64Var(&o.rate, "rate", 7e-4, "peak learning rate")
	flag.Float64Var(&o.dropout, "dropout", 0.1, "dropout that config.json recommends for tuning; pretraining has none")
	flag.DurationVar(&o.every, "every", 4*time.Minute, "time between two saves")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of everything random")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "pretrain:", err)
		os.Exit(1)
	}
}

func (o options) run(ctx context.Context) error {
	if o.teacher == "" {
		return errors.New("name the teacher's folder: -teacher")
	}
	if err := os.MkdirAll(o.model(), 0o755); err != nil {
		return err
	}
	sentences, tokenizer, err := o.prepare()
	if err != nil {
		return err
	}
	d, err := device.Open(ctx, o.backend, device.FromEnv(os.Getenv))
	if err != nil {
		return err
	}
	t, err := openTeacher(o.teacher, or(o.cache, filepath.Join(o.work, "teacher")), d.Backend)
	if err != nil {
		return err
	}
	if o.size.Vocab = tokenizer.VocabSize(); o.size.Positions < lengths[len(lengths)-1] {
		return fmt.Errorf("-positions %d: texts of %d tokens are trained on", o.size.Positions, lengths[len(lengths)-1])
	}
	all := batches(examples(sentences, tokenizer, t.base.Text), o.seed)
	fmt.Printf("%d sentences, %d batches of %d tokens\n", len(sentences), len(all), tokens)
	first, err := o.first(t, tokenizer, all)
	if err != nil {
		return err
	}
	st, err := newStudent(d.Backend, o.size, t.Dim, o.loss, first, o.seed)
	if err != nil {
		return err
	}
	return o.train(ctx, st, t, tokenizer, all)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (o options) model() string { return filepath.Join(o.work, "model") }

// prepare makes the corpus and the vocabulary where they are missing.
func (o options) prepare() ([]string, *text.Tokenizer, error) {
	file := or(o.corpus, filepath.Join(o.work, "corpus.txt"))
	if _, err := os.Stat(file); err != nil {
		if err := corpus.WriteFile(file, corpus.List(o.debian, o.goroot, o.data, o.seed)); err != nil {
			return nil, nil, err
		}
	}
	sentences, err := corpus.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(filepath.Join(o.model(), "vocab.txt")); err != nil {
		if err := writeVocab(o.model(), sentences, o.size.Vocab, o.size.Positions); err != nil {
			return nil, nil, err
		}
	}
	t, err := text.Load(os.DirFS(o.model()))
	return sentences, t, err
}

// first gives the weights that the student starts from.
func (o options) first(t *teacher, tokenizer *text.Tokenizer, all []batch) (map[string][]float32, error) {
	if _, err := os.Stat(o.state()); err == nil || o.begin == "random" {
		return nil, nil //nolint:nilerr // a saved run has weights, a random one needs none
	}
	var keep []int
	for s := range strings.SplitSeq(o.keep, ",") {
		i, err := strconv.Atoi(s)
		if err != nil || i < 0 || i >= t.Layers {
			return nil, fmt.Errorf("-keep %s: not a layer of the teacher", o.keep)
		}
		keep = append(keep, i)
	}
	if len(keep) != o.size.Layers || o.size.Dim%o.size.Heads != 0 || o.size.Dim/o.size.Heads != t.Dim/t.Heads || o.size.Dim > t.Dim || o.size.FFN > t.FFN {
		return nil, fmt.Errorf("a pruned student has %d layers to -keep, heads of %d, and no part larger than the teacher's", o.size.Layers, t.Dim/t.Heads)
	}
	var texts []batch
	for _, b := range all {
		if b.length == lengths[0] && len(texts) < 16 {
			texts = append(texts, b)
		}
	}
	probes := aligned(all, 8, 32)
	if len(probes) == 0 || len(texts) == 0 {
		return nil, fmt.Errorf("the corpus is too small to fit a pruned student on: %d batches of words, %d of texts", len(probes), len(texts))
	}
	w, err := prune(t, o.size, keep, tokenizer, probes, texts)
	return w, err
}

func (o options) state() string { return filepath.Join(o.work, "state.safetensors") }

// at is the learning rate when the given share of the time is over: up in the first
// twentieth, then down a cosine.
func (o options) at(done float64) float64 {
	const warm = 0.08
	if done < warm {
		return o.rate * (done / warm)
	}
	return o.rate * 0.5 * (1 + math.Cos(math.Pi*min(1, (done-warm)/(1-warm))))
}

func (o options) train(ctx context.Context, st *student, t *teacher, tokenizer *text.Tokenizer, all []batch) error {
	before, found, err := st.Load(o.state())
	if err != nil {
		return err
	}
	if found {
		fmt.Printf("resumed at step %d, %.0f s\n", st.Steps, before)
	}
	start, saved := time.Now(), time.Now()
	seconds := func() float64 { return before + time.Since(start).Seconds() }
	maskID, _ := tokenizer.Mask()
	var order []int
	var sum [4]float64
	n := 0
	for seconds() < o.minutes*60 && ctx.Err() == nil {
		epoch := st.Steps / len(all)
		if order == nil || st.Steps%len(all) == 0 {
			order = rand.New(rand.NewPCG(o.seed, uint64(epoch)+100)).Perm(len(all))
		}
		b := lessons{batch: all[order[st.Steps%len(all)]]}
		b.ids = pad(b.rows, b.length, func(e example) []int32 { return e.student }, tokenizer.PadID())
		b.masked = b.mask(b.ids, maskID, rand.New(rand.NewPCG(o.seed, uint64(st.Steps)+1<<32)))
		if b.words, b.text, err = t.answer(b.batch); err != nil {
			return err
		}
		rate := o.at(seconds() / (o.minutes * 60))
		values, err := st.learn(b, rate)
		if err != nil {
			return err
		}
		n++
		for i, v := range values {
			sum[i] += v
		}
		if st.Steps%25 == 0 || st.Steps < 4 {
			k := float64(n)
			line, err := json.Marshal(map[string]float64{"step": float64(st.Steps), "epoch": round(float64(st.Steps) / float64(len(all))), "seconds": round(seconds()),
				"rate": rate, "words": round(sum[0] / k), "text": round(sum[1] / k), "masked": round(sum[2] / k), "norm": round(sum[3] / k)})
			if err != nil {
				return err
			}
			fmt.Println(string(line))
			n, sum = 0, [4]float64{}
		}
		if time.Since(saved) > o.every {
			saved = time.Now()
			if err := o.save(st, seconds()); err != nil {
				return err
			}
		}
	}
	return o.save(st, seconds())
}

func round(v float64) float64 { return math.Round(v*1e4) / 1e4 }

func (o options) save(st *student, seconds float64) error {
	return errors.Join(st.Save(o.state(), seconds), st.export(o.model(), o.dropout))
}
