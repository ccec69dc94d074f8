package text

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"testing/fstest"

	"google.golang.org/protobuf/encoding/protowire"

	"lorikeet/inference/text/spm"
)

// The tokenizers here are small enough to write down, so that these tests need no
// files. Each is a folder by name.

var tiny = map[string]fstest.MapFS{
	"bert":    folder("tokenizer.json", tinyBERT()),
	"level":   folder("tokenizer.json", tinyLevel()),
	"llama":   folder("tokenizer.json", tinyLlama()),
	"unigram": folder("tokenizer.json", tinyUnigram()),
	"spm":     folder("spiece.model", tinySPM(spm.Unigram)),
	"spm-bpe": folder("tokenizer.model", tinySPM(spm.BPE)),
	"marian": {
		"source.spm": {Data: tinySPM(spm.Unigram)},
		"target.spm": {Data: tinySPM(spm.Unigram)},
		"vocab.json": {Data: []byte(`{"</s>":0,"<unk>":1,"▁":2,"a":3,"b":4,"ab":5,"▁ab":6,">>fr<<":7,"<pad>":8}`)},
	},
}

func folder(name string, data []byte) fstest.MapFS {
	return fstest.MapFS{name: {Data: data}}
}

type object = map[string]any

func encoded(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// numbered gives tokens ids in order.
func numbered(tokens ...string) map[string]int32 {
	ids := map[string]int32{}
	for _, token := range tokens {
		if _, ok := ids[token]; !ok {
			ids[token] = int32(len(ids))
		}
	}
	return ids
}

func special(id int, content string) object {
	return object{"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
}

func letters(prefix string) (out []string) {
	for c := 'a'; c <= 'z'; c++ {
		out = append(out, prefix+string(c))
	}
	return out
}

func tinyBERT() []byte {
	vocab := numbered(slices.Concat([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "##ing", ",", "!"}, letters(""), letters("##"))...)
	mask := special(4, "[MASK]")
	mask["lstrip"] = true
	return encoded(object{
		"added_tokens":   []object{special(0, "[PAD]"), special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]"), mask},
		"normalizer":     object{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": nil, "lowercase": true},
		"pre_tokenizer":  object{"type": "BertPreTokenizer"},
		"post_processor": object{"type": "BertProcessing", "cls": []any{"[CLS]", 2}, "sep": []any{"[SEP]", 3}},
		"decoder":        object{"type": "WordPiece", "prefix": "##", "cleanup": true},
		"model":          object{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab},
		"truncation":     object{"max_length": 4}, "padding": object{"strategy": object{"Fixed": 4}},
	})
}

func byteAlphabet() (out []string) {
	for _, r := range byteRunes {
		out = append(out, string(r))
	}
	return out
}

func tinyLevel() []byte {
	vocab := numbered(slices.Concat(byteAlphabet(), []string{"he", "ll", "hell", "hello", "Ġw", "Ġwo", "aa", "aaaa"})...)
	n := len(vocab)
	return encoded(object{
		"added_tokens": []object{special(n, "<s>"), special(n+1, "</s>")},
		"normalizer":   object{"type": "NFC"},
		"pre_tokenizer": object{"type": "Sequence", "pretokenizers": []object{
			{"type": "Split", "pattern": object{"Regex": `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`}, "behavior": "Isolated", "invert": false},
			{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
		}},
		"post_processor": object{"type": "TemplateProcessing",
			"single":         []object{{"SpecialToken": object{"id": "<s>", "type_id": 0}}, {"Sequence": object{"id": "A", "type_id": 0}}},
			"pair":           []object{{"SpecialToken": object{"id": "<s>", "type_id": 0}}, {"Sequence": object{"id": "A", "type_id": 0}}, {"Sequence": object{"id": "B", "type_id": 1}}},
			"special_tokens": object{"<s>": object{"id": "<s>", "ids": []int{n}, "tokens": []string{"<s>"}}}},
		"decoder": object{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
		"model": object{"type": "BPE", "ignore_merges": false, "vocab": vocab,
			"merges": []string{"h e", "l l", "he ll", "hell o", "Ġ w", "Ġw o", "a a", "aa aa"}},
	})
}

func byteNames() (out []string) {
	for b := range 256 {
		out = append(out, fmt.Sprintf("<0x%02X>", b))
	}
	return out
}

func tinyLlama() []byte {
	vocab := numbered(slices.Concat([]string{"<unk>", "<s>", "</s>"}, byteNames(), []string{"▁"}, letters(""), []string{"he", "ll", "hell", "▁hell", "▁▁", "aa", "aaaa"})...)
	return encoded(object{
		"added_tokens": []object{special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")},
		"normalizer": object{"type": "Sequence", "normalizers": []object{
			{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": object{"String": " "}, "content": "▁"}}},
		"decoder": object{"type": "Sequence", "decoders": []object{
			{"type": "Replace", "pattern": object{"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
			{"type": "Strip", "content": " ", "start": 1, "stop": 0}}},
		"model": object{"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": vocab,
			"merges": [][2]string{{"h", "e"}, {"l", "l"}, {"he", "ll"}, {"▁", "hell"}, {"▁", "▁"}, {"a", "a"}, {"aa", "aa"}}},
	})
}

func tinyUnigram() []byte {
	vocab := [][2]any{{"<pad>", 0}, {"</s>", 0}, {"<unk>", 0}, {"▁", -2}, {"▁hello", -4.5}, {"lo", -3.25}}
	for _, c := range letters("") {
		vocab = append(vocab, [2]any{c, -6.0})
	}
	return encoded(object{
		"added_tokens":  []object{special(0, "<pad>"), special(1, "</s>"), special(2, "<unk>")},
		"normalizer":    object{"type": "Sequence", "normalizers": []object{{"type": "NFKC"}, {"type": "Strip", "strip_left": false, "strip_right": true}}},
		"pre_tokenizer": object{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true},
		"post_processor": object{"type": "TemplateProcessing",
			"single":         []object{{"Sequence": object{"id": "A", "type_id": 0}}, {"SpecialToken": object{"id": "</s>", "type_id": 0}}},
			"pair":           []object{{"Sequence": object{"id": "A", "type_id": 0}}, {"SpecialToken": object{"id": "</s>", "type_id": 0}}, {"Sequence": object{"id": "B", "type_id": 0}}, {"SpecialToken": object{"id": "</s>", "type_id": 0}}},
			"special_tokens": object{"</s>": object{"id": "</s>", "ids": []int{1}, "tokens": []string{"</s>"}}}},
		"decoder": object{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true},
		"model":   object{"type": "Unigram", "unk_id": 2, "vocab": vocab, "byte_fallback": false},
	})
}

// tinySPM writes a SentencePiece model as the wire has it.
func tinySPM(algorithm spm.Algorithm) []byte {
	pieces := []spm.Piece{
		{Text: "<unk>", Kind: spm.Unknown}, {Text: "<s>", Kind: spm.Control}, {Text: "</s>", Kind: spm.Control},
		{Text: "▁", Score: -2, Kind: spm.Normal}, {Text: "ab", Score: -3, Kind: spm.Normal}, {Text: "▁ab", Score: -3.5, Kind: spm.Normal},
		{Text: "a", Score: -5, Kind: spm.Normal}, {Text: "b", Score: -5, Kind: spm.Normal}, {Text: "[X]", Score: 0, Kind: spm.UserDefined},
	}
	var trainer []byte
	trainer = protowire.AppendTag(trainer, 3, protowire.VarintType)
	trainer = protowire.AppendVarint(trainer, uint64(algorithm))
	return wireSPM(pieces, trainer, nil)
}

func wireSPM(pieces []spm.Piece, trainer, normalizer []byte) []byte {
	var out []byte
	for _, p := range pieces {
		var m []byte
		m = protowire.AppendTag(m, 1, protowire.BytesType)
		m = protowire.AppendString(m, p.Text)
		m = protowire.AppendTag(m, 2, protowire.Fixed32Type)
		m = protowire.AppendFixed32(m, math.Float32bits(p.Score))
		m = protowire.AppendTag(m, 3, protowire.VarintType)
		m = protowire.AppendVarint(m, uint64(p.Kind))
		out = protowire.AppendTag(out, 1, protowire.BytesType)
		out = protowire.AppendBytes(out, m)
	}
	out = protowire.AppendTag(out, 2, protowire.BytesType)
	out = protowire.AppendBytes(out, trainer)
	out = protowire.AppendTag(out, 3, protowire.BytesType)
	return protowire.AppendBytes(out, normalizer)
}

// each runs a test with every tiny tokenizer.
func each(t *testing.T, test func(*testing.T, *Tokenizer)) {
	for _, name := range slices.Sorted(maps.Keys(tiny)) {
		t.Run(name, func(t *testing.T) { test(t, load(t, tiny[name])) })
	}
}

func TestTinyTokenizers(t *testing.T) {
	tests := []struct {
		name, folder, text string
		tokens             []string
	}{
		{"WordPiece takes the longest pieces", "bert", "Helloing, wörld!", []string{"[CLS]", "hello", "##ing", ",", "world", "!", "[SEP]"}},
		{"WordPiece knows a word whole or not at all", "bert", "hello€ 中", []string{"[CLS]", "[UNK]", "[UNK]", "[SEP]"}},
		{"an added token takes the space before it along", "bert", "hello  [MASK]!", []string{"[CLS]", "hello", "[MASK]", "!", "[SEP]"}},
		{"byte-level BPE joins by rank and spells bytes", "level", "hello wo€", []string{"<s>", "hello", "Ġwo", "â", "Ĥ", "¬"}},
		{"the space is no token of another word", "level", "x</s> hello", []string{"<s>", "x", "</s>", "Ġ", "hello"}},
		{"LLaMA 2 puts a space in front of every stretch of text", "llama", "hell</s>hell€", []string{"▁hell", "</s>", "▁hell", "<0xE2>", "<0x82>", "<0xAC>"}},
		{"LLaMA 2 joins spaces too", "llama", "   a", []string{"▁▁", "▁▁", "a"}},
		{"Unigram takes the likeliest way", "unigram", "hello ﬁ xlo", []string{"▁hello", "▁", "f", "i", "▁", "x", "lo", "</s>"}},
		{"Unigram makes a run of the unknown one token", "unigram", "a€€b", []string{"▁", "a", "<unk>", "b", "</s>"}},
		{"Metaspace puts a space in front of the first stretch only", "unigram", "a<pad>a", []string{"▁", "a", "<pad>", "a", "</s>"}},
		{"SentencePiece squeezes spaces and keeps user tokens", "spm", "  ab   ab[X]ab ", []string{"▁ab", "▁ab", "[X]", "ab", "</s>"}},
		{"SentencePiece BPE joins by score", "spm-bpe", "abab [X]a€", []string{"<s>", "▁ab", "ab", "▁", "[X]", "a", "<unk>"}},
		{"Marian reads the language first", "marian", ">>fr<< ab ba", []string{">>fr<<", "▁ab", "▁", "b", "a", "</s>"}},
		{"Marian does not know every language", "marian", ">>xx<<ab", []string{"<unk>", "▁ab", "</s>"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tok := load(t, tiny[tt.folder])
			if got := spell(tok, tok.Encode(tt.text, nil, 0).IDs); !slices.Equal(got, tt.tokens) {
				t.Errorf("%q is %q, want %q", tt.text, got, tt.tokens)
			}
		})
	}
}
