package inference

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/adapters/safetensors"
	"lorikeet/adapters/safetensors/safetensorstest"
	"lorikeet/adapters/sharedtest"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/nn"
)

func TestSeq2SeqAgreesWithPyTorch(t *testing.T) {
	for _, name := range []string{"t5", "t5-v5-unscaled", "flan-t5", "mt5", "marian"} {
		t.Run(name, func(t *testing.T) {
			dir := sharedtest.Fixture(t, name)
			devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
				r := openTranslation(t, dir, "config.json", backend)
				r.compareHidden(t)
				r.compareAdapters(t)
			})
		})
	}
}

// TestBothLayoutsOfSeq2SeqConfigurations reads what transformers 5 writes of the same
// models. Of a Flan-T5 or mT5 it forgets that the output layer is not tied: only the
// tensors tell.
func TestBothLayoutsOfSeq2SeqConfigurations(t *testing.T) {
	for _, c := range []struct{ dir, config string }{
		{"t5", "config.v5.json"},
		{"marian", "config.v5.json"},
		{"flan-t5", `{"tie_word_embeddings":true,"scale_decoder_outputs":false,"transformers_version":"5.23.0"}`},
		{"mt5", `{"tie_word_embeddings":true,"transformers_version":"5.23.0"}`},
	} {
		t.Run(c.dir, func(t *testing.T) {
			openTranslation(t, sharedtest.Fixture(t, c.dir), c.config, devicetest.Go(t)).compareHidden(t)
		})
	}
}

// TestRarerEncoderDecodersAgreeWithPyTorch runs models recorded in testdata.
func TestRarerEncoderDecodersAgreeWithPyTorch(t *testing.T) {
	for _, name := range []string{"marian-unshared", "t5-lopsided"} {
		t.Run(name, func(t *testing.T) {
			devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
				r := openTranslation(t, filepath.Join("testdata", name), "config.json", backend)
				r.compareHidden(t)
				info, _ := r.io.Info("greedy")
				want := slices.Collect(slices.Chunk(narrow(ints(t, r.io, "greedy")), info.Shape[1]))
				if got := r.greedy(t, info.Shape[1]); !slices.EqualFunc(got, want, slices.Equal) {
					t.Errorf("writes %v, PyTorch %v", got, want)
				}
			})
		})
	}
}

// layered is what the families have beside arch.Seq2Seq.
type layered interface {
	EncoderHidden(root nn.Block, ids, mask *graph.Node) []*graph.Node
	DecoderHidden(root nn.Block, ids, states, mask *graph.Node) []*graph.Node
}

// compareHidden compares the logits of the bare base, and every layer's states.
func (r *translation) compareHidden(t *testing.T) {
	t.Helper()
	var names []string
	program := r.compile(t, func(p *nn.Pass) []*graph.Node {
		m := r.model.(layered)
		mask := p.Input("mask", dtypes.Int32, r.batch, r.source)
		encoder := m.EncoderHidden(p.Root(), p.Input("ids", dtypes.Int32, r.batch, r.source), mask)
		decoder := m.DecoderHidden(p.Root(), p.Input("decoder", dtypes.Int32, r.batch, r.target), encoder[len(encoder)-1], mask)
		names = []string{"logits"}
		for i := range encoder {
			names = append(names, fmt.Sprintf("encoder_hidden.%d", i))
		}
		for i := range decoder {
			names = append(names, fmt.Sprintf("decoder_hidden.%d", i))
		}
		return append(append(r.forward(p), encoder...), decoder...)
	})
	out := r.run(t, program, nil, nil, nil)
	for i, name := range names {
		info, ok := r.io.Info(name)
		if !ok {
			t.Fatalf("the fixture has no %s", name)
		}
		rows := values(t, out[i], info.Shape[2])
		if strings.HasPrefix(name, "encoder") { // of padding there are no states
			compareTokens(t, name, rows, r.io, name, r.mask)
		} else {
			compareAll(t, name, rows, r.io, name, 0)
		}
	}
}

