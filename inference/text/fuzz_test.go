package text

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/fstest"
	"unicode/utf8"
)

// FuzzLoad: a file is loaded or refused, and what is loaded encodes any text.
func FuzzLoad(f *testing.F) {
	names := []string{"tokenizer.json", "spiece.model", "tokenizer.model", "vocab.txt", "tokenizer_config.json"}
	for _, name := range slices.Sorted(maps.Keys(tiny)) {
		for i, file := range names {
			if data, ok := tiny[name][file]; ok {
				f.Add(uint8(i), data.Data)
			}
		}
	}
	f.Add(uint8(3), []byte("[UNK]\n[CLS]\n[SEP]\na\n##b\n"))
	f.Add(uint8(4), []byte(`{"pad_token":"[PAD]","added_tokens_decoder":{"9":{"content":"x","special":true}},"extra_ids":3}`))
	f.Add(uint8(0), encoded(object{"normalizer": object{"type": "Precompiled", "precompiled_charsmap": "CAAAAAAEAAAAAAAAYQA="},
		"model": object{"type": "WordLevel", "unk_token": "a", "vocab": object{"a": 0}}}))
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		file := names[int(which)%len(names)]
		files := fstest.MapFS{file: {Data: data}}
		if file == "tokenizer_config.json" {
			files["tokenizer.json"] = tiny["bert"]["tokenizer.json"]
		}
		tok, err := Load(files)
		if err != nil {
			return
		}
		for _, text := range []string{"", "hello wörld", "a\u0301\x00<s>▁ab ab", "\xff"} {
			e := tok.Encode(text, &text, 8)
			if len(e.IDs) > 8 || len(e.IDs) != len(e.TypeIDs) {
				t.Errorf("%q: %d ids, %d types", text, len(e.IDs), len(e.TypeIDs))
			}
			tok.Decode(tok.Encode(text, nil, 0).IDs, true)
		}
	})
}

// FuzzEncode: any text in any tokenizer gives ids of the vocabulary and comes back
// as UTF-8, in parts as at once.
func FuzzEncode(f *testing.F) {
	var all []*Tokenizer
	for _, name := range slices.Sorted(maps.Keys(tiny)) {
		all = append(all, load(f, tiny[name]))
	}
	for _, s := range []string{"", "hello, wörld", "a\x00b\xff", "<s></s>[MASK] >>fr<<ab", "ｱﾞ가e\u0301\r\n\u200d", " \u3000▁▁ '\u017f 12"} {
		f.Add(s, 5)
	}
	f.Fuzz(func(t *testing.T, s string, maxLen int) {
		for _, tok := range all {
			e := tok.Encode(s, nil, 0)
			checkEncoding(t, tok, e)
			if cut := tok.Encode(s, &s, maxLen); maxLen > 0 && len(cut.IDs) > maxLen {
				t.Errorf("%d ids, at most %d asked for", len(cut.IDs), maxLen)
			}
			text := tok.Decode(e.IDs, true)
			if !utf8.ValidString(text) {
				t.Errorf("%q is no UTF-8", text)
			}
			stream, parts := tok.Stream(true), ""
			for _, id := range e.IDs {
				parts += stream.Push(id)
			}
			if parts += stream.Flush(); parts != text {
				t.Errorf("%q in parts, %q at once", parts, text)
			}
		}
	})
}

// TestLoadSurvivesMutations changes the tree of a tokenizer.json, where a fuzzer's
// bytes would mostly break the syntax.
func TestLoadSurvivesMutations(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	value := func() any {
		values := []any{nil, true, false, 0, -1, 1, 1 << 40, 1e300, "", "a", "▁", "##", "\\p{", "(?:a+)+$", []any{}, object{}, []any{1}, object{"type": "Sequence"}, "BPE", "Unigram", "always"}
		return values[rng.IntN(len(values))]
	}
	var change func(v any, depth int) any
	change = func(v any, depth int) any {
		if depth == 0 || rng.IntN(5) == 0 {
			return value()
		}
		switch v := v.(type) {
		case object:
			keys := slices.Sorted(maps.Keys(v))
			if len(keys) == 0 {
				return value()
			}
			key := keys[rng.IntN(len(keys))]
			if rng.IntN(6) == 0 {
				delete(v, key)
			} else {
				v[key] = change(v[key], depth-1)
			}
			return v
		case []any:
			if len(v) == 0 {
				return value()
			}
			i := rng.IntN(len(v))
			if rng.IntN(4) == 0 {
				return append(v, v[i])
			}
			v[i] = change(v[i], depth-1)
			return v
		}
		return value()
	}
	loaded := 0
	for range 3000 {
		name := []string{"bert", "level", "llama", "unigram"}[rng.IntN(4)]
		var tree any
		if err := json.Unmarshal(tiny[name]["tokenizer.json"].Data, &tree); err != nil {
			t.Fatal(err)
		}
		for range 1 + rng.IntN(3) {
			tree = change(tree, 6)
		}
		tok, err := Load(folder("tokenizer.json", encoded(tree)))
		if err != nil {
			continue
		}
		loaded++
		for _, text := range []string{"hello wörld ab", "a\u0301\x00<s>▁ [MASK]12 ''s"} {
			e := tok.Encode(text, &text, 9)
			if len(e.IDs) > 9 {
				t.Errorf("%d ids", len(e.IDs))
			}
			tok.Decode(tok.Encode(text, nil, 0).IDs, true)
		}
	}
	if loaded < 50 {
		t.Errorf("only %d files were loaded at all", loaded)
	}
}
