package inference

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gomlx/compute"

	"lorikeet/adapters"
	"lorikeet/adapters/safetensors"
	"lorikeet/adapters/safetensors/safetensorstest"
	"lorikeet/adapters/sharedtest"
	"lorikeet/inference/checkpoint"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/text"
)

// tolerance is the agreement with PyTorch that the project asks for.
const tolerance = 1e-4

// families are the fixtures made with transformers and PEFT.
var families = []string{"bert-seqcls", "bert-seqcls-regression", "roberta-seqcls", "distilbert-seqcls"}

// reference is a fixture opened: inputs, and the outputs of PyTorch.
type reference struct {
	dir      string
	base     *Base
	io       *safetensors.File
	adapters *safetensors.File
	lists    map[string]json.RawMessage // adapters.json
}

func openReference(t testing.TB, name string) reference {
	t.Helper()
	dir := sharedtest.Fixture(t, name)
	b, err := OpenBase(name, "test", os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	r := reference{dir: dir, base: b, io: safetensorstest.Open(t, filepath.Join(dir, "io.safetensors")),
		adapters: safetensorstest.Open(t, filepath.Join(dir, "adapters.safetensors"))}
	raw, err := os.ReadFile(filepath.Join(dir, "adapters.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &r.lists); err != nil {
		t.Fatal(err)
	}
	return r
}

// batch gives the fixture's encoded texts, without their padding.
func (r reference) batch(t testing.TB) []text.Encoding {
	t.Helper()
	info, _ := r.io.Info("input_ids")
	ids, mask := ints(t, r.io, "input_ids"), ints(t, r.io, "attention_mask")
	types := make([]int64, len(ids))
	if _, ok := r.io.Info("token_type_ids"); ok {
		types = ints(t, r.io, "token_type_ids")
	}
	rows := make([]text.Encoding, info.Shape[0])
	for i := range rows {
		for j := i * info.Shape[1]; j < (i+1)*info.Shape[1]; j++ {
			if mask[j] == 1 {
				rows[i].IDs = append(rows[i].IDs, int32(ids[j]))
				rows[i].TypeIDs = append(rows[i].TypeIDs, int32(types[j]))
			}
		}
	}
	return rows
}

func ints(t testing.TB, f *safetensors.File, name string) []int64 {
	t.Helper()
	v, err := f.Int64s(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// want gives rows of expected logits.
func want(t testing.TB, f *safetensors.File, name string) [][]float32 {
	t.Helper()
	v, err := f.Float32s(name)
	if err != nil {
		t.Fatal(err)
	}
	info, _ := f.Info(name)
	rows := make([][]float32, info.Shape[0])
	for i := range rows {
		rows[i] = v[i*info.Shape[1] : (i+1)*info.Shape[1]]
	}
	return rows
}

// prepare reads one of the fixture's PEFT folders; "__base__" is no adapter.
func (r reference) prepare(t testing.TB, name string) *Prepared {
	t.Helper()
	if name == "__base__" {
		return nil
	}
	dir := filepath.Join(r.dir, "adapters", name)
	config, err := os.ReadFile(filepath.Join(dir, adapters.ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	a, err := adapters.Read(config, safetensorstest.Open(t, filepath.Join(dir, adapters.WeightsFile)), r.base.Layout)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	p, err := r.base.Prepare(adapters.Ref{Name: name, Version: 1, Digest: name}, a)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return p
}

func (r reference) names(t testing.TB) []string {
	t.Helper()
	found, err := os.ReadDir(filepath.Join(r.dir, "adapters"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range found {
		names = append(names, e.Name())
	}
	return names
}

func testEngine(backend compute.Backend, slots int) *Engine {
	return New(Options{Backend: backend, Log: slog.New(slog.DiscardHandler), Slots: slots, MaxRank: 16, MaxBatchTokens: 1024,
		MaxWaiting: 1000, HostBytes: 1 << 20, Variants: 2, Eager: true})
}

// score runs texts as one batch, each with its own adapter.
func score(t testing.TB, e *Engine, s *served, rows []text.Encoding, with []*Prepared) [][]float32 {
	t.Helper()
	answers := make(chan result, len(rows))
	var items []*item
	for i, enc := range rows {
		items = append(items, &item{ctx: t.Context(), model: s, tokens: enc, adapter: with[i], index: i, since: time.Now(), answer: answers})
	}
	e.execute(items)
	got := make([][]float32, len(rows))
	for range rows {
		a := <-answers
		if a.err != nil {
			t.Fatal(a.err)
		}
		got[a.index] = a.logits
	}
	return got
}

func same(p *Prepared, n int) []*Prepared {
	all := make([]*Prepared, n)
	for i := range all {
		all[i] = p
	}
	return all
}

func compare(t *testing.T, what string, got, want [][]float32) {
	t.Helper()
	for i := range want {
		if len(got[i]) != len(want[i]) {
			t.Errorf("%s, row %d: %d logits, want %d", what, i, len(got[i]), len(want[i]))
			continue
		}
		for j := range want[i] {
			if d := math.Abs(float64(got[i][j] - want[i][j])); !(d <= tolerance*math.Max(1, math.Abs(float64(want[i][j])))) {
				t.Errorf("%s, row %d: %v, PyTorch has %v", what, i, got[i], want[i])
				break
			}
		}
	}
}

func TestLogitsAgreeWithPyTorch(t *testing.T) {
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			r := openReference(t, family)
			rows := r.batch(t)
			devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
				e := testEngine(backend, 40)
				s, err := e.place(family, r.base, e.Slots)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, "base", score(t, e, s, rows, same(nil, len(rows))), want(t, r.io, "logits"))
				for _, name := range r.names(t) {
					got := score(t, e, s, rows, same(r.prepare(t, name), len(rows)))
					compare(t, "adapter "+name, got, want(t, r.adapters, "adapter."+name))
				}
				var mixed [][]string
				decode(t, r.lists["mixed"], &mixed)
				for i, names := range mixed {
					compareMixed(t, e, s, r, rows, names, fmt.Sprintf("mixed.%d", i))
				}
				for _, list := range []string{"mixed_modules_to_save", "mixed_any"} {
					var names []string
					if decode(t, r.lists[list], &names); names != nil {
						compareMixed(t, e, s, r, rows, names, list)
					}
				}
			})
		})
	}
}

// TestHalfPrecisionCheckpoints stores the weights in 16 bits, as many published models
// are: computed in float32, bfloat16 must give what PyTorch gives of such weights.
func TestHalfPrecisionCheckpoints(t *testing.T) {
	for _, dtype := range []safetensors.DType{"BF16", "F16"} {
		t.Run(string(dtype), func(t *testing.T) {
			r := openReference(t, "bert-seqcls")
			dir := t.TempDir()
			var out []safetensors.Out
			for _, name := range r.base.model.Names() {
				v, err := r.base.model.Float32s(name)
				if err != nil {
					t.Fatal(err)
				}
				shape, _ := r.base.model.Shape(name)
				out = append(out, safetensors.Out{Name: name, DType: dtype, Shape: shape, Data: v})
			}
			if err := checkpoint.WriteDir(dir, r.base.Config(), out, nil); err != nil {
				t.Fatal(err)
			}
			vocab, err := os.ReadFile(filepath.Join(r.dir, "tokenizer.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), vocab, 0o600); err != nil {
				t.Fatal(err)
			}
			base, err := OpenBase("half", "test", os.DirFS(dir))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = base.Close() })
			e := testEngine(devicetest.Go(t), 4)
			s, err := e.place("half", base, e.Slots)
			if err != nil {
				t.Fatal(err)
			}
			rows := r.batch(t)
			got := score(t, e, s, rows, same(nil, len(rows)))
			if dtype == "BF16" {
				compare(t, "bfloat16 weights", got, want(t, r.io, "bf16_weights_f32_compute.logits"))
				return
			}
			for i, w := range want(t, r.io, "logits") { // float16 keeps 11 bits
				for j := range w {
					if math.Abs(float64(got[i][j]-w[j])) > 5e-3 {
						t.Errorf("float16 weights, row %d: %v, in float32 %v", i, got[i], w)
					}
				}
			}
		})
	}
}

func decode(t *testing.T, raw json.RawMessage, v any) {
	t.Helper()
	if raw == nil {
		return
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatal(err)
	}
}

func compareMixed(t *testing.T, e *Engine, s *served, r reference, rows []text.Encoding, names []string, list string) {
	t.Helper()
	with := make([]*Prepared, len(names))
	for i, n := range names {
		with[i] = r.prepare(t, n)
	}
	compare(t, fmt.Sprintf("%s %v", list, names), score(t, e, s, rows, with), want(t, r.adapters, list))
}
