package builtin_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/inference/builtin/greedy"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/nn"
)

// near is how far logits, which are around 10, may be from those of PyTorch: both
// compute in single precision, from the same bfloat16 weights.
const near = 1e-4

// TestTinyT5AgreesWithTransformers compares ids, logits and texts with those that
// testdata/tiny-t5.py recorded.
func TestTinyT5AgreesWithTransformers(t *testing.T) {
	b, err := os.ReadFile("testdata/tiny-t5.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct {
		Every int
		Cases []struct {
			Prompt, Text string
			IDs, Written []int32
			Logits       [][]float64
			LogSumExp    []float64
		}
	}
	if err := json.Unmarshal(b, &recorded); err != nil {
		t.Fatal(err)
	}
	base := tinyT5(t)
	devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
		w, err := greedy.New(backend, base)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		weights, err := base.Upload(backend)
		if err != nil {
			t.Fatal(err)
		}
		const source, target = 32, 16 // one graph for all: what is short is padded
		program, err := nn.Compile(backend, "logits", func(p *nn.Pass) []*graph.Node {
			p.Untied = true // as the base is uploaded
			mask := p.Input("mask", dtypes.Int32, 1, source)
			states := base.Seq2Seq.Encode(p.Root(), p.Input("ids", dtypes.Int32, 1, source), mask)
			return []*graph.Node{base.Seq2Seq.Decode(p.Root(), p.Input("written", dtypes.Int32, 1, target), states, mask)}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer program.Free()
		for _, c := range recorded.Cases {
			if ids := base.Text.Encode(c.Prompt, nil, 0).IDs; !slices.Equal(ids, c.IDs) {
				t.Errorf("%q: ids %v, transformers has %v", c.Prompt, ids, c.IDs)
				continue
			}
			if got, err := w.Answer(t.Context(), []string{c.Prompt}, 12); err != nil || got[0] != c.Text {
				t.Errorf("%q: %q, transformers writes %q; %v", c.Prompt, got, c.Text, err)
			}
			in := map[string][]int32{"ids": make([]int32, source), "mask": make([]int32, source), "written": make([]int32, target)}
			copy(in["ids"], c.IDs)
			copy(in["written"], c.Written)
			for i := range c.IDs {
				in["mask"][i] = 1
			}
			out, err := program.Run(func(p nn.Param) (compute.Buffer, bool, error) {
				if p.Role == nn.Weight {
					return weights[p.Name], false, nil
				}
				b, err := nn.Upload(backend, in[p.Name], p.Shape.Dimensions...)
				return b, true, err
			})
			if err != nil {
				t.Fatal(err)
			}
			logits, err := nn.Download(out[0])
			if err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			vocab := base.Text.VocabSize()
			for i := range c.Written {
				row, sum := logits[i*vocab:(i+1)*vocab], 0.0
				for _, v := range row {
					sum += math.Exp(float64(v))
				}
				worst = max(worst, math.Abs(math.Log(sum)-c.LogSumExp[i]))
				for j, want := range c.Logits[i] {
					worst = max(worst, math.Abs(float64(row[j*recorded.Every])-want))
				}
			}
			t.Logf("%q: off by %.1e at most", c.Prompt, worst)
			if worst > near {
				t.Errorf("%q: logits are off by %v", c.Prompt, worst)
			}
		}
	})
}
