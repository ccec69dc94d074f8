//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"lorikeet/adapters"
	"lorikeet/adapters/safetensors"
	"lorikeet/inference"
	"lorikeet/inference/builtin"
	"lorikeet/inference/checkpoint"
)

// baseName is what the base is served as.
const baseName = "tiny"

// headed writes the lower half of the built-in encoder, for short texts, with a
// classification head of its own, drawn at random: the bare base answers too, and
// thousands of requests do not take long.
func headed(dir string, r *rand.Rand) error {
	const model = "tiny-bert"
	folder, err := builtin.Open(model)
	if err != nil {
		return err
	}
	bare, err := inference.OpenBase(model, "builtin:"+model, folder)
	if err != nil {
		return err
	}
	defer bare.Close()
	var config map[string]any
	if err := json.Unmarshal(bare.Config(), &config); err != nil {
		return err
	}
	config["architectures"] = []string{"BertForSequenceClassification"}
	config["num_hidden_layers"], config["max_position_embeddings"] = 2, 32
	config["id2label"] = map[string]string{"0": "no", "1": "yes", "2": "maybe"}
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	weights, err := inference.Blueprint(text)
	if err != nil {
		return err
	}
	var out []safetensors.Out
	for _, w := range weights {
		v, err := bare.Tensor(w.Stored())
		if err != nil {
			return err
		}
		if v == nil { // of the head
			v = random(r, w.Shape.Size(), 0.3)
		}
		v = v[:w.Shape.Size()] // of the positions the first ones
		out = append(out, safetensors.Out{Name: w.Stored(), DType: "F32", Shape: w.CheckpointDims(), Data: v})
	}
	if err := checkpoint.WriteDir(dir, text, out, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	for _, name := range inference.TokenizerFiles {
		b, err := fs.ReadFile(folder, name)
		if err != nil {
			continue // it has another kind of tokenizer
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func random(r *rand.Rand, n int, deviation float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(deviation * r.NormFloat64())
	}
	return v
}

// files are the two of a PEFT folder.
type files struct {
	base            string // that it is for
	config, weights []byte
	pages           int // slots that it takes
}

// draw makes an adapter at random: its rank, what it targets, its scale, the number of
// its labels. damage, if there is one, changes it before it is written.
func draw(r *rand.Rand, base *inference.Base, damage func(*adapters.Adapter)) (files, error) {
	rank := 1 + r.IntN(maxRank)
	labels := make([]string, 2+r.IntN(5))
	for i := range labels {
		labels[i] = fmt.Sprintf("%c%d", 'a'+r.IntN(26), i)
	}
	c := adapters.Config{PeftType: "LORA", R: rank, Alpha: float64(1 + r.IntN(2*rank)), Bias: "none", RSLoRA: r.IntN(4) == 0,
		Targets: adapters.Names{List: targets[r.IntN(len(targets))]}, Save: base.Facts().Heads}
	a := &adapters.Adapter{Config: c, Factors: map[string]adapters.Factors{}, Saved: map[string]adapters.Dense{},
		Meta: adapters.Meta{BaseDigest: base.Digest, Labels: labels}}
	plan, err := c.Plan(base.Layout)
	if err != nil {
		return files{}, err
	}
	for _, m := range base.Layout {
		if p, ok := plan.Ranks[m.Path]; ok {
			a.Factors[m.Path] = adapters.Factors{Rank: p.R, In: m.In, Out: m.Out, A: random(r, p.R*m.In, 0.1), B: random(r, m.Out*p.R, 0.1), Scale: p.Scale}
		}
	}
	for _, path := range plan.Saved {
		m, ok := base.Layout.Find(path)
		if !ok {
			return files{}, fmt.Errorf("the base has no %s", path)
		}
		out := m.Out
		if m.Labels {
			out = len(labels)
		}
		a.Saved[path] = adapters.Dense{In: m.In, Out: out, Weight: random(r, out*m.In, 0.2), Bias: random(r, out, 0.2)}
	}
	if damage != nil {
		damage(a)
	}
	tensors, meta := a.Tensors()
	var weights bytes.Buffer
	if err := safetensors.Write(&weights, tensors, meta); err != nil {
		return files{}, err
	}
	return files{base: base.Name, config: c.Marshal(), weights: weights.Bytes(), pages: (rank + 7) / 8}, nil
}

// targets of an adapter. They are few, as they are in life, where most adapters of a
// base come from one recipe: each union of them in a batch has a graph of its own.
var targets = [][]string{{"query", "value"}, {"query", "key", "value", "dense"}, {"dense"}}
