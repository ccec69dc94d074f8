package unigram

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// The first tokens of every vocabulary, in T5's order.
const (
	Pad = iota
	EOS
	Unknown
)

// Newline is the piece for the end of a line, which the model sees between instruction
// and input. SentencePiece would make a space of it.
const Newline = Space + "\n"

// Sentinel is what stands for the i-th missing span of a text.
func Sentinel(i int) string { return fmt.Sprintf("<extra_id_%d>", i) }

type object = map[string]any

// WriteFiles writes tokenizer.json and tokenizer_config.json in Hugging Face's form,
// and says how many tokens there are: pad, end and unknown, the pieces, then the
// sentinels, the last of them first, as in T5.
func WriteFiles(dir string, pieces []Piece, sentinels, length int) (size int, err error) {
	vocab := [][2]any{{"<pad>", 0}, {"</s>", 0}, {"<unk>", 0}}
	for _, p := range pieces {
		vocab = append(vocab, [2]any{p.Text, float32(p.Score)})
	}
	special := func(id int, text string) object {
		return object{"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
	}
	added := []object{special(Pad, "<pad>"), special(EOS, "</s>"), special(Unknown, "<unk>")}
	var extra []string
	for i := sentinels - 1; i >= 0; i-- {
		added = append(added, special(len(vocab), Sentinel(i)))
		vocab = append(vocab, [2]any{Sentinel(i), 0})
		extra = append(extra, Sentinel(sentinels-1-i))
	}
	replace := func(kind, from, to string) object {
		return object{"type": "Replace", "pattern": object{kind: from}, "content": to}
	}
	metaspace := object{"type": "Metaspace", "replacement": Space, "prepend_scheme": "always", "split": true}
	tokenizer := object{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added,
		"normalizer": object{"type": "Sequence", "normalizers": []object{
			{"type": "NFKC"}, replace("String", "’", "'"), replace("String", "“", `"`), replace("String", "”", `"`),
			replace("String", "\r", ""), replace("String", "\t", " "),
			replace("String", "\n", " \n "), replace("Regex", " {2,}", " "), {"type": "Strip", "strip_left": true, "strip_right": true}}},
		"pre_tokenizer": metaspace,
		"post_processor": object{"type": "TemplateProcessing",
			"single":         []object{{"Sequence": object{"id": "A", "type_id": 0}}, {"SpecialToken": object{"id": "</s>", "type_id": 0}}},
			"pair":           []object{{"Sequence": object{"id": "A", "type_id": 0}}, {"SpecialToken": object{"id": "</s>", "type_id": 0}}, {"Sequence": object{"id": "B", "type_id": 0}}, {"SpecialToken": object{"id": "</s>", "type_id": 0}}},
			"special_tokens": object{"</s>": object{"id": "</s>", "ids": []int{EOS}, "tokens": []string{"</s>"}}}},
		"decoder": metaspace,
		"model":   object{"type": "Unigram", "unk_id": Unknown, "vocab": vocab, "byte_fallback": false},
	}
	config := object{"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": length, "pad_token": "<pad>", "eos_token": "</s>",
		"unk_token": "<unk>", "additional_special_tokens": extra, "clean_up_tokenization_spaces": false}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	for name, v := range map[string]object{"tokenizer.json": tokenizer, "tokenizer_config.json": config} {
		b, err := json.Marshal(v)
		if err != nil {
			return 0, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), append(b, '\n'), 0o644); err != nil {
			return 0, err
		}
	}
	return len(vocab), nil
}
