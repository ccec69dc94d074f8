package gguf

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"lorikeet/adapters/invalid"
)

// Architectures are the values of general.architecture that Config knows. A llama may be
// a Mistral, a SmolLM or another of that build.
var Architectures = []string{"llama", "qwen2"}

// Config makes the config.json of the model. What the file says and the architectures
// here do not know, such as experts, is an error naming the key.
func (f *File) Config() ([]byte, error) {
	arch := f.Text("general.architecture")
	if arch != "llama" && arch != "qwen2" {
		return nil, invalid.Field("general.architecture", "%q is not supported; supported: %s", arch, strings.Join(Architectures, ", "))
	}
	r := metaReader{f: f, arch: arch}
	c := map[string]any{
		"model_type":              arch,
		"architectures":           []string{map[string]string{"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}[arch]},
		"hidden_act":              "silu",
		"num_hidden_layers":       r.whole("block_count"),
		"max_position_embeddings": r.whole("context_length"),
		"hidden_size":             r.whole("embedding_length"),
		"intermediate_size":       r.whole("feed_forward_length"),
		"num_attention_heads":     r.whole("attention.head_count"),
		"rms_norm_eps":            r.number("attention.layer_norm_rms_epsilon", 1e-5),
		"tie_word_embeddings":     !f.holds("output.weight"),
		"vocab_size":              f.vocabulary(),
		"torch_dtype":             "float32",
	}
	heads, dim := c["num_attention_heads"].(int), c["hidden_size"].(int)
	c["num_key_value_heads"] = r.wholeOr("attention.head_count_kv", heads)
	if arch == "llama" {
		width := 0
		if heads > 0 {
			width = dim / heads
		}
		width = r.wholeOr("attention.key_length", width)
		c["head_dim"] = width
		r.same("rope.dimension_count", width)
		r.same("attention.value_length", width)
		c["attention_bias"], c["mlp_bias"] = f.holds("blk.0.attn_q.bias"), f.holds("blk.0.ffn_gate.bias")
	}
	r.same("expert_count", 0)
	r.same("attention.sliding_window", c["max_position_embeddings"].(int))
	r.rope(c)
	for _, id := range []string{"bos", "eos", "pad"} {
		key := map[string]string{"bos": "bos", "eos": "eos", "pad": "padding"}[id]
		if n := f.Int("tokenizer.ggml."+key+"_token_id", -1); n >= 0 {
			c[id+"_token_id"] = n
		}
	}
	if err := errors.Join(r.errs...); err != nil {
		return nil, err
	}
	return json.Marshal(c)
}

// GenerationConfig makes generation_config.json: the tokens that end a text.
func (f *File) GenerationConfig() ([]byte, error) {
	c := map[string]any{}
	if n := f.Int("tokenizer.ggml.bos_token_id", -1); n >= 0 {
		c["bos_token_id"] = n
	}
	ends, seen := []int{}, map[int]bool{}
	for _, key := range []string{"eos", "eot", "eom"} { // of text, turn and message
		if n := f.Int("tokenizer.ggml."+key+"_token_id", -1); n >= 0 && !seen[n] {
			seen[n] = true
			ends = append(ends, n)
		}
	}
	if len(ends) > 0 {
		c["eos_token_id"] = ends
	}
	return json.Marshal(c)
}

func (f *File) holds(tensor string) bool {
	_, ok := f.byName[tensor]
	return ok
}

// vocabulary is the number of rows of the embedding; the file may not tell it otherwise.
func (f *File) vocabulary() int {
	if t, ok := f.Tensor("token_embd.weight"); ok {
		return t.Shape[0]
	}
	return 0
}

// metaReader reads the hyper-parameters of an architecture and collects what is wrong.
type metaReader struct {
	f    *File
	arch string
	errs []error
}

func (r *metaReader) fault(key, format string, args ...any) {
	r.errs = append(r.errs, invalid.Field(r.arch+"."+key, format, args...))
}

func (r *metaReader) whole(key string) int {
	v, ok := r.f.meta[r.arch+"."+key]
	if !ok {
		r.fault(key, "is missing")
		return 0
	}
	n, ok := v.(int64)
	if !ok || n < 1 || n > math.MaxInt32 {
		r.fault(key, "is %.80s, not one number above 0", fmt.Sprint(v))
		return 0
	}
	return int(n)
}

func (r *metaReader) wholeOr(key string, other int) int {
	if _, ok := r.f.meta[r.arch+"."+key]; !ok {
		return other
	}
	return r.whole(key)
}

func (r *metaReader) number(key string, other float64) float64 {
	switch v := r.f.meta[r.arch+"."+key].(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			r.fault(key, "is %v", v)
			return other
		}
		return v
	case int64:
		return float64(v)
	}
	return other
}

// same refuses a value other than the one that the architectures here are built with.
func (r *metaReader) same(key string, want int) {
	if n := r.f.Int(r.arch+"."+key, want); n != want {
		r.fault(key, "is %d; only %d is supported here", n, want)
	}
}

// rope fills in how the rotary embedding is made.
func (r *metaReader) rope(c map[string]any) {
	c["rope_theta"] = r.number("rope.freq_base", 10000)
	scaling := r.f.Text(r.arch + ".rope.scaling.type")
	switch {
	case scaling == "linear":
		c["rope_scaling"] = map[string]any{"rope_type": "linear", "factor": r.number("rope.scaling.factor", 1)}
	case scaling != "" && scaling != "none":
		r.fault("rope.scaling.type", "%q is not supported; supported: none, linear", scaling)
	}
	t, ok := r.f.Tensor(ropeFactors)
	if !ok {
		return
	}
	factors, err := r.f.Float32s(t)
	if err != nil {
		r.errs = append(r.errs, err)
		return
	}
	width, ok := c["head_dim"].(int)
	if known := llama3(factors, c["rope_theta"].(float64), width); ok && known != nil && c["rope_scaling"] == nil {
		c["rope_scaling"] = known
		return
	}
	r.errs = append(r.errs, invalid.Field(ropeFactors, "these factors of the rotary embedding are not supported; supported: those of LLaMA 3.1, 3.2 and 3.3"))
}

// llama3 finds the settings that the factors of the wave lengths were made with; nil if
// they are none that were published.
func llama3(factors []float32, theta float64, width int) map[string]any {
	if width != 2*len(factors) {
		return nil
	}
	const low, high, trained = 1, 4, 8192
	for _, factor := range []float64{8, 32} {
		same := true
		for i, got := range factors {
			turns := trained / (2 * math.Pi * math.Pow(theta, 2*float64(i)/float64(width))) // in the trained length
			want := factor
			switch smooth := (turns - low) / (high - low); {
			case turns > high:
				want = 1
			case turns >= low:
				want = 1 / ((1-smooth)/factor + smooth)
			}
			same = same && math.Abs(float64(got)-want) < 1e-3*want
		}
		if same {
			return map[string]any{"rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
				"original_max_position_embeddings": trained}
		}
	}
	return nil
}
