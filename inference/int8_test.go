package inference_test

import (
	"math"
	"os"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"

	"lorikeet/adapters/safetensors"
	"lorikeet/inference"
	"lorikeet/inference/checkpoint"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/inferencetest"
	"lorikeet/inference/nn"
)

// rounded writes a copy of a model in float32 whose matrices are what int8 leaves of
// them: dequantised by hand, it has to answer what the model answers in int8.
func rounded(t *testing.T, dir string) string {
	t.Helper()
	base := inferencetest.Base(t, "whole", dir)
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(dir)))
	must(t, os.Remove(to+"/"+checkpoint.WeightsFile))
	must(t, os.Remove(to+"/"+checkpoint.ConfigFile))
	var out []safetensors.Out
	for _, w := range base.Weights() {
		v, err := base.Value(w)
		must(t, err)
		if w.Transposed {
			dims := w.CheckpointDims()
			codes, scales := nn.Quantize(v, dims[0])
			for i, c := range codes {
				v[i] = float32(c) * scales[i%dims[0]]
			}
			v = inference.Transpose(v, dims[1], dims[0])
		}
		out = append(out, safetensors.Out{Name: w.Stored(), DType: "F32", Shape: w.CheckpointDims(), Data: v})
	}
	must(t, checkpoint.WriteDir(to, base.Config(), out, map[string]string{"format": "pt"}))
	return to
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestInt8AnswersAsItsWeightsDequantised(t *testing.T) {
	dir := inferencetest.BERT(t, "negative", "positive")
	whole, byHand := inferencetest.Base(t, "whole", dir), inferencetest.Base(t, "byhand", rounded(t, dir))
	held := inferencetest.Base(t, "held", dir)
	held.Matrices = dtypes.Int8
	e, stop := inferencetest.Engine(t, devicetest.Go(t), whole, byHand, held)
	defer stop()
	scores := func(model string) []float32 {
		a, err := e.Predict(t.Context(), inference.Request{Model: model, Inputs: texts})
		must(t, err)
		var all []float32
		for _, row := range a.Rows {
			all = append(all, row.Logits...)
		}
		return all
	}
	exact, want, got := scores("whole"), scores("byhand"), scores("held")
	moved := 0.0
	for i := range got {
		if d := math.Abs(float64(got[i] - want[i])); d > 1e-4 {
			t.Errorf("logit %d is %v, dequantised by hand %v", i, got[i], want[i])
		}
		moved = max(moved, math.Abs(float64(got[i]-exact[i])))
	}
	if moved == 0 || moved > 0.3 {
		t.Errorf("logits moved by %v", moved)
	}
	models, err := e.Models(t.Context())
	must(t, err)
	for _, m := range models {
		if want := map[bool]string{true: "int8", false: "float32"}[m.Name == "held"]; m.Dtype != want {
			t.Errorf("%s is held as %s", m.Name, m.Dtype)
		}
	}
}

// TestBFloat16IsNearFloat32 scores and writes with a base held in bfloat16 on each backend. What is
// written may differ from float32 only where that itself hesitates, so only scores are compared.
func TestBFloat16IsNearFloat32(t *testing.T) {
	devicetest.Each(t, func(t *testing.T, d compute.Backend) {
		dir, writes := inferencetest.BERT(t, "negative", "positive"), inferencetest.T5(t)
		whole, held, writer := inferencetest.Base(t, "whole", dir), inferencetest.Base(t, "held", dir), inferencetest.Base(t, "writer", writes)
		held.Matrices, writer.Matrices = dtypes.BFloat16, dtypes.BFloat16
		e, stop := inferencetest.Engine(t, d, whole, held, writer)
		defer stop()
		many := slices.Repeat(texts, 8) // more rows than are left to the plugin
		scores := map[string][]float32{}
		for _, model := range []string{"whole", "held"} {
			a, err := e.Predict(t.Context(), inference.Request{Model: model, Inputs: many})
			must(t, err)
			for _, row := range a.Rows {
				scores[model] = append(scores[model], row.Logits...)
			}
		}
		moved := 0.0
		for i, v := range scores["held"] {
			moved = max(moved, math.Abs(float64(v-scores["whole"][i])))
		}
		if moved == 0 || moved > 0.05 {
			t.Errorf("logits moved by %v", moved)
		}
		models, err := e.Models(t.Context())
		must(t, err)
		for _, m := range models {
			if want := map[bool]string{true: "float32", false: "bfloat16"}[m.Name == "whole"]; m.Dtype != want {
				t.Errorf("%s is held as %s", m.Name, m.Dtype)
			}
		}
		p := inference.DefaultParameters()
		p.MaxNewTokens = 12
		g, err := e.Generate(t.Context(), inference.GenerateRequest{Model: "writer", Prompt: "a good film", Parameters: p}, nil)
		must(t, err)
		if g.OutputTokens == 0 {
			t.Error("nothing was written")
		}
	})
}

func TestInt8WritesAsItsWeightsDequantised(t *testing.T) {
	dir := inferencetest.T5(t)
	byHand, held := inferencetest.Base(t, "byhand", rounded(t, dir)), inferencetest.Base(t, "held", dir)
	held.Matrices = dtypes.Int8
	e, stop := inferencetest.Engine(t, devicetest.Go(t), byHand, held)
	defer stop()
	written := map[string]inference.Generated{}
	for _, model := range []string{"byhand", "held"} {
		p := inference.DefaultParameters()
		p.MaxNewTokens = 12
		g, err := e.Generate(t.Context(), inference.GenerateRequest{Model: model, Prompt: "a good film", Parameters: p}, nil)
		must(t, err)
		written[model] = g
	}
	if a, b := written["byhand"], written["held"]; a.Text != b.Text || a.OutputTokens != b.OutputTokens || b.OutputTokens == 0 {
		t.Errorf("int8 writes %q, dequantised by hand %q", b.Text, a.Text)
	}
}
