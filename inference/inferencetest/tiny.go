// Package inferencetest makes tiny models and adapters on disk for tests: real files
// in the real formats, with random weights, small enough to run anywhere.
package inferencetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lorikeet/adapters"
	"lorikeet/adapters/safetensors"
	"lorikeet/inference"
	"lorikeet/inference/checkpoint"
)

// Words are the vocabulary of the tiny models, after the special tokens and letters.
var Words = strings.Fields(`the a an is was it this that movie film food phone service very not so and but of to in
	good great fine lovely superb excellent moving happy best wonderful love like enjoyed
	bad poor awful boring dull terrible horrible sad worst hate waste broken slow cold`)

// BERT writes the folder of a BERT with two layers of width 16 and returns its path.
// Without labels it is a bare encoder; with one, a regression.
func BERT(t testing.TB, labels ...string) string {
	t.Helper()
	dir := t.TempDir()
	vocab := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	for c := 'a'; c <= 'z'; c++ {
		vocab = append(vocab, string(c), "##"+string(c))
	}
	seen := map[string]bool{"a": true}
	for _, w := range Words {
		if !seen[w] {
			seen[w] = true
			vocab = append(vocab, w)
		}
	}
	c := map[string]any{"model_type": "bert", "architectures": []string{"BertModel"}, "vocab_size": len(vocab), "hidden_size": 16,
		"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "hidden_act": "gelu", "max_position_embeddings": 64,
		"type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
	if len(labels) > 0 {
		c["architectures"] = []string{"BertForSequenceClassification"}
		names := map[string]string{}
		for i, l := range labels {
			names[fmt.Sprint(i)] = l
		}
		c["id2label"] = names
	}
	config, err := json.Marshal(c)
	must(t, err)
	fill(t, dir, config, 0.3)
	must(t, os.WriteFile(filepath.Join(dir, "vocab.txt"), []byte(strings.Join(vocab, "\n")+"\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), []byte(`{"tokenizer_class":"BertTokenizer","do_lower_case":true}`), 0o600))
	return dir
}

// fill writes a checkpoint of random weights with this deviation.
func fill(t testing.TB, dir string, config []byte, deviation float64) {
	t.Helper()
	weights, err := inference.Blueprint(config)
	must(t, err)
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // test data
	var out []safetensors.Out
	for _, w := range weights {
		n := w.Shape.Size()
		v := make([]float32, n)
		for i := range v {
			switch {
			case strings.HasSuffix(w.Name, "orm.weight"):
				v[i] = 1
			case !strings.HasSuffix(w.Name, ".bias"):
				v[i] = float32(deviation * r.NormFloat64())
			}
		}
		out = append(out, safetensors.Out{Name: w.Name, DType: "F32", Shape: w.CheckpointDims(), Data: v})
	}
	must(t, checkpoint.WriteDir(dir, config, out, map[string]string{"format": "pt"}))
}

// Base opens a folder that was written here.
func Base(t testing.TB, name, dir string) *inference.Base {
	t.Helper()
	b, err := inference.OpenBase(name, dir, os.DirFS(dir))
	must(t, err)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// Adapter makes the two files of a PEFT adapter with random factors of this rank on
// the queries and values of a base. With labels it brings a head of its own. The same
// seed gives the same bytes.
func Adapter(t testing.TB, base *inference.Base, seed uint64, rank int, labels ...string) (config, weights []byte) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 3)) //nolint:gosec // test data
	random := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(0.5 * r.NormFloat64())
		}
		return v
	}
	c := adapters.Config{PeftType: "LORA", R: rank, Alpha: float64(2 * rank), Bias: "none", Targets: adapters.Names{List: base.Facts().Targets}}
	if len(labels) > 0 {
		c.Save = base.Facts().Heads
	}
	a := &adapters.Adapter{Config: c, Factors: map[string]adapters.Factors{}, Saved: map[string]adapters.Dense{},
		Meta: adapters.Meta{BaseDigest: base.Digest, Labels: labels}}
	plan, err := c.Plan(base.Layout)
	must(t, err)
	for _, m := range base.Layout {
		if p, ok := plan.Ranks[m.Path]; ok {
			a.Factors[m.Path] = adapters.Factors{Rank: p.R, In: m.In, Out: m.Out, A: random(p.R * m.In), B: random(m.Out * p.R), Scale: p.Scale}
		}
	}
	for _, path := range plan.Saved {
		m, _ := base.Layout.Find(path)
		out := m.Out
		if m.Labels {
			out = len(labels)
		}
		a.Saved[path] = adapters.Dense{In: m.In, Out: out, Weight: random(out * m.In), Bias: random(out)}
	}
	tensors, meta := a.Tensors()
	var buf bytes.Buffer
	must(t, safetensors.Write(&buf, tensors, meta))
	return c.Marshal(), buf.Bytes()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
