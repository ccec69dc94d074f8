package gguf

import (
	"encoding/json"
	"errors"
	"strings"

	"lorikeet/adapters/invalid"
)

// What a token is for, as in SentencePiece: see package spm.
const (
	tokenNormal  = 1
	tokenControl = 3
	tokenUser    = 4
)

// splits are how texts are cut before the merges of a byte-level vocabulary, by
// tokenizer.ggml.pre: transformers' pre-tokenizers of the models that llama.cpp knows by
// these names (src/llama-vocab.cpp).
var splits = map[string]split{
	"default": {}, "gpt-2": {}, "gpt2": {},
	"smollm":    {digits: true},
	"llama-bpe": llama3Split, "llama3": llama3Split, "llama-v3": llama3Split,
	"qwen2": qwen2Split, "deepseek-r1-qwen": qwen2Split,
}

type split struct {
	digits  bool   // one by one, then as GPT-2
	pattern string // "": as GPT-2
	nfc     bool
	whole   bool // words that are tokens are taken as such, without merges
	bos     bool // added where the file does not say
}

var (
	llama3Split = split{whole: true, bos: true, pattern: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}` +
		`| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`}
	qwen2Split = split{nfc: true, pattern: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}` +
		`| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`}
)

type object = map[string]any

// Tokenizer makes the files of the tokenizer: tokenizer_config.json, with the chat
// template, and tokenizer.json or, of a SentencePiece vocabulary, tokenizer.model.
func (f *File) Tokenizer() (map[string][]byte, error) {
	tokens, ok := f.meta["tokenizer.ggml.tokens"].([]string)
	if !ok {
		return nil, invalid.Field("tokenizer.ggml.tokens", "is missing: the file holds no tokenizer")
	}
	types, err := f.tokenTypes(len(tokens))
	if err != nil {
		return nil, err
	}
	config := object{"clean_up_tokenization_spaces": false}
	if n := f.Int(f.Text("general.architecture")+".context_length", 0); n > 0 {
		config["model_max_length"] = n
	}
	for name, key := range map[string]string{"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"} {
		id := f.Int("tokenizer.ggml."+key+"_token_id", -1)
		if id >= len(tokens) {
			return nil, invalid.Field("tokenizer.ggml."+key+"_token_id", "is %d, but there are %d tokens", id, len(tokens))
		}
		if id >= 0 {
			config[name] = tokens[id]
		}
	}
	if chat := f.Text("tokenizer.chat_template"); chat != "" {
		config["chat_template"] = chat
	}
	files := map[string][]byte{}
	switch kind := f.Text("tokenizer.ggml.model"); kind {
	case "gpt2":
		config["tokenizer_class"] = "PreTrainedTokenizerFast"
		files["tokenizer.json"], err = f.byteLevel(tokens, types)
	case "llama":
		config["tokenizer_class"] = "LlamaTokenizer"
		config["add_bos_token"], config["add_eos_token"] = f.flag("tokenizer.ggml.add_bos_token", true), f.flag("tokenizer.ggml.add_eos_token", false)
		files["tokenizer.model"], err = f.sentencePiece(tokens, types)
	default:
		err = invalid.Field("tokenizer.ggml.model", "%q is not supported; supported: gpt2 (byte-level BPE), llama (SentencePiece)", kind)
	}
	if err != nil {
		return nil, err
	}
	files["tokenizer_config.json"], err = json.Marshal(config)
	return files, err
}

func (f *File) flag(key string, other bool) bool {
	if b, ok := f.meta[key].(bool); ok {
		return b
	}
	return other
}

func (f *File) tokenTypes(n int) ([]int64, error) {
	types, ok := f.meta["tokenizer.ggml.token_type"].([]int64)
	if !ok {
		types = make([]int64, n)
		for i := range types {
			types[i] = tokenNormal
		}
	}
	if len(types) != n {
		return nil, invalid.Field("tokenizer.ggml.token_type", "has %d entries for %d tokens", len(types), n)
	}
	return types, nil
}

// byteLevel makes the tokenizer.json of a byte-level BPE vocabulary.
func (f *File) byteLevel(tokens []string, types []int64) ([]byte, error) {
	pre := f.Text("tokenizer.ggml.pre")
	if pre == "" {
		pre = "default"
	}
	s, ok := splits[pre]
	if !ok {
		return nil, invalid.Field("tokenizer.ggml.pre", "%q is not supported; supported: default, gpt-2, smollm, llama-bpe, qwen2", pre)
	}
	vocab, added := make(map[string]int, len(tokens)), []object{}
	var errs []error
	for i, t := range tokens {
		if _, twice := vocab[t]; twice && len(errs) < 20 {
			errs = append(errs, invalid.Field("tokenizer.ggml.tokens", "%.40q is there twice", t))
		}
		vocab[t] = i
		if types[i] == tokenControl || types[i] == tokenUser {
			added = append(added, object{"id": i, "content": t, "special": types[i] == tokenControl,
				"normalized": false, "single_word": false, "lstrip": false, "rstrip": false})
		}
	}
	merges, ok := f.meta["tokenizer.ggml.merges"].([]string)
	if !ok {
		errs = append(errs, invalid.Field("tokenizer.ggml.merges", "is missing"))
	}
	pairs := make([][2]string, len(merges))
	for i, m := range merges {
		left, right, ok := strings.Cut(m, " ")
		if !ok && len(errs) < 20 {
			errs = append(errs, invalid.Field("tokenizer.ggml.merges", "%.40q is no pair", m))
		}
		pairs[i] = [2]string{left, right}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	file := object{
		"version": "1.0", "added_tokens": added,
		"pre_tokenizer":  s.component(),
		"post_processor": f.ends(s, tokens),
		"decoder":        object{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
		"model":          object{"type": "BPE", "vocab": vocab, "merges": pairs, "ignore_merges": s.whole},
	}
	if s.nfc {
		file["normalizer"] = object{"type": "NFC"}
	}
	return json.Marshal(file)
}

// component is the pre-tokenizer in tokenizer.json.
func (s split) component() object {
	bytes := object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": s.pattern == ""}
	var first object
	switch {
	case s.digits:
		first = object{"type": "Digits", "individual_digits": true}
	case s.pattern != "":
		first = object{"type": "Split", "pattern": object{"Regex": s.pattern}, "behavior": "Isolated", "invert": false}
	default:
		return bytes
	}
	return object{"type": "Sequence", "pretokenizers": []object{first, bytes}}
}

// ends is the post-processor: the tokens put around a text.
func (f *File) ends(s split, tokens []string) object {
	text := func(id string, typeID int) object { return object{"Sequence": object{"id": id, "type_id": typeID}} }
	special := object{}
	around := func(id string, typeID int) []object {
		parts := []object{}
		add := func(key string, other bool) {
			at := f.Int("tokenizer.ggml."+key+"_token_id", -1)
			if !f.flag("tokenizer.ggml.add_"+key+"_token", other) || at < 0 {
				return
			}
			special[tokens[at]] = object{"id": tokens[at], "ids": []int{at}, "tokens": []string{tokens[at]}}
			parts = append(parts, object{"SpecialToken": object{"id": tokens[at], "type_id": typeID}})
		}
		add("bos", s.bos)
		parts = append(parts, text(id, typeID))
		add("eos", false)
		return parts
	}
	first := around("A", 0)
	return object{"type": "TemplateProcessing", "single": first, "pair": append(first, around("B", 1)...), "special_tokens": special}
}