// batchOf is a batch of the fixture: what it is called there, and each row's adapter.
type batchOf struct {
	name string
	rows []string
}

// batches lists the base and each adapter alone, then the batches of several.
func (r *translation) batches(t *testing.T, lists map[string]json.RawMessage, alone []string) []batchOf {
	t.Helper()
	all := []batchOf{{"base", slices.Repeat([]string{"__base__"}, r.batch)}}
	for _, n := range alone {
		all = append(all, batchOf{"adapter." + n, slices.Repeat([]string{n}, r.batch)})
	}
	for _, list := range []string{"mixed_modules_to_save", "mixed_any"} {
		var rows []string
		if decode(t, lists[list], &rows); rows != nil {
			all = append(all, batchOf{list, rows})
		}
	}
	var mixed [][]string
	decode(t, lists["mixed"], &mixed)
	for i, rows := range mixed {
		all = append(all, batchOf{fmt.Sprintf("mixed.%d", i), rows})
	}
	return all
}

// compareAdapters runs all batches through one graph, then takes the last of them, of
// several adapters, a token at a time.
func (r *translation) compareAdapters(t *testing.T) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(r.dir, "adapters.json"))
	if err != nil {
		t.Fatal(err)
	}
	recorded := safetensorstest.Open(t, filepath.Join(r.dir, "adapters.safetensors"))
	var lists map[string]json.RawMessage
	decode(t, raw, &lists)
	var listed []struct {
		Name string
		// How far PyTorch is from itself with the adapter merged into the weights: an
		// adapter that makes the scores large leaves that much to rounding, and as much again
		// to another order of sums.
		Merged float64 `json:"merged_max_abs_diff"`
	}
	decode(t, lists["adapters"], &listed)
	prepared, rounding := map[string]*Prepared{}, map[string]float64{}
	var names []string
	for _, a := range listed {
		prepared[a.Name], rounding[a.Name] = r.adapter(t, a.Name), a.Merged
		names = append(names, a.Name)
	}
	r.wear(t, slices.Collect(maps.Values(prepared)))
	program := r.compile(t, func(p *nn.Pass) []*graph.Node { return append(r.forward(p), r.memory(p)...) })
	all := r.batches(t, lists, names)
	for i, b := range all {
		var with []*Prepared
		slack := 0.0
		for _, n := range b.rows {
			with = append(with, prepared[n])
			slack = max(slack, 2*rounding[n])
		}
		out := r.run(t, program, with, nil, nil)
		got := values(t, out[0], r.model.Facts().Outputs)
		compareAll(t, b.name, got, recorded, b.name, slack)
		if i+1 == len(all) {
			r.compareSteps(t, with, got, out[1:])
			return
		}
		for _, memory := range out[1:] {
			_ = memory.Finalize()
		}
	}
}

// distance is the largest difference, relative to values above 1.
func distance(got, want []float32) float64 {
	worst := 0.0
	for i, w := range want {
		worst = max(worst, math.Abs(float64(got[i]-w))/math.Max(1, math.Abs(float64(w))))
		if math.IsNaN(float64(got[i])) {
			return math.Inf(1)
		}
	}
	return worst
}

// compareAll compares with a tensor of PyTorch's, within the tolerance and slack. It may
// be the first part of every vector, with the logarithm of the sum of the exponentials
// of all of it under the name with .lse.
func compareAll(t *testing.T, what string, got [][]float32, f *safetensors.File, name string, slack float64) {
	t.Helper()
	v, err := f.Float32s(name)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Collect(slices.Chunk(v, len(v)/len(got)))
	worst := 0.0
	for i := range want {
		worst = max(worst, distance(got[i], want[i]))
	}
	if _, ok := f.Info(name + ".lse"); ok {
		sums, err := f.Float32s(name + ".lse")
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			worst = max(worst, distance([]float32{float32(logSumExp(got[i]))}, sums[i:i+1]))
		}
	}
	t.Logf("%s: differs by %.1e", what, worst)
	if !(worst <= tolerance+slack) {
		t.Errorf("%s: differs from PyTorch by %v", what, worst)
	}
}
