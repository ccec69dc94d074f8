package text

import (
	"maps"
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
