package text

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// stream runs a text through a decoder token by token.
func stream(d decoding, tokens []string) string {
	t := &Tokenizer{decoding: d.gather(), vocab: &vocabulary{}}
	s := t.Stream(false)
	for _, token := range tokens {
		s.emits[0](token, true)
	}
	return s.Flush()
}

// What is wanted here was asked of tokenizers 0.22.2.

func TestDecoders(t *testing.T) {
	tests := []struct {
		name, json string
		tokens     []string
		want       string
	}{
		{"joins words without a decoder", `null`, []string{"a", "b"}, "a b"},
		{"glues continuations and tidies", `{"type":"WordPiece","prefix":"##","cleanup":true}`, []string{"do", "not", "##s", ".", " n't"}, "do nots. n't"},
		{"leaves the first token and punctuation alone", `{"type":"WordPiece","prefix":"##","cleanup":false}`, []string{"##a", "b", "##c", "."}, "##a bc ."},
		{"joins bytes over tokens and replaces those that are no UTF-8", `{"type":"ByteLevel"}`, []string{"Ã", "©", "Ġx", "Ã", "Ġ", "日"}, "é x\ufffd 日"},
		{"replaces every byte of a run that is no UTF-8", `{"type":"ByteFallback"}`, []string{"<0xE6>", "<0x97>", "<0xA5>", "a", "<0xE6>", "<0x97>", "b"}, "日a\ufffd\ufffdb"},
		{"strips the space that LLaMA 2 puts in front", `{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}`,
			[]string{"▁▁a", "<0x20>", "▁b"}, " a  b"},
		{"drops the marks of the first token", `{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}`, []string{"▁▁a", "▁b", "c▁"}, "a bc "},
		{"keeps them if none was put there", `{"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":true}`, []string{"▁a", "▁b"}, " a b"},
		{"turns a word's end into a space", `{"type":"BPEDecoder","suffix":"</w>"}`, []string{"a", "b</w>", "c</w>"}, "ab c"},
		{"strips both ends of every token", `{"type":"Strip","content":"x","start":1,"stop":1}`, []string{"xxaxx", "xa", "bb"}, "xaxabb"},
		{"puts tokens together where one is needed whole", `{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Replace","pattern":{"String":"ab"},"content":"X"}]}`, []string{"a", "b", "a"}, "Xa"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := parseDecoding(json.RawMessage(tt.json), "decoder")
			if err != nil {
				t.Fatal(err)
			}
			if got := stream(d, tt.tokens); got != tt.want {
				t.Errorf("%q becomes %q, want %q", tt.tokens, got, tt.want)
			}
		})
	}
}

func TestTidy(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"closes up punctuation", "a . b , c ? d !", "a. b, c? d!"},
		{"closes up contractions", "i do n't , he 's , we 've , they 're , i 'm", "i don't, he's, we've, they're, i'm"},
		{"lets one rule act on what another left", "is n ' t", "isn't"},
		{"leaves other spaces alone", "a b  c", "a b  c"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tidyText(tt.in); got != tt.want {
				t.Errorf("%q becomes %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

// TestTidyInParts: cutting the text anywhere changes nothing.
func TestTidyInParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	parts := []string{" ", ".", "'", "n", "t", "n't", " n", " '", " s", "a", "do not", " ' ", "'s", "'ve", "re", ",", " !"}
	for range 50000 {
		var all, got strings.Builder
		stage := &tidyStage{}
		out := func(s string, _ bool) { got.WriteString(s) }
		for range rng.IntN(12) {
			s := parts[rng.IntN(len(parts))]
			all.WriteString(s)
			stage.push(s, true, out)
		}
		stage.flush(out)
		if want := tidyText(all.String()); got.String() != want {
			t.Fatalf("%q in parts becomes %q, whole %q", all.String(), got.String(), want)
		}
	}
}

func TestTrimInParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	parts := []string{" ", "", "a", " b ", "\x1c", "\u3000", "c d"}
	for range 5000 {
		var all, got strings.Builder
		stage := &trim{}
		out := func(s string, _ bool) { got.WriteString(s) }
		for range rng.IntN(8) {
			s := parts[rng.IntN(len(parts))]
			all.WriteString(s)
			stage.push(s, true, out)
		}
		stage.flush(out)
		if want := strings.TrimFunc(all.String(), pythonSpace); got.String() != want {
			t.Fatalf("%q in parts becomes %q, whole %q", all.String(), got.String(), want)
		}
	}
}

// TestLossyIsOneReplacementPerBrokenCharacter follows the Unicode Standard's
// "maximal subpart" rule, which Rust's from_utf8_lossy has and package utf8 has not.
func TestLossyIsOneReplacementPerBrokenCharacter(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"keeps what is whole", "aé日👍", "aé日👍"},
		{"takes a broken beginning as one", "\xe2\x82A", "\ufffdA"},
		{"takes a broken beginning of four bytes as one", "\xf0\x9f\x91A", "\ufffdA"},
		{"takes bytes that begin nothing one by one", "\x80\xff\xc0\xaf", "\ufffd\ufffd\ufffd\ufffd"},
		{"takes a surrogate byte by byte", "\xed\xa0\x80", "\ufffd\ufffd\ufffd"},
		{"takes what ends early as one", "a\xf0\x9f", "a\ufffd"},
		{"starts over at the next beginning", "\xe2\xe2\x82\xac", "\ufffd€"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, rest := lossy([]byte(tt.in), true); got != tt.want || len(rest) > 0 {
				t.Errorf("%q becomes %q, %q", tt.in, got, rest)
			}
			d, out := &levelDecoder{}, ""
			emit := func(s string, _ bool) {
				if !utf8.ValidString(s) {
					t.Errorf("%q is not whole", s)
				}
				out += s
			}
			for i := range len(tt.in) {
				d.push(spellBytes(tt.in[i:i+1]), true, emit)
			}
			d.flush(emit)
			if out != tt.want {
				t.Errorf("%q byte by byte becomes %q", tt.in, out)
			}
		})
	}
}
