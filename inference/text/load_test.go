package text

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/text/spm"
)

// changed is a tiny tokenizer.json with one member replaced: path is keys with dots.
func changed(t *testing.T, name, path string, value any) fs.FS {
	t.Helper()
	var top object
	if err := json.Unmarshal(tiny[name]["tokenizer.json"].Data, &top); err != nil {
		t.Fatal(err)
	}
	at, keys := top, strings.Split(path, ".")
	for _, key := range keys[:len(keys)-1] {
		at = at[key].(object)
	}
	at[keys[len(keys)-1]] = value
	return folder("tokenizer.json", encoded(top))
}

func TestLoadRefuses(t *testing.T) {
	file := func(name, content string) fs.FS { return folder(name, []byte(content)) }
	deep := strings.Repeat(`{"type":"Sequence","normalizers":[`, 200) + strings.Repeat(`]}`, 200)
	tests := []struct {
		name  string
		files fs.FS
		want  string // part of the error
	}{
		{"a folder without a tokenizer", fstest.MapFS{}, "none of tokenizer.json"},
		{"what is no JSON", file("tokenizer.json", "{"), "unexpected end"},
		{"a file without a model", file("tokenizer.json", "{}"), "model: is missing"},
		{"an unknown normalizer", changed(t, "bert", "normalizer", object{"type": "Rot13"}), `normalizer "Rot13" is not supported`},
		{"an unknown pre-tokenizer", changed(t, "bert", "pre_tokenizer", object{"type": "UnicodeScripts"}), `pre-tokenizer "UnicodeScripts" is not supported`},
		{"an unknown post-processor", changed(t, "bert", "post_processor", object{"type": "X"}), `post-processor "X" is not supported`},
		{"an unknown decoder", changed(t, "bert", "decoder", object{"type": "CTC"}), `decoder "CTC" is not supported`},
		{"an unknown model", changed(t, "bert", "model", object{"type": "Oracle"}), `model "Oracle" is not supported`},
		{"an unknown stage inside a sequence", changed(t, "llama", "decoder.decoders", []object{{"type": "Fuse"}, {"type": "X"}}), "decoder.decoders[1].type"},
		{"a stage without a type", changed(t, "bert", "normalizer", object{"lowercase": true}), "normalizer: has no type"},
		{"a normalizer that does not say if it lowers", changed(t, "bert", "normalizer", object{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true}), "normalizer.lowercase: is missing"},
		{"an unknown behavior", changed(t, "bert", "pre_tokenizer", object{"type": "Punctuation", "behavior": "Loud"}), `"Loud" is not supported`},
		{"a broken expression", changed(t, "bert", "pre_tokenizer", object{"type": "Split", "pattern": object{"Regex": "(a"}, "behavior": "Isolated", "invert": false}), "pre_tokenizer.pattern"},
		{"a contradiction about the first space", changed(t, "unigram", "pre_tokenizer", object{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "add_prefix_space": false}), "contradicts"},
		{"a character map that is no base64", changed(t, "unigram", "normalizer", object{"type": "Precompiled", "precompiled_charsmap": "?"}), "precompiled_charsmap"},
		{"a character map that is cut off", changed(t, "unigram", "normalizer", object{"type": "Precompiled", "precompiled_charsmap": "//8AAAAA"}), "does not fit"},
		{"stages nested without end", changed(t, "bert", "normalizer", json.RawMessage(deep)), "nested too deep"},
		{"two post-processors that add tokens", changed(t, "bert", "post_processor", object{"type": "Sequence", "processors": []object{
			{"type": "BertProcessing", "cls": []any{"[CLS]", 2}, "sep": []any{"[SEP]", 3}}, {"type": "BertProcessing", "cls": []any{"[CLS]", 2}, "sep": []any{"[SEP]", 3}}}}), "a second post-processor"},
		{"a template with a token the vocabulary lacks", changed(t, "bert", "post_processor", object{"type": "BertProcessing", "cls": []any{"[CLS]", 2000}, "sep": []any{"[SEP]", 3}}), "token 2000 is not in the vocabulary"},
		{"a template that forgets a text", changed(t, "unigram", "post_processor.pair", []object{{"Sequence": object{"id": "A", "type_id": 0}}}), "must hold every text once"},
		{"a template with an unnamed token", changed(t, "unigram", "post_processor.special_tokens", object{}), `"</s>" is not among special_tokens`},
		{"an unknown token outside the vocabulary", changed(t, "bert", "model.unk_token", "?"), "model.unk_token"},
		{"a vocabulary with an enormous id", changed(t, "bert", "model.vocab", object{"[UNK]": 0, "x": 2000000000}), "far outside"},
		{"a vocabulary with a negative id", changed(t, "bert", "model.vocab", object{"[UNK]": 0, "x": -1}), "far outside"},
		{"a vocabulary with an id twice", changed(t, "bert", "model.vocab", object{"[UNK]": 0, "x": 0}), "both have id 0"},
		{"merges of tokens that are not there", changed(t, "level", "model.merges", []string{"q z"}), "model.merges[0]"},
		{"merges of three tokens", changed(t, "level", "model.merges", []string{"h e l"}), "must be two tokens"},
		{"dropout", changed(t, "level", "model.dropout", 0.1), "model.dropout"},
		{"an unk_id outside the vocabulary", changed(t, "unigram", "model.unk_id", 99), "model.unk_id"},
		{"a score that is no number", changed(t, "unigram", "model.vocab", []any{[]any{"a", "x"}}), "model.vocab[0]"},
		{"an added token that contradicts the vocabulary", changed(t, "bert", "added_tokens", []object{special(9, "[CLS]")}), `"[CLS]" is 9, but 2`},
		{"an added token without an id", changed(t, "bert", "added_tokens", []object{{"content": "x"}}), "must have an id"},
		{"a vocab.txt without [UNK]", file("vocab.txt", "[CLS]\n[SEP]\n"), "unk_token"},
		{"a vocab.txt that is no UTF-8", file("vocab.txt", "\xff\n"), "no UTF-8"},
		{"a vocab.json without merges.txt", file("vocab.json", `{"a":0}`), "merges"},
		{"a class it does not know", fstest.MapFS{"vocab.json": {Data: []byte(`{"a":0}`)}, "merges.txt": {}, "tokenizer_config.json": {Data: []byte(`{"tokenizer_class":"CLIPTokenizer"}`)}}, "CLIPTokenizer"},
		{"a class that cuts words in another way", fstest.MapFS{"vocab.txt": {Data: []byte("[UNK]\n[CLS]\n[SEP]\n")}, "tokenizer_config.json": {Data: []byte(`{"tokenizer_class":"BertJapaneseTokenizer"}`)}}, "BertJapaneseTokenizer"},
		{"a spiece.model of another class", fstest.MapFS{"spiece.model": tiny["spm"]["spiece.model"], "config.json": {Data: []byte(`{"model_type":"albert"}`)}}, "albert"},
		{"a configuration that is no JSON", fstest.MapFS{"tokenizer.json": tiny["bert"]["tokenizer.json"], "tokenizer_config.json": {Data: []byte("[")}}, "tokenizer_config.json"},
		{"a tokenizer.model that is none", file("tokenizer.model", "IQ== 0\nIg== 1\n"), "no SentencePiece model"},
		{"a SentencePiece model of words", folder("spiece.model", tinySPM(spm.Words)), "words and characters"},
		{"a Marian folder without its target", fstest.MapFS{"source.spm": tiny["marian"]["source.spm"]}, "target.spm"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tok, err := Load(tt.files)
			if err == nil {
				t.Fatalf("was loaded: %d tokens", tok.VocabSize())
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want %q in it", err, tt.want)
			}
		})
	}
}

