package arch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/inference/arch"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/nn"
)

// causals are small but complete configurations.
var causals = map[string]string{
	"llama": `{"model_type":"llama","architectures":["LlamaForCausalLM"],"vocab_size":100,"hidden_size":8,"num_hidden_layers":2,
		"num_attention_heads":4,"num_key_value_heads":2,"intermediate_size":16,"max_position_embeddings":32}`,
	"qwen2": `{"model_type":"qwen2","architectures":["Qwen2ForCausalLM"],"vocab_size":100,"hidden_size":8,"num_hidden_layers":2,
		"num_attention_heads":4,"num_key_value_heads":2,"intermediate_size":16,"max_position_embeddings":32,"tie_word_embeddings":true}`,
	"mistral": `{"model_type":"mistral","architectures":["MistralForCausalLM"],"vocab_size":100,"hidden_size":8,"num_hidden_layers":2,
		"num_attention_heads":4,"num_key_value_heads":2,"head_dim":4,"intermediate_size":16,"max_position_embeddings":32,"sliding_window":null}`,
}

// sketchCausal builds a model's graph and tells which weights it asks for.
func sketchCausal(t *testing.T, config string) ([]nn.Param, adapters.Layout) {
	t.Helper()
	model, err := arch.OpenCausal([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	pass, _, err := nn.Build(devicetest.Go(t), "sketch", func(p *nn.Pass) []*graph.Node {
		return []*graph.Node{model.Logits(p.Root(), p.Input("ids", dtypes.Int32, 1, 4), p.Input("mask", dtypes.Int32, 1, 4), nil)}
	})
	if err != nil {
		t.Fatal(err)
	}
	var weights []nn.Param
	for _, p := range pass.Params {
		if p.Role == nn.Weight {
			weights = append(weights, p)
		}
	}
	return weights, pass.Modules
}

func TestEachDecoderAsksForTheCheckpointsWeights(t *testing.T) {
	for _, family := range arch.CausalFamilies {
		weights, _ := sketchCausal(t, causals[family])
		var b strings.Builder
		for _, w := range weights {
			fmt.Fprintln(&b, w.Name, w.CheckpointDims())
		}
		path := filepath.Join("testdata", family+".weights")
		if *update {
			if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s asks for other weights than %s lists; if that is right, run the test with -update\n%s", family, path, b.String())
		}
	}
}

// with adds fields to a configuration.
func with(config, fields string) string {
	return strings.Replace(config, `"vocab_size"`, fields+`,"vocab_size"`, 1)
}

func TestConfigurationDecidesOnBiasesAndHead(t *testing.T) {
	for _, c := range []struct{ config, weight, absent string }{
		{causals["llama"], "lm_head.weight", "model.layers.0.self_attn.q_proj.bias"},
		{with(causals["llama"], `"tie_word_embeddings":true`), "model.embed_tokens.weight", "lm_head.weight"},
		{with(causals["llama"], `"attention_bias":true`), "model.layers.1.self_attn.o_proj.bias", "model.layers.1.mlp.up_proj.bias"},
		{with(causals["llama"], `"mlp_bias":true`), "model.layers.1.mlp.down_proj.bias", "model.layers.1.self_attn.q_proj.bias"},
		{causals["qwen2"], "model.layers.0.self_attn.k_proj.bias", "model.layers.0.self_attn.o_proj.bias"},
		{with(causals["qwen2"], `"attention_bias":false`), "model.layers.0.self_attn.q_proj.bias", "lm_head.weight"},
		{causals["mistral"], "lm_head.weight", "model.layers.0.self_attn.q_proj.bias"},
	} {
		weights, _ := sketchCausal(t, c.config)
		names := map[string]bool{}
		for _, w := range weights {
			names[w.Name] = true
		}
		if !names[c.weight] || names[c.absent] {
			t.Errorf("%s: has %s: %v, has %s: %v", c.config, c.weight, names[c.weight], c.absent, names[c.absent])
		}
	}
}

// TestAllLinearLeavesTheHeadOut as PEFT does; it can be targeted by its name.
func TestAllLinearLeavesTheHeadOut(t *testing.T) {
	for _, c := range []struct {
		targets string
		want    int
	}{{`"all-linear"`, 14}, {`["q_proj","v_proj"]`, 4}, {`["lm_head"]`, 1}, {`["embed_tokens"]`, 1}, {`null`, 4}} {
		_, layout := sketchCausal(t, causals["qwen2"])
		config, err := adapters.ParseConfig([]byte(`{"peft_type":"LORA","r":4,"lora_alpha":8,"target_modules":` + c.targets + `}`))
		if err != nil {
			t.Fatal(err)
		}
		plan, err := config.Plan(layout)
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Ranks) != c.want {
			t.Errorf("%s targets %d modules, want %d: %v", c.targets, len(plan.Ranks), c.want, plan.Ranks)
		}
	}
}

func TestOpenCausalRefuses(t *testing.T) {
	llama := causals["llama"]
	for name, config := range map[string]string{
		"an encoder":                     configs["bert"],
		"what is no JSON":                `{`,
		"no sizes":                       `{"model_type":"llama"}`,
		"heads that do not divide":       strings.Replace(llama, `"num_attention_heads":4`, `"num_attention_heads":3`, 1),
		"groups that are uneven":         strings.Replace(llama, `"num_key_value_heads":2`, `"num_key_value_heads":3`, 1),
		"heads of an odd width":          with(llama, `"head_dim":3`),
		"an unknown activation":          with(llama, `"hidden_act":"mish"`),
		"yarn":                           with(llama, `"rope_scaling":{"type":"yarn","factor":4}`),
		"a linear scaling by nothing":    with(llama, `"rope_scaling":{"type":"linear"}`),
		"a ramp that falls":              with(llama, `"rope_parameters":{"rope_type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":1,"original_max_position_embeddings":8}`),
		"a half rotated head":            with(llama, `"rope_parameters":{"rope_type":"default","partial_rotary_factor":0.5}`),
		"a negative base":                with(llama, `"rope_theta":-1`),
		"Qwen2's sliding window":         with(causals["qwen2"], `"use_sliding_window":true`),
		"a sliding layer":                with(causals["qwen2"], `"layer_types":["full_attention","sliding_attention"]`),
		"Mistral's sliding window":       strings.Replace(causals["mistral"], `"sliding_window":null`, `"sliding_window":16`, 1),
		"a window that is there unnamed": strings.Replace(strings.Replace(causals["mistral"], `,"sliding_window":null`, ``, 1), `:32`, `:8192`, 1),
	} {
		if _, err := arch.OpenCausal([]byte(config)); err == nil {
			t.Errorf("takes %s", name)
		}
	}
	_, err := arch.OpenCausal([]byte(`{"model_type":"llama","hidden_act":"mish","rope_scaling":{"type":"yarn"}}`))
	if n := len(invalid.Faults(err)); n < 6 {
		t.Errorf("reports %d faults at once, want all of them: %v", n, err)
	}
	if _, err := arch.OpenCausal([]byte(strings.Replace(causals["mistral"], `"sliding_window":null`, `"sliding_window":32`, 1))); err != nil {
		t.Errorf("a window as long as the model is none: %v", err)
	}
}

func TestRenameLeavesUnread(t *testing.T) {
	for _, c := range []struct{ config, tensor, want string }{
		{causals["llama"], "model.layers.0.self_attn.rotary_emb.inv_freq", ""},
		{causals["llama"], "layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"},
		{causals["llama"], "lm_head.weight", "lm_head.weight"},
		{causals["qwen2"], "lm_head.weight", ""},
		{causals["qwen2"], "model.norm.weight", "model.norm.weight"},
	} {
		m, err := arch.OpenCausal([]byte(c.config))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Rename(c.tensor); got != c.want {
			t.Errorf("%s becomes %q, want %q", c.tensor, got, c.want)
		}
	}
}

func FuzzOpenCausal(f *testing.F) {
	for _, c := range causals {
		f.Add([]byte(c))
		f.Add([]byte(with(c, `"rope_parameters":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":8}`)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := arch.OpenCausal(b)
		if err == nil && m.Facts().Vocab <= 0 {
			t.Fatal("a model without words")
		}
	})
}
