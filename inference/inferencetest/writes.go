package inferencetest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Llama writes the folder of a LLaMA with two layers of width 16, and T5 that of an
// encoder-decoder as small. Their tokens are the 256 bytes, in the alphabet of
// byte-level BPE, so that what they write at random is seldom a character: a hard case
// for whoever reads it piece by piece. Texts may have 128 tokens.
func Llama(t testing.TB) string {
	t.Helper()
	return writes(t, map[string]any{"model_type": "llama", "architectures": []string{"LlamaForCausalLM"}, "hidden_size": 16, "num_hidden_layers": 2,
		"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 32, "max_position_embeddings": 128, "rms_norm_eps": 1e-6,
		"bos_token_id": begin, "eos_token_id": end, "tie_word_embeddings": true})
}

// T5 is Llama's counterpart.
func T5(t testing.TB) string {
	t.Helper()
	return writes(t, map[string]any{"model_type": "t5", "architectures": []string{"T5ForConditionalGeneration"}, "d_model": 16, "d_kv": 8, "d_ff": 32,
		"num_layers": 2, "num_heads": 2, "feed_forward_proj": "gated-gelu", "n_positions": 128, "pad_token_id": pad, "eos_token_id": end,
		"decoder_start_token_id": pad, "tie_word_embeddings": false})
}

// The special tokens come after the bytes.
const pad, begin, end = 256, 257, 258

func writes(t testing.TB, c map[string]any) string {
	t.Helper()
	dir := t.TempDir()
	c["vocab_size"] = end + 1
	config, err := json.Marshal(c)
	must(t, err)
	fill(t, dir, config, 0.5)

	vocab := map[string]int{}
	more := rune(256) // bytes that print badly stand for characters from here on (GPT-2)
	for b := range 256 {
		r := rune(b)
		if !(b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE) {
			r = more
			more++
		}
		vocab[string(r)] = b
	}
	added := []map[string]any{}
	for id, token := range map[int]string{pad: "<pad>", begin: "<s>", end: "</s>"} {
		added = append(added, map[string]any{"id": id, "content": token, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
		vocab[token] = id
	}
	level := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}
	tokenizer := map[string]any{"version": "1.0", "added_tokens": added, "pre_tokenizer": level, "decoder": level,
		"model": map[string]any{"type": "BPE", "vocab": vocab, "merges": []string{}}}
	if c["model_type"] == "t5" {
		tokenizer["post_processor"] = map[string]any{"type": "TemplateProcessing",
			"single":         []any{map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}}, map[string]any{"SpecialToken": map[string]any{"id": "</s>", "type_id": 0}}},
			"pair":           []any{map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}}, map[string]any{"Sequence": map[string]any{"id": "B", "type_id": 0}}},
			"special_tokens": map[string]any{"</s>": map[string]any{"id": "</s>", "ids": []int{end}, "tokens": []string{"</s>"}}}}
	}
	raw, err := json.Marshal(tokenizer)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), raw, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "tokenizer_config.json"),
		fmt.Appendf(nil, `{"tokenizer_class":"PreTrainedTokenizerFast","bos_token":"<s>","eos_token":"</s>","pad_token":"<pad>"}`), 0o600))
	return dir
}