func TestLoadReportsEverythingAtOnce(t *testing.T) {
	_, err := Load(folder("tokenizer.json", encoded(object{
		"normalizer": object{"type": "N"}, "pre_tokenizer": object{"type": "P"}, "decoder": object{"type": "D"}, "model": object{"type": "M"}})))
	if n := len(invalid.Faults(err)); n != 4 {
		t.Errorf("%d faults, want 4: %v", n, err)
	}
}

func TestConfiguration(t *testing.T) {
	with := func(name string, more map[string]string) fs.FS {
		m := fstest.MapFS{}
		for k, v := range tiny[name] {
			m[k] = v
		}
		for k, v := range more {
			m[k] = &fstest.MapFile{Data: []byte(v)}
		}
		return m
	}
	t.Run("names special tokens, as texts or objects", func(t *testing.T) {
		tok := load(t, with("bert", map[string]string{"tokenizer_config.json": `{"pad_token":"[PAD]","cls_token":{"content":"[CLS]","lstrip":false},"sep_token":null,"model_max_length":512}`}))
		if id, ok := tok.CLS(); tok.PadID() != 0 || !ok || id != 2 {
			t.Errorf("padding %d, CLS %d, %v", tok.PadID(), id, ok)
		}
		if _, ok := tok.SEP(); ok || tok.MaxLength() != 512 {
			t.Errorf("SEP %v, at most %d", ok, tok.MaxLength())
		}
	})
	t.Run("falls back to special_tokens_map.json", func(t *testing.T) {
		tok := load(t, with("bert", map[string]string{"special_tokens_map.json": `{"mask_token":"[MASK]"}`, "tokenizer_config.json": `{"model_max_length":1000000000000000019884624838656}`}))
		if id, ok := tok.Mask(); !ok || id != 4 || tok.MaxLength() != 0 {
			t.Errorf("mask %d, %v; at most %d", id, ok, tok.MaxLength())
		}
	})
	t.Run("adds tokens that tokenizer.json lacks", func(t *testing.T) {
		tok := load(t, with("llama", map[string]string{"tokenizer_config.json": `{"pad_token":"[PAD]","eos_token":"</s>","added_tokens_decoder":{"0":{"content":"<unk>","special":true}},"additional_special_tokens":["<x>"]}`}))
		n := int32(load(t, tiny["llama"]).VocabSize())
		if id, ok := tok.ID("<x>"); tok.PadID() != n || !ok || id != n+1 || !tok.Special(id) {
			t.Errorf("padding %d, <x> %d, %v", tok.PadID(), id, ok)
		}
		if got := tok.EncodePlain("<x>"); len(got) != 1 || got[0] != n+1 {
			t.Errorf("<x> is %v", got)
		}
	})
	t.Run("pads with the end of text where there is no padding", func(t *testing.T) {
		tok := load(t, with("llama", map[string]string{"tokenizer_config.json": `{"eos_token":"</s>"}`}))
		if tok.PadID() != 2 {
			t.Errorf("padding %d", tok.PadID())
		}
	})
	t.Run("takes from the front when truncation_side is left", func(t *testing.T) {
		tok := load(t, with("bert", map[string]string{"tokenizer_config.json": `{"truncation_side":"left"}`}))
		if got := strings.Join(spell(tok, tok.Encode("a b c d", nil, 4).IDs), " "); got != "[CLS] c d [SEP]" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("tidies decoded text only if it says so", func(t *testing.T) {
		plain := load(t, tiny["bert"])
		tidy := load(t, with("bert", map[string]string{"tokenizer_config.json": `{"clean_up_tokenization_spaces":true}`}))
		ids := []int32{5, 1, 6} // hello [UNK] world
		if plain.Decode(ids, true) != tidy.Decode(ids, true) {
			t.Error("there was nothing to tidy")
		}
		if plain.tidy || !tidy.tidy {
			t.Errorf("tidies: %v, %v", plain.tidy, tidy.tidy)
		}
	})
	t.Run("spares BPE the tidying", func(t *testing.T) {
		tok := load(t, with("level", map[string]string{"tokenizer_config.json": `{"clean_up_tokenization_spaces":true}`}))
		if got := tok.Decode(tok.EncodePlain("a , b"), true); got != "a , b" {
			t.Errorf("got %q", got)
		}
	})
}
