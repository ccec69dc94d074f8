package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/adapters"
	"lorikeet/adapters/safetensors"
	"lorikeet/adapters/sharedtest"
	"lorikeet/inference"
	"lorikeet/inference/arch"
	"lorikeet/inference/checkpoint"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/nn"
)

// causalLoop sets a run of a decoder-only fixture up: the base's weights frozen, the
// fixture's first adapter learned.
func causalLoop(t *testing.T, backend compute.Backend, dir string, c curve) (*loop, arch.Causal) {
	t.Helper()
	model, err := checkpoint.Open(os.DirFS(sharedtest.Fixture(t, "llama")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = model.Close() })
	lm, err := arch.OpenCausal(model.Config())
	if err != nil {
		t.Fatal(err)
	}
	l := &loop{backend: backend, maxNorm: c.Hyper.Clip, decay: c.Hyper.Decay,
		frozen: map[string]compute.Buffer{}, place: map[string]int{}, programs: map[string]*nn.Program{}}
	t.Cleanup(l.close)
	layout := func(learn *nn.Learn) *nn.Pass {
		p, _, err := nn.Build(backend, "layout", func(p *nn.Pass) []*graph.Node {
			p.Learn = learn
			return []*graph.Node{lm.Logits(p.Root(), p.Input("ids", dtypes.Int32, 1, 8), p.Input("mask", dtypes.Int32, 1, 8))}
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	config, err := os.ReadFile(filepath.Join(dir, "init", adapters.ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	modules := layout(nil).Modules
	a, err := adapters.Read(config, openTensors(t, filepath.Join(dir, "init", adapters.WeightsFile)), modules)
	if err != nil {
		t.Fatal(err)
	}
	l.learn = learner(a.Config, modules, t)
	for _, p := range layout(l.learn).Params {
		switch p.Role {
		case nn.Adapter:
			if err := l.addLearned(p, func(p nn.Param) ([]float32, error) { return fromAdapter(a, p) }); err != nil {
				t.Fatal(err)
			}
		case nn.Weight:
			v, err := model.Float32s(p.Name)
			if err != nil {
				t.Fatal(err)
			}
			if d := p.CheckpointDims(); p.Transposed {
				v = inference.Transpose(v, d[0], d[1])
			}
			if l.frozen[p.Name], err = nn.Upload(backend, v, p.Shape.Dimensions...); err != nil {
				t.Fatal(err)
			}
		}
	}
	return l, lm
}

// tokens runs one batch of labelled tokens and leaves its gradient for the update.
func (l *loop) tokens(t *testing.T, lm arch.Causal, batch int, in map[string][]int32) (loss float64) {
	t.Helper()
	length, asked := len(in["ids"])/batch, 0
	for i, label := range in["labels"] {
		if i%length > 0 && label >= 0 {
			asked++
		}
	}
	g, err := l.program(fmt.Sprintf("tokens_%dx%d", batch, length), func(p *nn.Pass) []*graph.Node {
		ids, mask := p.Input("ids", dtypes.Int32, batch, length), p.Input("mask", dtypes.Int32, batch, length)
		p.Learn = l.learn
		rows := nn.NextTokenLoss(lm.Logits(p.Root(), ids, mask), p.Input("labels", dtypes.Int32, batch, length))
		loss := graph.Mul(graph.ReduceAllSum(rows), p.Input("weight", dtypes.Float32))
		var learned []*graph.Node
		for _, t := range l.learned {
			learned = append(learned, p.Node(t.param.Role, t.param.Name))
		}
		return append([]*graph.Node{loss}, graph.Gradient(loss, learned...)...)
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := g.Run(func(p nn.Param) (compute.Buffer, bool, error) {
		if buf, ok := l.weights(p); ok {
			return buf, false, nil
		}
		if p.Name == "weight" {
			b, err := nn.Upload(l.backend, []float32{1 / float32(asked)})
			return b, true, err
		}
		b, err := nn.Upload(l.backend, in[p.Name], batch, length)
		return b, true, err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range l.learned {
		l.learned[i].gradient = out[i+1]
	}
	if loss, err = scalar(out[0]); err != nil {
		t.Fatal(err)
	}
	return loss
}

// tokenBatch reads a step's batch, padded to one length for all steps.
func tokenBatch(t *testing.T, f *safetensors.File, step int) (rows int, in map[string][]int32) {
	t.Helper()
	const length = 36
	in = map[string][]int32{}
	for name, from := range map[string]struct {
		tensor string
		pad    int32
	}{"ids": {"input_ids", 0}, "mask": {"attention_mask", 0}, "labels": {"labels", -100}} {
		tensor := fmt.Sprintf("step%02d.%s", step, from.tensor)
		v, err := f.Int64s(tensor)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := f.Info(tensor)
		rows = info.Shape[0]
		padded := slices.Repeat([]int32{from.pad}, rows*length)
		for i, x := range v {
			padded[i/info.Shape[1]*length+i%info.Shape[1]] = int32(x)
		}
		in[name] = padded
	}
	return rows, in
}

func TestLossesOfALanguageModelAgreeWithPyTorch(t *testing.T) {
	dir := sharedtest.Fixture(t, "train-llama-lora")
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
		l, lm := causalLoop(t, backend, dir, c)
		schedule := Schedule{Name: "linear", Peak: c.Hyper.LR, Warmup: c.Hyper.Warm, Total: c.Hyper.Total}
		worst := 0.0
		for i, want := range c.Steps {
			rows, in := tokenBatch(t, batches, i)
			loss := l.tokens(t, lm, rows, in)
			norm, err := l.advance(schedule.At(i))
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
		compareFinal(t, l, c)
	})
}
