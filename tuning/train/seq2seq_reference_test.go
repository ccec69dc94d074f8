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

// pairs is a run of an encoder-decoder fixture.
type pairs struct {
	*loop
	model          arch.Seq2Seq
	source, target int // lengths that every batch is padded to: one graph for all
}

// pairLoop sets a run up as the fixture was: everything learns, or its first adapter.
func pairLoop(t *testing.T, backend compute.Backend, dir, base string, c curve, adam adamW) *pairs {
	t.Helper()
	files, err := checkpoint.Open(os.DirFS(sharedtest.Fixture(t, base)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	model, err := arch.OpenSeq2Seq(files.Config())
	if err != nil {
		t.Fatal(err)
	}
	l := &pairs{source: 36, target: 18, model: model, loop: &loop{backend: backend, maxNorm: c.Hyper.Clip, decay: c.Hyper.Decay, optimizer: &adam,
		frozen: map[string]compute.Buffer{}, place: map[string]int{}, programs: map[string]*nn.Program{}}}
	t.Cleanup(l.close)
	layout := func() *nn.Pass {
		p, _, err := nn.Build(backend, "layout", func(p *nn.Pass) []*graph.Node { return []*graph.Node{l.logits(p, 1)} })
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var first *adapters.Adapter
	if config, err := os.ReadFile(filepath.Join(dir, "init", adapters.ConfigFile)); err == nil {
		modules := layout().Modules
		first, err = adapters.Read(config, openTensors(t, filepath.Join(dir, "init", adapters.WeightsFile)), modules)
		if err != nil {
			t.Fatal(err)
		}
		l.learn = learner(first.Config, modules, t)
	}
	for _, p := range layout().Params {
		switch {
		case p.Role == nn.Adapter:
			err = l.addLearned(p, func(p nn.Param) ([]float32, error) { return fromAdapter(first, p) })
		case p.Role == nn.Weight && first == nil && !slices.Contains(model.Facts().Fixed, p.Name):
			err = l.addLearned(p, func(p nn.Param) ([]float32, error) { return stored(files, p) })
		case p.Role == nn.Weight:
			var v []float32
			if v, err = stored(files, p); err == nil {
				l.frozen[p.Name], err = nn.Upload(backend, v, p.Shape.Dimensions...)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// stored reads a weight in the layout of the device.
func stored(files *checkpoint.Model, p nn.Param) ([]float32, error) {
	v, err := files.Float32s(p.Name)
	if d := p.CheckpointDims(); err == nil && p.Transposed {
		v = inference.Transpose(v, d[0], d[1])
	}
	return v, err
}

// logits builds the whole model on a batch.
func (l *pairs) logits(p *nn.Pass, batch int) *graph.Node {
	p.Learn = l.learn
	mask := p.Input("mask", dtypes.Int32, batch, l.source)
	states := l.model.Encode(p.Root(), p.Input("ids", dtypes.Int32, batch, l.source), mask)
	return l.model.Decode(p.Root(), p.Input("decoder", dtypes.Int32, batch, l.target), states, mask)
}

// gradient builds the weighted loss of a micro-batch and its gradient, added to those
// before it.
func (l *pairs) gradient(batch int, sum bool) func(p *nn.Pass) []*graph.Node {
	return func(p *nn.Pass) []*graph.Node {
		rows := nn.TokenLoss(l.logits(p, batch), p.Input("labels", dtypes.Int32, batch, l.target))
		loss := graph.Mul(graph.ReduceAllSum(rows), p.Input("weight", dtypes.Float32))
		var learned []*graph.Node
		for _, t := range l.learned {
			learned = append(learned, p.Node(t.param.Role, t.param.Name))
		}
		outputs := []*graph.Node{loss}
		for i, g := range graph.Gradient(loss, learned...) {
			if t := l.learned[i].param; sum {
				g = graph.Add(g, p.Input("sum:"+t.Name, dtypes.Float32, t.Shape.Dimensions...))
			}
			outputs = append(outputs, g)
		}
		return outputs
	}
}

// micro runs one micro-batch of a step that has parts of them, and leaves the gradient
// for the update. Its loss is the mean over its own tokens, as transformers has it.
func (l *pairs) micro(t *testing.T, in map[string][]int32, batch, part, parts int) (loss float64) {
	t.Helper()
	asked := 0
	for _, label := range in["labels"] {
		if label >= 0 {
			asked++
		}
	}
	sum := parts > 1 // one graph for all parts: the first adds to zeros
	g, err := l.program(fmt.Sprintf("pairs_%d_%t", batch, sum), l.gradient(batch, sum))
	if err != nil {
		t.Fatal(err)
	}
	out, err := g.Run(func(p nn.Param) (compute.Buffer, bool, error) {
		if buf, ok := l.weights(p); ok {
			return buf, false, nil
		}
		if p.Name == "weight" {
			b, err := nn.Upload(l.backend, []float32{1 / float32(asked*parts)})
			return b, true, err
		}
		if v, ok := in[p.Name]; ok {
			b, err := nn.Upload(l.backend, v, p.Shape.Dimensions...)
			return b, true, err
		}
		held := &l.learned[l.place[p.Name[len("sum:"):]]]
		if part == 0 {
			b, err := nn.Upload(l.backend, make([]float32, p.Shape.Size()), p.Shape.Dimensions...)
			return b, true, err
		}
		buf := held.gradient
		held.gradient = nil
		return buf, true, nil
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

// pairBatch reads a batch of the fixture and pads it.
func (l *pairs) pairBatch(t *testing.T, f *safetensors.File, n int) (in map[string][]int32, rows int) {
	t.Helper()
	facts := l.model.Facts()
	in = map[string][]int32{}
	for name, from := range map[string]struct {
		tensor string
		pad    int32
		length int
	}{"ids": {"input_ids", facts.Pad, l.source}, "mask": {"attention_mask", 0, l.source}, "labels": {"labels", -100, l.target}} {
		tensor := fmt.Sprintf("step%02d.%s", n, from.tensor)
		v, err := f.Int64s(tensor)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := f.Info(tensor)
		rows = info.Shape[0]
		padded := slices.Repeat([]int32{from.pad}, rows*from.length)
		for i, x := range v {
			padded[i/info.Shape[1]*from.length+i%info.Shape[1]] = int32(x)
		}
		in[name] = padded
	}
	for row := range slices.Chunk(in["labels"], l.target) {
		in["decoder"] = append(in["decoder"], facts.ShiftRight(row)...)
	}
	return in, rows
}

func TestLossesOfEncoderDecodersAgreeWithPyTorch(t *testing.T) {
	for _, name := range []string{"train-t5-full", "train-t5-lora", "train-marian-full-accum"} {
		t.Run(name, func(t *testing.T) {
			dir := sharedtest.Fixture(t, name)
			raw, err := os.ReadFile(filepath.Join(dir, "expected.json"))
			if err != nil {
				t.Fatal(err)
			}
			var c curve
			var more struct {
				Base  string
				Hyper struct {
					Betas   [2]float64
					Epsilon float64 `json:"eps"`
					Parts   int     `json:"gradient_accumulation"`
				}
			}
			for _, v := range []any{&c, &more} {
				if err := json.Unmarshal(raw, v); err != nil {
					t.Fatal(err)
				}
			}
			adam := adamW{more.Hyper.Betas[0], more.Hyper.Betas[1], more.Hyper.Epsilon}
			batches := openTensors(t, filepath.Join(dir, "batches.safetensors"))
			devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
				l := pairLoop(t, backend, dir, filepath.Base(more.Base), c, adam)
				schedule := Schedule{Name: "linear", Peak: c.Hyper.LR, Warmup: c.Hyper.Warm, Total: c.Hyper.Total}
				worst := 0.0
				for i, want := range c.Steps {
					loss := 0.0
					for part := range more.Hyper.Parts {
						in, rows := l.pairBatch(t, batches, i*more.Hyper.Parts+part)
						loss += l.micro(t, in, rows, part, more.Hyper.Parts)
					}
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
				compareFinal(t, l.loop, c)
			})
		})
	}
}
