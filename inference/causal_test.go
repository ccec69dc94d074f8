package inference

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/adapters/safetensors"
	"lorikeet/adapters/safetensors/safetensorstest"
	"lorikeet/inference/arch"
	"lorikeet/inference/checkpoint"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/nn"
	"lorikeet/inference/text"
)

// causals are the fixtures of decoder-only models.
var causals = []string{"llama", "llama3-tied", "qwen2"}

// speaker is a language model with its weights on a device.
type speaker struct {
	reference
	lm       arch.Causal
	backend  compute.Backend
	weights  map[string]compute.Buffer
	bank     *bank
	profile  *nn.Profile // nil: bare base
	untied   bool        // see nn.Pass
	programs map[string]*nn.Program
}

// openCausal opens a folder with the config.json of the given name, and checks both ways
// that its tensors are what the graph asks for.
func openCausal(t testing.TB, dir, config string) (*Base, arch.Causal) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, config))
	if err != nil {
		t.Fatal(err)
	}
	weights, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	model, err := checkpoint.Open(fstest.MapFS{"config.json": {Data: raw}, "model.safetensors": {Data: weights}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = model.Close() })
	lm, err := arch.OpenCausal(raw)
	if err != nil {
		t.Fatal(err)
	}
	b := &Base{Name: filepath.Base(dir), Causal: lm, model: model}
	p, _, err := nn.Build(devicetest.Go(t), "sketch", func(p *nn.Pass) []*graph.Node {
		p.Untied = true
		return []*graph.Node{lm.Logits(p.Root(), p.Input("ids", dtypes.Int32, 1, 4), p.Input("mask", dtypes.Int32, 1, 4), nil)}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Layout = p.Modules
	b.weights = slices.DeleteFunc(p.Params, func(q nn.Param) bool { return q.Role != nn.Weight })
	if err := errors.Join(b.pair(), b.match()); err != nil {
		t.Fatal(err)
	}
	return b, lm
}

func openSpeaker(t testing.TB, dir, config string) reference {
	t.Helper()
	base, _ := openCausal(t, dir, config)
	r := reference{dir: dir, base: base}
	if _, err := os.Stat(filepath.Join(dir, "io.safetensors")); err != nil {
		return r
	}
	r.io, r.adapters = safetensorstest.Open(t, filepath.Join(dir, "io.safetensors")), safetensorstest.Open(t, filepath.Join(dir, "adapters.safetensors"))
	raw, err := os.ReadFile(filepath.Join(dir, "adapters.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &r.lists); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r reference) speak(t testing.TB, backend compute.Backend) *speaker {
	t.Helper()
	weights, err := r.base.Upload(backend)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = free(weights) })
	return &speaker{reference: r, lm: r.base.Causal, backend: backend, weights: weights, programs: map[string]*nn.Program{}}
}

// wear makes room for adapters, and widens the graphs to what they need.
func (s *speaker) wear(t testing.TB, all ...*Prepared) {
	t.Helper()
	all = slices.DeleteFunc(slices.Clone(all), func(p *Prepared) bool { return p == nil })
	s.bank = newBank(s.backend, s.base, 1+len(all)*2)
	s.programs = map[string]*nn.Program{}
	s.profile = union(all, false, 2)
	if n, err := s.bank.fit(all); err != nil || n != len(all) {
		t.Fatalf("%d of %d adapters fit: %v", n, len(all), err)
	}
}

// slots lists each row's.
func (s *speaker) slots(with []*Prepared) []int32 {
	v := make([]int32, len(with)*s.profile.Pages)
	for i, a := range with {
		if a != nil {
			copy(v[i*s.profile.Pages:], s.bank.loaded[a.Ref.Digest].slots)
		}
	}
	return v
}

// run builds a program once and runs it. What inputs lacks comes from donated.
func (s *speaker) run(t testing.TB, name string, batch, length int, with []*Prepared, inputs map[string][]int32, donated map[string]compute.Buffer,
	build func(*nn.Pass) []*graph.Node) []compute.Buffer {
	t.Helper()
	program, ok := s.programs[name]
	if !ok {
		var err error
		program, err = nn.Compile(s.backend, name, func(p *nn.Pass) []*graph.Node {
			if s.profile != nil {
				p.Bank = NewBank(p, batch, length, s.bank.size, *s.profile)
			}
			p.Untied = s.untied
			return build(p)
		})
		if err != nil {
			t.Fatal(err)
		}
		s.programs[name] = program
		t.Cleanup(program.Free)
	}
	if s.profile != nil {
		inputs["slots"] = s.slots(with)
		if s.profile.Embed {
			donated = maps.Clone(donated)
			if donated == nil {
				donated = map[string]compute.Buffer{}
			}
			donated["token_factors"] = s.tokenFactors(t, inputs["ids"], batch, length, with)
		}
	}
	out, err := program.Run(func(p nn.Param) (compute.Buffer, bool, error) {
		switch p.Role {
		case nn.Weight:
			return s.weights[p.Name], false, nil
		case nn.Slots:
			b, err := s.bank.buffer(p)
			return b, false, err
		}
		if b, ok := donated[p.Name]; ok {
			return b, true, nil
		}
		b, err := nn.Upload(s.backend, inputs[p.Name], p.Shape.Dimensions...)
		return b, true, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tokenFactors looks up what adapters add to the embedding of each token, padding too.
func (s *speaker) tokenFactors(t testing.TB, ids []int32, batch, length int, with []*Prepared) compute.Buffer {
	t.Helper()
	items := make([]*item, batch)
	for i := range items {
		items[i] = &item{adapter: with[i], tokens: text.Encoding{IDs: ids[i*length : (i+1)*length]}}
	}
	v := tokenFactors(items, &compiled{bucket: bucket{batch, length}, profile: s.profile})
	b, err := nn.Upload(s.backend, v, batch, length, s.profile.Pages*nn.PageRank)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// logits is the whole forward pass of a padded batch, [batch*length][vocab].
func (s *speaker) logits(t testing.TB, ids, mask []int32, batch int, with []*Prepared) [][]float32 {
	t.Helper()
	length := len(ids) / batch
	out := s.run(t, fmt.Sprintf("logits_%dx%d", batch, length), batch, length, with, map[string][]int32{"ids": ids, "mask": mask}, nil,
		func(p *nn.Pass) []*graph.Node {
			return []*graph.Node{s.lm.Logits(p.Root(), p.Input("ids", dtypes.Int32, batch, length), p.Input("mask", dtypes.Int32, batch, length), nil)}
		})
	return s.rows(t, out[0], batch*length)
}

func (s *speaker) rows(t testing.TB, b compute.Buffer, n int) [][]float32 {
	t.Helper()
	v, err := nn.Download(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Finalize(); err != nil {
		t.Fatal(err)
	}
	return slices.Collect(slices.Chunk(v, len(v)/n))
}

func narrow(v []int64) []int32 {
	n := make([]int32, len(v))
	for i, x := range v {
		n[i] = int32(x)
	}
	return n
}

// compareTokens compares vectors of the tokens, not of the padding. What PyTorch gives
// may be the first part of a vector, then with the logarithm of the sum of exponentials
// of all of it under the name with .lse.
func compareTokens(t *testing.T, what string, got [][]float32, f *safetensors.File, name string, mask []int32) {
	t.Helper()
	v, err := f.Float32s(name)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Collect(slices.Chunk(v, len(v)/len(mask)))
	var sums []float32
	if _, ok := f.Info(name + ".lse"); ok {
		if sums, err = f.Float32s(name + ".lse"); err != nil {
			t.Fatal(err)
		}
	} else if len(want[0]) != len(got[0]) {
		t.Fatalf("%s: %d values, PyTorch has %d", what, len(got[0]), len(want[0]))
	}
	worst := 0.0
	for i := range mask {
		if mask[i] == 0 {
			continue
		}
		near := func(got, want float64) {
			worst = max(worst, math.Abs(got-want)/max(1, math.Abs(want)))
			if math.IsNaN(got) {
				worst = math.Inf(1)
			}
		}
		for j, w := range want[i] {
			near(float64(got[i][j]), float64(w))
		}
		if sums != nil {
			near(logSumExp(got[i]), float64(sums[i]))
		}
	}
	t.Logf("%s: differs by %.1e", what, worst)
	if worst > tolerance {
		t.Errorf("%s: differs from PyTorch by %v", what, worst)
	}
}

func logSumExp(v []float32) float64 {
	var sum float64
	top := float64(slices.Max(v))
	for _, x := range v {
		sum += math.Exp(float64(x) - top)
	}
	return top + math.Log(sum)
}
