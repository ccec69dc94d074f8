package arch

import (
	"encoding/json"
	"errors"
	"fmt"

	"lorikeet/adapters/invalid"
)

// openMistral reads a Mistral (Jiang et al. 2023): LLaMA's walk, without biases. Its
// sliding window is refused unless no text can be longer than it.
func openMistral(config []byte) (Causal, error) {
	kv, window := 8, 4096 // MistralConfig's defaults; null means as many as heads, and no window
	c := struct {
		Llama
		Window *int `json:"sliding_window"`
	}{Llama: Llama{Act: "silu", Positions: 4096 * 32, Epsilon: 1e-6, KVHeads: &kv}, Window: &window}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	var failed error
	if c.Window != nil && *c.Window < c.Positions {
		failed = invalid.Field("sliding_window", "is %d, shorter than max_position_embeddings %d: sliding windows are not supported", *c.Window, c.Positions)
	}
	m := c.Llama
	m.inBias, m.AttentionBias, m.MLPBias = false, false, false
	m, err := m.check()
	return m, errors.Join(failed, err)
}
