package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"lorikeet/inference/builtin/unigram"
	"lorikeet/inference/builtin/wordpiece"
	"lorikeet/inference/text"
)

// object is one of JSON. Where a whole number has to be read as a fraction, which
// transformers is strict about, it is a json.Number.
type object = map[string]any

// shape is a model to be made: what its config.json says, and its kind of vocabulary.
type shape struct {
	config     object
	vocabulary func(dir string, size int) error // nil: made of rows, as a Marian's
	size       int                              // tokens
}

// shapes are those of well-known models, and small ones of the same families for a quick
// look. Weights are drawn at random: what they are does not change what they cost.
var shapes = map[string]shape{
	"bert-base":   {bert(768, 12, 12, 512), wordPieces, 30522},
	"minilm":      {bert(384, 6, 12, 512), wordPieces, 30522},
	"t5-small":    {t5(512, 6, 8, 64, 2048, 512), pieces, 32128},
	"llama-124m":  {llama(768, 12, 12, 2560, 512), bytePairs, 32000},
	"marian":      {marian(512, 6, 8, 2048), nil, 8000},
	"quick-bert":  {bert(32, 2, 2, 64), wordPieces, 4000},
	"quick-t5":    {t5(32, 2, 2, 16, 64, 64), pieces, 4000},
	"quick-llama": {llama(32, 2, 2, 64, 64), bytePairs, 4000},
}

func bert(hidden, layers, heads, positions int) object {
	return object{"model_type": "bert", "architectures": []string{"BertForSequenceClassification"}, "hidden_size": hidden, "num_hidden_layers": layers,
		"num_attention_heads": heads, "intermediate_size": 4 * hidden, "hidden_act": "gelu", "max_position_embeddings": positions, "type_vocab_size": 2,
		"layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "initializer_range": 0.02, "pad_token_id": 0,
		"id2label": object{"0": "negative", "1": "positive"}, "label2id": object{"negative": 0, "positive": 1}}
}

func t5(dim, layers, heads, headDim, ffn, positions int) object {
	return object{"model_type": "t5", "architectures": []string{"T5ForConditionalGeneration"}, "d_model": dim, "d_kv": headDim, "d_ff": ffn,
		"num_layers": layers, "num_decoder_layers": layers, "num_heads": heads, "feed_forward_proj": "relu", "n_positions": positions, "is_encoder_decoder": true,
		"relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "dropout_rate": 0.1, "layer_norm_epsilon": 1e-6, "initializer_factor": json.Number("1.0"),
		"pad_token_id": unigram.Pad, "eos_token_id": unigram.EOS, "decoder_start_token_id": unigram.Pad, "tie_word_embeddings": true}
}

func llama(hidden, layers, heads, ffn, positions int) object {
	return object{"model_type": "llama", "architectures": []string{"LlamaForCausalLM"}, "hidden_size": hidden, "num_hidden_layers": layers,
		"num_attention_heads": heads, "num_key_value_heads": heads, "intermediate_size": ffn, "hidden_act": "silu", "max_position_embeddings": positions,
		"rms_norm_eps": 1e-6, "rope_theta": json.Number("10000.0"), "initializer_range": 0.02, "tie_word_embeddings": true}
}

func marian(dim, layers, heads, ffn int) object {
	return object{"model_type": "marian", "architectures": []string{"MarianMTModel"}, "d_model": dim, "encoder_layers": layers, "decoder_layers": layers,
		"encoder_attention_heads": heads, "decoder_attention_heads": heads, "encoder_ffn_dim": ffn, "decoder_ffn_dim": ffn, "activation_function": "swish",
		"max_position_embeddings": 512, "dropout": 0.1, "attention_dropout": json.Number("0.0"), "activation_dropout": json.Number("0.0"), "init_std": 0.02, "scale_embedding": true,
		"static_position_embeddings": true, "normalize_before": false, "share_encoder_decoder_embeddings": true, "is_encoder_decoder": true, "num_hidden_layers": layers}
}

// makeModels makes all that are not there yet.
func (o *options) makeModels(ctx context.Context) error {
	for name := range shapes {
		dir, err := o.model(ctx, name)
		if err != nil {
			return err
		}
		fmt.Println(dir)
	}
	return nil
}

// model gives the folder of a model, made by examples/fresh if it is not there. The
// same names are the same bytes everywhere.
func (o *options) model(ctx context.Context, name string) (string, error) {
	s := shapes[name]
	dir := filepath.Join(o.cache, "models", name)
	if _, err := os.Stat(filepath.Join(dir, "model.safetensors")); err == nil {
		return dir, nil
	}
	fresh, err := o.built(ctx, "lorikeet/examples/fresh")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	stage, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(stage) }()
	from := filepath.Join(stage, "from")
	if err := os.Mkdir(from, 0o755); err != nil {
		return "", err
	}
	args := []string{"--config", filepath.Join(from, "config.json"), "--out", filepath.Join(stage, "model"), "--seed", "1"}
	c := object{"vocab_size": s.size}
	for k, v := range s.config {
		c[k] = v
	}
	if s.vocabulary == nil {
		args = append(args, "--rows", filepath.Join(from, "rows.jsonl"), "--vocab", fmt.Sprint(s.size))
		err = writeRows(filepath.Join(from, "rows.jsonl"))
	} else {
		args = append(args, "--tokenizer", from)
		err = s.vocabulary(from, s.size)
	}
	if err != nil {
		return "", err
	}
	if s.config["model_type"] == "llama" {
		c["bos_token_id"], c["eos_token_id"] = s.size-3, s.size-2
	}
	if err := writeJSON(filepath.Join(from, "config.json"), c); err != nil {
		return "", err
	}
	fmt.Printf("making %s\n", name)
	if out, err := exec.CommandContext(ctx, fresh, args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("make %s: %w\n%s", name, err, out)
	}
	return dir, os.Rename(filepath.Join(stage, "model"), dir)
}

