package inference_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"testing"

	"github.com/gomlx/compute"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/adapters/safetensors"
	"lorikeet/adapters/store"
	"lorikeet/inference"
	"lorikeet/inference/arch"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/inferencetest"
)

// rig is an engine that runs, with one tiny base.
type rig struct {
	*inference.Engine
	registry *adapters.Registry
	base     *inference.Base
}

func start(t *testing.T, backend compute.Backend, slots int, labels ...string) rig {
	t.Helper()
	return run(t, backend, slots, 100, inferencetest.BERT(t, labels...))
}

// run serves the folder of a tiny base.
func run(t *testing.T, backend compute.Backend, slots, waiting int, dir string) rig {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s, err := store.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	registry, err := adapters.OpenRegistry(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	e := inference.New(inference.Options{Backend: backend, Registry: registry, Log: slog.New(slog.DiscardHandler), Slots: slots, MaxRank: 16,
		MaxBatchTokens: 256, MaxWaiting: waiting, HostBytes: 1 << 20, Variants: 1, Eager: true})
	base := inferencetest.Base(t, "tiny", dir)
	if err := e.Load(ctx, base); err != nil {
		t.Fatal(err)
	}
	e.Open()
	var running sync.WaitGroup
	running.Go(func() { _ = e.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait(); _ = s.Close() })
	return rig{e, registry, base}
}

// add registers a random adapter.
func (r rig) add(t *testing.T, name string, seed uint64, rank int, labels ...string) adapters.Version {
	t.Helper()
	config, weights := inferencetest.Adapter(t, r.base, seed, rank, labels...)
	v, err := r.Import(t.Context(), inference.Import{Name: name, Model: "tiny", Config: config, Weights: bytes.NewReader(weights), Size: int64(len(weights))})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var texts = []inference.Input{{Text: "this movie is great"}, {Text: "a terrible waste"}, {Text: "so cold and slow but the food was good"},
	{Text: "it is fine"}, {Text: "not bad"}, {Text: "the worst service"}}

func (r rig) predict(t *testing.T, with []string, inputs ...inference.Input) inference.Answer {
	t.Helper()
	a, err := r.Predict(t.Context(), inference.Request{Model: "tiny", Adapters: with, Inputs: inputs, Truncate: true})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func near(a, b []float32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if math.Abs(float64(a[i]-b[i])) > 1e-4 {
			return false
		}
	}
	return true
}

func TestAMixedBatchAnswersAsEachExampleAlone(t *testing.T) {
	devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
		r := start(t, backend, 16, "negative", "positive")
		r.add(t, "small", 1, 2)
		r.add(t, "large", 2, 13, "a", "b", "c")
		r.add(t, "wide", 3, 8, "1", "2", "3", "4", "5")
		with := []string{"", "small", "large", "wide", "small@1", ""}
		mixed := r.predict(t, with, texts...)
		for i, in := range texts {
			alone := r.predict(t, with[i:i+1], in)
			if !near(mixed.Rows[i].Logits, alone.Rows[0].Logits) {
				t.Errorf("%q with %q: %v in the batch, %v alone", in.Text, with[i], mixed.Rows[i].Logits, alone.Rows[0].Logits)
			}
		}
		if n := len(mixed.Rows[2].Labels); n != 3 {
			t.Errorf("the adapter with three labels answers with %d", n)
		}
		if near(mixed.Rows[0].Logits, r.predict(t, []string{"small"}, texts[0]).Rows[0].Logits) {
			t.Error("the adapter changes nothing")
		}
	})
}

func TestMoreAdaptersThanSlotsAreServed(t *testing.T) {
	r := start(t, devicetest.Go(t), 4, "negative", "positive") // three free slots
	const n = 12
	want := make([][]float32, n)
	for i := range n {
		name := fmt.Sprintf("a%d", i)
		r.add(t, name, uint64(i), 8)
		want[i] = r.predict(t, []string{name}, texts[0]).Rows[0].Logits
	}
	var calls sync.WaitGroup
	for i := range 4 * n {
		calls.Go(func() {
			i %= n
			a, err := r.Predict(t.Context(), inference.Request{Model: "tiny", Adapters: []string{fmt.Sprintf("a%d", i)}, Inputs: texts[:1]})
			switch {
			case err != nil:
				t.Error(err)
			case !near(a.Rows[0].Logits, want[i]):
				t.Errorf("a%d: %v, want %v", i, a.Rows[0].Logits, want[i])
			case a.Rows[0].Adapter.Name != fmt.Sprintf("a%d", i):
				t.Errorf("a%d is answered as %v", i, a.Rows[0].Adapter)
			}
		})
	}
	calls.Wait()
	every := make([]string, n)
	inputs := make([]inference.Input, n)
	for i := range n {
		every[i], inputs[i] = fmt.Sprintf("a%d", i), texts[0]
	}
	for i, row := range r.predict(t, every, inputs...).Rows { // one request, four times the slots
		if !near(row.Logits, want[i]) {
			t.Errorf("a%d in one request: %v, want %v", i, row.Logits, want[i])
		}
	}
}

