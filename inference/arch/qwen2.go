package arch

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"lorikeet/adapters/invalid"
)

// openQwen2 reads a Qwen2 or Qwen2.5 (Yang et al. 2024): LLaMA's walk with biases on
// queries, keys and values and nowhere else.
func openQwen2(config []byte) (Causal, error) {
	kv := 32 // Qwen2Config's default; null means as many as heads
	c := struct {
		Llama
		Slides bool     `json:"use_sliding_window"`
		Types  []string `json:"layer_types"`
	}{Llama: Llama{Act: "silu", Positions: 32768, Epsilon: 1e-6, KVHeads: &kv}}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	var errs []error
	if c.Slides {
		errs = append(errs, invalid.Field("use_sliding_window", "sliding windows are not supported"))
	}
	if i := slices.IndexFunc(c.Types, func(t string) bool { return t != "full_attention" }); i >= 0 {
		errs = append(errs, invalid.Field("layer_types", "layer %d has %q; only full_attention is supported", i, c.Types[i]))
	}
	m := c.Llama
	m.inBias, m.AttentionBias, m.MLPBias = true, false, false
	m, err := m.check()
	return m, errors.Join(append(errs, err)...)
}
