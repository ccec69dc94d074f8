package inference

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/adapters/safetensors/safetensorstest"
	"lorikeet/adapters/sharedtest"
	"lorikeet/inference/arch"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/nn"
)

func TestLanguageModelsAgreeWithPyTorch(t *testing.T) {
	for _, name := range causals {
		t.Run(name, func(t *testing.T) {
			dir := sharedtest.Fixture(t, name)
			r := openSpeaker(t, dir, "config.json")
			ids, mask := narrow(ints(t, r.io, "input_ids")), narrow(ints(t, r.io, "attention_mask"))
			devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
				s := r.speak(t, backend)
				info, _ := r.io.Info("input_ids")
				batch := info.Shape[0]
				compareTokens(t, "logits", s.logits(t, ids, mask, batch, nil), r.io, "logits", mask)
				s.compareHidden(t, ids, mask, batch)

				all := map[string]*Prepared{}
				for _, n := range append(r.names(t), "__base__") {
					all[n] = r.prepare(t, n)
				}
				s.wear(t, slices.Collect(maps.Values(all))...)
				for n, a := range all {
					want := "adapter." + n
					if a == nil {
						want = "base"
					}
					compareTokens(t, want, s.logits(t, ids, mask, batch, same(a, batch)), r.adapters, want, mask)
				}
				var mixed [][]string
				decode(t, r.lists["mixed"], &mixed)
				lists := map[string][]string{}
				for i, names := range mixed {
					lists[fmt.Sprintf("mixed.%d", i)] = names
				}
				for _, list := range []string{"mixed_modules_to_save", "mixed_any"} {
					var names []string
					if decode(t, r.lists[list], &names); names != nil {
						lists[list] = names
					}
				}
				for list, names := range lists {
					with := make([]*Prepared, batch)
					for i, n := range names {
						with[i] = all[n]
					}
					compareTokens(t, list, s.logits(t, ids, mask, batch, with), r.adapters, list, mask)
				}
			})
		})
	}
}

func (s *speaker) compareHidden(t *testing.T, ids, mask []int32, batch int) {
	t.Helper()
	length := len(ids) / batch
	out := s.run(t, "hidden", batch, length, nil, map[string][]int32{"ids": ids, "mask": mask}, nil, func(p *nn.Pass) []*graph.Node {
		return s.lm.(arch.Llama).Hidden(p.Root(), p.Input("ids", dtypes.Int32, batch, length), p.Input("mask", dtypes.Int32, batch, length))
	})
	for i, b := range out {
		compareTokens(t, fmt.Sprintf("hidden.%d", i), s.rows(t, b, batch*length), s.io, fmt.Sprintf("hidden.%d", i), mask)
	}
}

// TestBothLayoutsOfTheConfigurationAreOne reads the config.json of transformers 4 and 5.
func TestBothLayoutsOfTheConfigurationAreOne(t *testing.T) {
	for _, name := range causals {
		t.Run(name, func(t *testing.T) {
			dir := sharedtest.Fixture(t, name)
			r := openSpeaker(t, dir, "config.v5.json")
			info, _ := r.io.Info("input_ids")
			ids, mask := narrow(ints(t, r.io, "input_ids")), narrow(ints(t, r.io, "attention_mask"))
			got := r.speak(t, devicetest.Go(t)).logits(t, ids, mask, info.Shape[0], nil)
			compareTokens(t, "logits", got, r.io, "logits", mask)
		})
	}
}

// TestLanguageModelsAreReadStrictly wants the head of an untied model, and refuses
// tensors that nothing asks for.
func TestLanguageModelsAreReadStrictly(t *testing.T) {
	dir := sharedtest.Fixture(t, "llama")
	b, _ := openCausal(t, dir, "config.json")
	saved := b.tensors["lm_head.weight"]
	if saved == "" {
		t.Fatal("the fixture has no head")
	}
	b.weights = slices.DeleteFunc(b.weights, func(p nn.Param) bool { return p.Name == "lm_head.weight" })
	if b.match() == nil {
		t.Error("takes a tensor that nothing asks for")
	}
	tied, _ := openCausal(t, sharedtest.Fixture(t, "llama3-tied"), "config.json")
	tied.weights = append(tied.weights, nn.Param{Role: nn.Weight, Name: "lm_head.weight"})
	if tied.match() == nil {
		t.Error("takes an untied model without its head")
	}
}

// TestRarerConfigurationsAgreeWithPyTorch runs models recorded in testdata, with adapters
// on the token embedding and on the output layer, tied and not.
func TestRarerConfigurationsAgreeWithPyTorch(t *testing.T) {
	for _, name := range []string{"llama-biased", "mistral"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", name)
			base, _ := openCausal(t, dir, "config.json")
			r := reference{dir: dir, base: base, io: safetensorstest.Open(t, filepath.Join(dir, "io.safetensors")),
				adapters: safetensorstest.Open(t, filepath.Join(dir, "adapters.safetensors"))}
			ids := narrow(ints(t, r.io, "input_ids"))
			info, _ := r.io.Info("input_ids")
			mask := slices.Repeat([]int32{1}, len(ids))
			devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
				s := r.speak(t, backend)
				compareTokens(t, "logits", s.logits(t, ids, mask, info.Shape[0], nil), r.io, "logits", mask)
				words, dora := r.prepare(t, "words"), r.prepare(t, "head-dora")
				s.wear(t, words, dora)
				for name, with := range map[string][]*Prepared{"adapter.words": {words, words}, "adapter.head-dora": {dora, dora}} {
					compareTokens(t, name, s.logits(t, ids, mask, info.Shape[0], with), r.adapters, name, mask)
				}
			})
		})
	}
}