// tokenized gives the folder of a model and its tokenizer.
func (o *options) tokenized(ctx context.Context, name string) (dir string, t *text.Tokenizer, err error) {
	if dir, err = o.model(ctx, name); err == nil {
		t, err = text.Load(os.DirFS(dir))
	}
	return dir, t, err
}

func writeJSON(file string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// writeRows writes sentences of a few thousand words, which a Marian's vocabulary is made of.
func writeRows(file string) error {
	var b strings.Builder
	texts := prose(2, lexicon(4000), 4000, 80)
	for i := 0; i+1 < len(texts); i += 2 {
		row, err := json.Marshal(object{"source": texts[i], "target": texts[i+1]})
		if err != nil {
			return err
		}
		b.Write(append(row, '\n'))
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

const letters = "abcdefghijklmnopqrstuvwxyz"

// signs are the marks that texts here may have besides letters.
const signs = "0123456789.,!?'-"

// wordPieces writes a BERT's tokenizer: letters and marks, then words, and between them
// the ends that rarer words have.
func wordPieces(dir string, size int) error {
	tokens := append([]string(nil), wordpiece.Special...)
	seen := map[string]bool{}
	add := func(t string) {
		if !seen[t] && len(tokens) < size {
			seen[t] = true
			tokens = append(tokens, t)
		}
	}
	for _, r := range letters + signs {
		add(string(r))
		add("##" + string(r))
	}
	for i, w := range lexicon(size) {
		add(w)
		if i%4 == 0 && len(w) > 4 {
			add("##" + w[len(w)-3:])
		}
	}
	vocab := make(object, len(tokens))
	for i, t := range tokens {
		vocab[t] = i
	}
	special := func(id int) object {
		return object{"id": id, "content": tokens[id], "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}
	}
	part := func(token string, typ int) object {
		return object{"SpecialToken": object{"id": token, "type_id": typ}}
	}
	a, b := object{"Sequence": object{"id": "A", "type_id": 0}}, object{"Sequence": object{"id": "B", "type_id": 1}}
	named := func(t string) object { return object{"id": t, "ids": []any{vocab[t]}, "tokens": []string{t}} }
	err := writeJSON(filepath.Join(dir, "tokenizer.json"), object{"version": "1.0",
		"added_tokens":  []object{special(0), special(1), special(2), special(3), special(4)},
		"normalizer":    object{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": nil, "lowercase": true},
		"pre_tokenizer": object{"type": "BertPreTokenizer"},
		"post_processor": object{"type": "TemplateProcessing", "single": []object{part("[CLS]", 0), a, part("[SEP]", 0)},
			"pair":           []object{part("[CLS]", 0), a, part("[SEP]", 0), b, part("[SEP]", 1)},
			"special_tokens": object{"[CLS]": named("[CLS]"), "[SEP]": named("[SEP]")}},
		"decoder": object{"type": "WordPiece", "prefix": "##", "cleanup": true},
		"model":   object{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab}})
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, "tokenizer_config.json"), object{"tokenizer_class": "BertTokenizer", "do_lower_case": true, "model_max_length": 512,
		"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"})
}

// pieces writes a T5's tokenizer, a Unigram model.
func pieces(dir string, size int) error {
	const sentinels = 100
	var all []unigram.Piece
	seen := map[string]bool{}
	add := func(text string, score float64) {
		if !seen[text] && len(all) < size-3-sentinels {
			seen[text] = true
			all = append(all, unigram.Piece{Text: text, Score: score})
		}
	}
	add(unigram.Space, -3)
	for _, r := range letters + strings.ToUpper(letters) + signs {
		add(string(r), -9)
	}
	words := lexicon(size)
	for i, w := range words {
		add(unigram.Space+w, score(i, size))
		if i%4 == 0 && len(w) > 4 {
			add(w[len(w)-3:], -10)
		}
	}
	_, err := unigram.WriteFiles(dir, all, sentinels, 512)
	return err
}

// bytePairs writes a byte-level BPE as LLaMA 3 and GPT-2 have it: every word of the
// vocabulary is merged from its start, so that the beginnings of words are tokens too.
func bytePairs(dir string, size int) error {
	vocab := object{}
	more := rune(256)
	for b := range 256 { // bytes that print badly stand for characters from here on (GPT-2)
		r := rune(b)
		if !(b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE) {
			r = more
			more++
		}
		vocab[string(r)] = b
	}
	const space = "Ġ"
	var merges [][2]string
	for _, w := range lexicon(size) {
		from := space
		for _, r := range w {
			to := from + string(r)
			if _, there := vocab[to]; !there && len(vocab) < size-3 {
				vocab[to] = len(vocab)
				merges = append(merges, [2]string{from, string(r)})
			}
			if _, there := vocab[to]; !there {
				break
			}
			from = to
		}
	}
	names := []string{"<s>", "</s>", "<pad>"}
	var added []object
	for _, n := range names {
		added = append(added, object{"id": len(vocab), "content": n, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
		vocab[n] = len(vocab)
	}
	level := object{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}
	err := writeJSON(filepath.Join(dir, "tokenizer.json"), object{"version": "1.0", "added_tokens": added, "pre_tokenizer": level, "decoder": level,
		"model": object{"type": "BPE", "vocab": vocab, "merges": merges}})
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, "tokenizer_config.json"), object{"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"})
}