func TestLoadingAnAdapterChangesNoOther(t *testing.T) {
	r := start(t, devicetest.Go(t), 8, "negative", "positive")
	r.add(t, "first", 1, 8)
	before := r.predict(t, []string{"", "first"}, texts[:2]...)
	for i := range 20 {
		name := fmt.Sprintf("other%d", i)
		r.add(t, name, uint64(10+i), 1+i%16, "x", "y", "z")
		r.predict(t, []string{name}, texts[2])
	}
	after := r.predict(t, []string{"", "first"}, texts[:2]...)
	for i := range before.Rows {
		if !near(before.Rows[i].Logits, after.Rows[i].Logits) {
			t.Errorf("row %d: %v before, %v after", i, before.Rows[i].Logits, after.Rows[i].Logits)
		}
	}
}

func TestAPinnedAdapterStaysAndFullSlotsAreAnError(t *testing.T) {
	r := start(t, devicetest.Go(t), 3, "negative", "positive")
	a, b := r.add(t, "a", 1, 8), r.add(t, "b", 2, 8)
	for _, v := range []adapters.Version{a, b} {
		if err := r.Place(t.Context(), v, true); err != nil {
			t.Fatal(err)
		}
	}
	r.add(t, "c", 3, 8)
	_, err := r.Predict(t.Context(), inference.Request{Model: "tiny", Adapters: []string{"c"}, Inputs: texts[:1]})
	if !errors.Is(err, inference.ErrFull) {
		t.Errorf("with every slot pinned the answer is %v, want ErrFull", err)
	}
	if err := r.Unpin(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	r.predict(t, []string{"c"}, texts[0])
	for _, c := range []struct {
		v    adapters.Version
		tier string
	}{{a, "host"}, {b, "device"}} {
		got, err := r.Residency(t.Context(), c.v)
		if err != nil || got.Tier != c.tier {
			t.Errorf("%s is on %q (%v), want %q", c.v, got.Tier, err, c.tier)
		}
	}
}

func TestWhatWasDeletedLeavesTheDevice(t *testing.T) {
	r := start(t, devicetest.Go(t), 4, "negative", "positive")
	pinned, twin, kept := r.add(t, "pinned", 1, 8), r.add(t, "twin", 2, 8), r.add(t, "kept", 2, 8)
	whole := r.variant(t, "whole", inferencetest.BERT(t, "no", "yes"))
	if twin.Digest != kept.Digest {
		t.Fatal("the twins differ")
	}
	for _, v := range []adapters.Version{pinned, twin, whole} {
		if err := r.Place(t.Context(), v, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	tiers := func(want map[string]string) {
		t.Helper()
		for _, v := range []adapters.Version{pinned, kept, whole} {
			if got, err := r.Residency(t.Context(), v); err != nil || got.Tier != want[v.Name] {
				t.Errorf("%s is on %q (%v), want %q", v.Name, got.Tier, err, want[v.Name])
			}
		}
	}
	tiers(map[string]string{"pinned": "device", "kept": "device", "whole": "device"})
	for _, v := range []adapters.Version{pinned, twin, whole} {
		if err := r.registry.Delete(t.Context(), v.Name, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	tiers(map[string]string{"pinned": "disk", "kept": "device", "whole": "disk"}) // the twin's contents are still registered
	models, err := r.Models(t.Context())
	if err != nil || len(models) != 1 || models[0].SlotsFree != 2 {
		t.Errorf("the models are %v, %v", models, err)
	}
}

func TestRefusals(t *testing.T) {
	r := start(t, devicetest.Go(t), 8)
	r.add(t, "headed", 1, 4, "no", "yes")
	long := ""
	for range 100 {
		long += "good "
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		req  inference.Request
		want error
	}{
		"an unknown model":                  {t.Context(), inference.Request{Model: "nope", Inputs: texts[:1]}, inference.ErrUnknownModel},
		"an unknown adapter":                {t.Context(), inference.Request{Model: "tiny", Adapters: []string{"nope"}, Inputs: texts[:1]}, adapters.ErrNotFound},
		"an unknown version":                {t.Context(), inference.Request{Model: "tiny", Adapters: []string{"headed@2"}, Inputs: texts[:1]}, adapters.ErrNotFound},
		"a bare encoder without an adapter": {t.Context(), inference.Request{Model: "tiny", Inputs: texts[:1]}, inference.ErrNoHead},
		"a caller who has left":             {gone, inference.Request{Model: "headed", Inputs: texts[:1]}, context.Canceled},
	} {
		if _, err := r.Predict(c.ctx, c.req); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for name, req := range map[string]inference.Request{
		"a text that is too long":  {Model: "headed", Inputs: []inference.Input{{Text: long}}},
		"too few adapters":         {Model: "tiny", Adapters: []string{"headed"}, Inputs: texts[:2]},
		"an adapter of an adapter": {Model: "headed", Adapters: []string{"headed"}, Inputs: texts[:1]},
	} {
		if _, err := r.Predict(t.Context(), req); !invalid.Is(err) {
			t.Errorf("%s: %v, want a fault", name, err)
		}
	}
	if a, err := r.Predict(t.Context(), inference.Request{Model: "headed", Inputs: []inference.Input{{Text: long}}, Truncate: true}); err != nil || a.InputTokens != 64 {
		t.Errorf("a long text that may be cut: %d tokens, %v", a.InputTokens, err)
	}
}

func TestImportRefusesWhatCannotBeServed(t *testing.T) {
	r := start(t, devicetest.Go(t), 8, "negative", "positive")
	other := inferencetest.Base(t, "other", inferencetest.BERT(t, "a", "b", "c"))
	otherConfig, otherWeights := inferencetest.Adapter(t, other, 1, 4)
	config, weights := inferencetest.Adapter(t, r.base, 1, 4)
	bigConfig, bigWeights := inferencetest.Adapter(t, r.base, 1, 17)
	for name, c := range map[string]struct {
		name, model     string
		config, weights []byte
		fault           bool
	}{
		"another base":               {"x", "tiny", otherConfig, otherWeights, false},
		"a rank above the bank":      {"x", "tiny", bigConfig, bigWeights, true},
		"truncated weights":          {"x", "tiny", config, weights[:len(weights)-1], true},
		"a broken header":            {"x", "tiny", config, weights[8:], true},
		"another rank in the config": {"x", "tiny", bytes.ReplaceAll(config, []byte(`"r": 4`), []byte(`"r": 5`)), weights, true},
		"an unknown target":          {"x", "tiny", bytes.ReplaceAll(config, []byte(`"query"`), []byte(`"nope"`)), weights, true},
		"not LoRA":                   {"x", "tiny", bytes.ReplaceAll(config, []byte(`"LORA"`), []byte(`"IA3"`)), weights, true},
		"a bad name":                 {"No", "tiny", config, weights, true},
		"the name of a base":         {"tiny", "tiny", config, weights, true},
		"an unknown base":            {"x", "nope", config, weights, true},
	} {
		_, err := r.Import(t.Context(), inference.Import{Name: c.name, Model: c.model, Config: c.config, Weights: bytes.NewReader(c.weights), Size: int64(len(c.weights))})
		if err == nil || c.fault && !invalid.Is(err) || !c.fault && !errors.Is(err, inference.ErrWrongBase) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(r.registry.List(t.Context())) != 0 {
		t.Error("a refused adapter is registered")
	}
}

func TestOneAdapterThatFindsNoSlotFailsNoOtherRequest(t *testing.T) {
	r := start(t, devicetest.Go(t), 3, "negative", "positive")
	for i, name := range []string{"a", "b"} {
		if err := r.Place(t.Context(), r.add(t, name, uint64(i), 8), true); err != nil {
			t.Fatal(err)
		}
	}
	r.add(t, "c", 3, 8)
	var calls sync.WaitGroup
	for i := range 60 {
		calls.Go(func() {
			name := []string{"c", "a", "", "b"}[i%4]
			_, err := r.Predict(t.Context(), inference.Request{Model: "tiny", Adapters: []string{name}, Inputs: texts[:1]})
			if (name == "c") != errors.Is(err, inference.ErrFull) || name != "c" && err != nil {
				t.Errorf("%q: %v", name, err)
			}
		})
	}
	calls.Wait()
}

func TestTheSameFilesOnTwoBasesAreTwoAdapters(t *testing.T) {
	r := start(t, devicetest.Go(t), 8, "negative", "positive")
	if err := r.Load(t.Context(), inferencetest.Base(t, "stars", inferencetest.BERT(t, "score"))); err != nil {
		t.Fatal(err)
	}
	r.Open()
	config, weights := inferencetest.Adapter(t, r.base, 1, 4)
	weights = bytes.ReplaceAll(weights, []byte("lorikeet.base_digest"), []byte("some.other.metadatum")) // PEFT names no digest
	for model, want := range map[string]arch.Problem{"tiny": arch.SingleLabel, "stars": arch.Regression} {
		_, err := r.Import(t.Context(), inference.Import{Name: "on-" + model, Model: model, Config: config, Weights: bytes.NewReader(weights), Size: int64(len(weights))})
		if err != nil {
			t.Fatal(err)
		}
		a, err := r.Predict(t.Context(), inference.Request{Model: "on-" + model, Inputs: texts[:1]})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Rows[0].Problem; got != want {
			t.Errorf("on %s it answers as %s, want %s", model, got, want)
		}
	}
}

func TestAHeadOfOneOutputIsARegression(t *testing.T) {
	r := start(t, devicetest.Go(t), 8, "negative", "positive")
	r.add(t, "score", 1, 4, "stars")
	r.add(t, "three", 1, 4, "a", "b", "c")
	a := r.predict(t, []string{"score", "three", ""}, texts[:3]...)
	for i, want := range []arch.Problem{arch.Regression, arch.SingleLabel, arch.SingleLabel} {
		if got := a.Rows[i].Problem; got != want {
			t.Errorf("row %d with labels %q is a %s, want %s", i, a.Rows[i].Labels, got, want)
		}
	}
}

func TestABaseWithMoreLabelsThanAreServedIsRefused(t *testing.T) {
	labels := make([]string, 257)
	for i := range labels {
		labels[i] = fmt.Sprint(i)
	}
	r := start(t, devicetest.Go(t), 8, "negative", "positive")
	if err := r.Load(t.Context(), inferencetest.Base(t, "wide", inferencetest.BERT(t, labels...))); err == nil {
		t.Error("it is loaded")
	}
}

// importTensors registers an adapter of rank 1 on the classifier made of these
// tensors and the factors, which are zero.
func (r rig) importTensors(t *testing.T, name, options string, tensors map[string][]float32) {
	t.Helper()
	m, _ := r.base.Layout.Find("classifier")
	const at = "base_model.model.classifier."
	out := []safetensors.Out{{Name: at + "lora_A.weight", DType: "F32", Shape: []int{1, m.In}, Data: make([]float32, m.In)},
		{Name: at + "lora_B.weight", DType: "F32", Shape: []int{m.Out, 1}, Data: make([]float32, m.Out)}}
	for n, v := range tensors {
		out = append(out, safetensors.Out{Name: at + n, DType: "F32", Shape: []int{len(v)}, Data: v})
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, out, nil); err != nil {
		t.Fatal(err)
	}
	config := `{"peft_type":"LORA","r":1,"lora_alpha":2,"target_modules":["classifier"],` + options + `}`
	if _, err := r.Import(t.Context(), inference.Import{Name: name, Model: "tiny", Config: []byte(config), Weights: bytes.NewReader(b.Bytes()), Size: int64(b.Len())}); err != nil {
		t.Fatal(err)
	}
}

func TestTheBiasOfLoraBAddsToATrainedBiasOfTheHead(t *testing.T) {
	r := start(t, devicetest.Go(t), 8, "negative", "positive")
	r.importTensors(t, "one", `"bias":"all"`, map[string][]float32{"base_layer.bias": {5, -7}})
	r.importTensors(t, "two", `"bias":"all","lora_bias":true`, map[string][]float32{"base_layer.bias": {3, -3}, "lora_B.bias": {1, -2}}) // α/r is 2
	a := r.predict(t, []string{"one", "two"}, texts[0], texts[0])
	if !near(a.Rows[0].Logits, a.Rows[1].Logits) {
		t.Errorf("logits %v, want %v", a.Rows[1].Logits, a.Rows[0].Logits)
	}
}

func TestWeightsThatOverflowAreTheFaultOfTheirAdapter(t *testing.T) {
	r := start(t, devicetest.Go(t), 8, "negative", "positive")
	r.add(t, "sound", 1, 4)
	config, weights := inferencetest.Adapter(t, r.base, 2, 4)
	config = bytes.Replace(config, []byte(`"lora_alpha": 8`), []byte(`"lora_alpha": 1e38`), 1)
	if _, err := r.Import(t.Context(), inference.Import{Name: "huge", Model: "tiny", Config: config, Weights: bytes.NewReader(weights), Size: int64(len(weights))}); err != nil {
		if invalid.Is(err) { // refused before it is served: as good
			return
		}
		t.Fatal(err)
	}
	_, err := r.Predict(t.Context(), inference.Request{Model: "tiny", Adapters: []string{"huge"}, Inputs: texts[:1]})
	if !invalid.Is(err) {
		t.Errorf("scores that are not finite: %v, want a fault", err)
	}
	r.predict(t, []string{"sound"}, texts[0])
}
