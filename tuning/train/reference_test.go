package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"lorikeet/adapters"
	"lorikeet/adapters/safetensors"
	"lorikeet/adapters/safetensors/safetensorstest"
	"lorikeet/adapters/sharedtest"
	"lorikeet/inference"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/nn"
	"lorikeet/tuning"
)

// curve is the expected.json of a training fixture made with PyTorch.
type curve struct {
	Base  string // its folder
	Hyper struct {
		LR      float64    `json:"lr"`
		Betas   [2]float64 `json:"betas"`
		Epsilon float64    `json:"eps"`
		Decay   float64    `json:"weight_decay"`
		Warm    int        `json:"warmup_steps"`
		Total   int        `json:"total_steps"`
		Clip    float64    `json:"clip_grad_norm"`
		Parts   int        `json:"gradient_accumulation"`
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

func readCurve(t *testing.T, dir string) curve {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c curve
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// fixtureRun sets a run up as the fixture was: no dropout, PyTorch's first values.
func fixtureRun(t *testing.T, backend compute.Backend, devices int, dir string, c curve) *attempt {
	t.Helper()
	name := filepath.Base(c.Base)
	base, err := inference.OpenBase(name, "test", os.DirFS(sharedtest.Fixture(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = base.Close() })
	s := tuning.Spec{Kind: tuning.Full, Hyperparameters: &tuning.Hyperparameters{Dropout: of(0.0)}}
	a := &attempt{spec: s.WithDefaults(), base: base, keepHead: true, target: target{problem: base.Facts().Problem}}
	a.loop = &loop{backend: backend, devices: devices, base: base, model: a.family(), maxNorm: c.Hyper.Clip, decay: c.Hyper.Decay,
		optimizer: &adamW{c.Hyper.Betas[0], c.Hyper.Betas[1], c.Hyper.Epsilon}}
	t.Cleanup(a.close)
	learns := a.learns
	first := base.Value
	if config, err := os.ReadFile(filepath.Join(dir, "init", adapters.ConfigFile)); err == nil {
		made, err := adapters.Read(config, safetensorstest.Open(t, filepath.Join(dir, "init", adapters.WeightsFile)), base.Layout)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := made.Config.Plan(base.Layout)
		if err != nil {
			t.Fatal(err)
		}
		a.loop.learn = learn(plan, 0)
		learns = func(name string) bool { return headOf(made, name) != nil }
		first = func(p nn.Param) ([]float32, error) { return fromAdapter(made, p) }
	}
	if err := a.loop.prepare(learns, first); err != nil {
		t.Fatal(err)
	}
	return a
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

// fixtureRows reads a batch as the examples it was made of, without their padding.
func (a *attempt) fixtureRows(t *testing.T, f *safetensors.File, n int) []example {
	t.Helper()
	read := func(what string) [][]int32 {
		name := fmt.Sprintf("step%02d.%s", n, what)
		v, err := f.Int64s(name)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := f.Info(name)
		var rows [][]int32
		for row := range slices.Chunk(v, len(v)/info.Shape[0]) {
			ids := make([]int32, len(row))
			for i, x := range row {
				ids[i] = int32(x)
			}
			rows = append(rows, ids)
		}
		return rows
	}
	ids, mask, labels := read("input_ids"), read("attention_mask"), read("labels")
	rows := make([]example, len(ids))
	for i := range rows {
		e := &rows[i]
		length := 0
		for _, m := range mask[i] {
			length += int(m)
		}
		e.tokens.IDs = ids[i][:length]
		switch {
		case !a.base.Generates():
			e.tokens.TypeIDs, e.label = make([]int32, length), int(labels[i][0])
			continue
		case a.base.Causal != nil:
			e.labels = labels[i][:length]
		default:
			e.labels = labels[i]
			for len(e.labels) > 0 && e.labels[len(e.labels)-1] == unasked {
				e.labels = e.labels[:len(e.labels)-1]
			}
		}
		for _, label := range e.labels {
			e.counts = append(e.counts, map[bool]float32{true: 1, false: 0}[label != unasked])
		}
	}
	return rows
}

// TestLossesAgreeWithPyTorch runs the steps of the fixtures through the loop.
func TestLossesAgreeWithPyTorch(t *testing.T) {
	all := lengths
	lengths = []int{48} // one graph for all batches: compiling takes XLA longer than the steps
	t.Cleanup(func() { lengths = all })
	for _, name := range []string{"train-bert-full", "train-bert-lora", "train-t5-full", "train-t5-lora", "train-llama-lora", "train-marian-full-accum"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each keeps one core busy
			dir := sharedtest.Fixture(t, name)
			c := readCurve(t, dir)
			batches := safetensorstest.Open(t, filepath.Join(dir, "batches.safetensors"))
			devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
				a := fixtureRun(t, backend, 1, dir, c)
				schedule := Schedule{Name: "linear", Peak: c.Hyper.LR, Warmup: c.Hyper.Warm, Total: c.Hyper.Total}
				worst := 0.0
				for i, want := range c.Steps {
					rate := schedule.At(i)
					if math.Abs(rate-want.LR) > 1e-12 {
						t.Errorf("step %d: learning rate %v, PyTorch has %v", i, rate, want.LR)
					}
					var micro []batch
					for part := range c.Hyper.Parts {
						rows := a.fixtureRows(t, batches, i*c.Hyper.Parts+part)
						asked := 0.0
						for _, e := range rows {
							asked += a.asked(e)
						}
						// The fixture's loss is the mean over its micro-batches, whatever each asks.
						micro = append(micro, a.loop.pack(rows, len(rows), 1/(asked*float64(c.Hyper.Parts))))
					}
					loss, norm, err := a.loop.one(t.Context(), micro, rate)
					if err != nil {
						t.Fatal(err)
					}
					worst = max(worst, math.Abs(loss-want.Loss))
					if !(math.Abs(loss-want.Loss) <= 1e-3) {
						t.Errorf("step %d: loss %v, PyTorch has %v", i, loss, want.Loss)
					}
					if !(math.Abs(norm-want.Norm) <= 1e-3*math.Max(1, want.Norm)) {
						t.Errorf("step %d: gradient norm %v, PyTorch has %v", i, norm, want.Norm)
					}
				}
				t.Logf("the losses of %d steps differ by up to %.1e", len(c.Steps), worst)
				compareFinal(t, a.loop, c)
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
