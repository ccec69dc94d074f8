package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"lorikeet/adapters"
	"lorikeet/adapters/safetensors"
	"lorikeet/adapters/sharedtest"
	"lorikeet/inference"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/nn"
	"lorikeet/inference/text"
)

// curve is the expected.json of a training fixture made with PyTorch.
type curve struct {
	Hyper struct {
		LR    float64 `json:"lr"`
		Decay float64 `json:"weight_decay"`
		Warm  int     `json:"warmup_steps"`
		Total int     `json:"total_steps"`
		Clip  float64 `json:"clip_grad_norm"`
	} `json:"hyper"`
	Steps []struct {
		LR   float64 `json:"lr"`
		Loss float64 `json:"loss"`
		Norm float64 `json:"grad_norm"`
	} `json:"steps"`
	Final map[string]struct {
		Norm float64 `json:"norm"`
		Err  float64 `json:"rel_update_err_f32"`
	} `json:"final"`
}

func openTensors(t *testing.T, path string) *safetensors.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s, err := safetensors.Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fixtureLoop sets a run up as the fixture was: no dropout, PyTorch's first values.
func fixtureLoop(t *testing.T, backend compute.Backend, dir string, c curve) *loop {
	t.Helper()
	base, err := inference.OpenBase("bert-seqcls", "test", os.DirFS(sharedtest.Fixture(t, "bert-seqcls")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = base.Close() })
	l := &loop{backend: backend, base: base, maxNorm: c.Hyper.Clip, decay: c.Hyper.Decay,
		model: classifier{arch: base.Arch, problem: base.Facts().Problem, pad: base.Text.PadID(), limit: base.Facts().MaxLength}}
	t.Cleanup(l.close)
	learns := func(string) bool { return true }
	first := base.Value
	if config, err := os.ReadFile(filepath.Join(dir, "init", adapters.ConfigFile)); err == nil {
		a, err := adapters.Read(config, openTensors(t, filepath.Join(dir, "init", adapters.WeightsFile)), base.Layout)
		if err != nil {
			t.Fatal(err)
		}
		l.learn = learner(a.Config, base.Layout, t)
		learns = func(name string) bool { return headOf(a, name) != nil }
		first = func(p nn.Param) ([]float32, error) { return fromAdapter(a, p) }
	}
	if err := l.prepare(learns, first); err != nil {
		t.Fatal(err)
	}
	return l
}

func learner(c adapters.Config, layout adapters.Layout, t *testing.T) *nn.Learn {
	t.Helper()
	plan, err := c.Plan(layout)
	if err != nil {
		t.Fatal(err)
	}
	return learn(plan, 0)
}

func headOf(a *adapters.Adapter, name string) []float32 {
	for path, d := range a.Saved {
		switch name {
		case path + ".weight":
			return inference.Transpose(d.Weight, d.Out, d.In)
		case path + ".bias":
			return d.Bias
		}
	}
	return nil
}

func fromAdapter(a *adapters.Adapter, p nn.Param) ([]float32, error) {
	if v := headOf(a, p.Name); v != nil {
		return v, nil
	}
	for path, f := range a.Factors {
		switch p.Name {
		case path + ".lora_A":
			return inference.Transpose(f.A, f.Rank, f.In), nil
		case path + ".lora_B":
			return inference.Transpose(f.B, f.Out, f.Rank), nil
		}
	}
	return nil, fmt.Errorf("the fixture has no %s", p.Name)
}

// fixtureBatch reads a step's batch, with the padding it was trained with.
func fixtureBatch(t *testing.T, f *safetensors.File, step int) []example {
	t.Helper()
	name := fmt.Sprintf("step%02d.", step)
	read := func(what string) []int64 {
		v, err := f.Int64s(name + what)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	ids, mask, labels := read("input_ids"), read("attention_mask"), read("labels")
	width := len(ids) / len(labels)
	rows := make([]example, len(labels))
	for i := range rows {
		var e text.Encoding
		for j := i * width; j < (i+1)*width; j++ {
			if mask[j] == 1 {
				e.IDs = append(e.IDs, int32(ids[j]))
			}
		}
		e.TypeIDs = make([]int32, len(e.IDs))
		rows[i] = example{tokens: e, label: int(labels[i])}
	}
	return rows
}

func TestLossesAgreeWithPyTorch(t *testing.T) {
	for _, name := range []string{"train-bert-full", "train-bert-lora"} {
		t.Run(name, func(t *testing.T) {
			dir := sharedtest.Fixture(t, name)
			raw, err := os.ReadFile(filepath.Join(dir, "expected.json"))
			if err != nil {
				t.Fatal(err)
			}
			var c curve
			if err := json.Unmarshal(raw, &c); err != nil {
				t.Fatal(err)
			}
			batches := openTensors(t, filepath.Join(dir, "batches.safetensors"))
			devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
				l := fixtureLoop(t, backend, dir, c)
				schedule := Schedule{Name: "linear", Peak: c.Hyper.LR, Warmup: c.Hyper.Warm, Total: c.Hyper.Total}
				for i, want := range c.Steps {
					rows := fixtureBatch(t, batches, i)
					rate := schedule.At(i)
					if math.Abs(rate-want.LR) > 1e-12 {
						t.Errorf("step %d: learning rate %v, PyTorch has %v", i, rate, want.LR)
					}
					loss, norm, err := l.one(t.Context(), []batch{l.pack(rows, len(rows), 1/float64(len(rows)))}, rate)
					if err != nil {
						t.Fatal(err)
					}
					if math.Abs(loss-want.Loss) > 1e-3 {
						t.Errorf("step %d: loss %v, PyTorch has %v", i, loss, want.Loss)
					}
					if math.Abs(norm-want.Norm) > 1e-3*math.Max(1, want.Norm) {
						t.Errorf("step %d: gradient norm %v, PyTorch has %v", i, norm, want.Norm)
					}
				}
				compareFinal(t, l, c)
			})
		})
	}
}

// compareFinal compares the norms of what was learned. Tensors whose true gradient is
// zero are skipped: there Adam amplifies noise, in PyTorch as here.
func compareFinal(t *testing.T, l *loop, c curve) {
	t.Helper()
	values, err := l.values()
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for i, p := range l.learned {
		for _, name := range []string{p.param.Name, "base_model.model." + p.param.Name + ".default.weight", torchHead(p.param.Name)} {
			want, ok := c.Final[name]
			if !ok || want.Err > 1e-3 {
				continue
			}
			var sum float64
			for _, x := range values[i] {
				sum += float64(x) * float64(x)
			}
			if norm := math.Sqrt(sum); math.Abs(norm-want.Norm) > 1e-3*math.Max(1, want.Norm) {
				t.Errorf("%s: norm %v after training, PyTorch has %v", name, norm, want.Norm)
			}
			compared++
		}
	}
	if compared < len(l.learned)/2 {
		t.Errorf("only %d of %d learned tensors were compared", compared, len(l.learned))
	}
}

// torchHead is PEFT's name of a trained copy of a head's parameter.
func torchHead(name string) string {
	ext := filepath.Ext(name)
	return "base_model.model." + strings.TrimSuffix(name, ext) + ".modules_to_save.default" + ext
}
