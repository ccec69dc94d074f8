package text

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	"lorikeet/inference/text/chartype"
)

// What is wanted here was asked of tokenizers 0.22.2.

func TestNormalizers(t *testing.T) {
	tests := []struct{ name, json, in, want string }{
		{"cleans, lowers, drops accents and sets Chinese apart as uncased BERT",
			`{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}`,
			"Ünï\x00CÖDE\t中文 É\u0301\ufffd", "unicode  中  文  e"},
		{"keeps accents and case when asked to",
			`{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":false,"strip_accents":false,"lowercase":false}`,
			"Ü中\u200b\x0b\u00a0x", "Ü中 x"},
		{"takes compatibility characters apart, but not one younger than the tables", `{"type":"NFKC"}`, "ﬁ①Ａ\u32ff가", "fi1A\u32ff가"},
		{"decomposes, but not a character younger than the tables", `{"type":"NFD"}`, "é\U00011938", "e\u0301\U00011938"},
		{"composes letters and Hangul", `{"type":"NFC"}`, "e\u0301\u1100\u1161\u11a8", "é각"},
		{"runs a sequence in order", `{"type":"Sequence","normalizers":[{"type":"NFD"},{"type":"StripAccents"},{"type":"Lowercase"}]}`, "ÀÉÎÕÜİΣ", "aeioui\u03c3"},
		{"takes nothing apart for StripAccents alone", `{"type":"StripAccents"}`, "éx\u0301", "éx"},
		{"strips the left side only", `{"type":"Strip","strip_left":true,"strip_right":false}`, " \u3000 a b ", "a b "},
		{"strips the right side only", `{"type":"Strip","strip_left":false,"strip_right":true}`, " a b \n", " a b"},
		{"prepends", `{"type":"Prepend","prepend":"▁"}`, "ab", "▁ab"},
		{"prepends nothing to nothing", `{"type":"Prepend","prepend":"▁"}`, "", ""},
		{"replaces runs of spaces", `{"type":"Replace","pattern":{"Regex":" {2,}"},"content":"▁"}`, "a  b c   ", "a▁b c▁"},
		{"replaces a text", "{\"type\":\"Replace\",\"pattern\":{\"String\":\"``\"},\"content\":\"\\\"\"}", "``a```", "\"a\"`"},
		{"replaces what an expression matches", `{"type":"Replace","pattern":{"Regex":"[0-9]+"},"content":"#"}`, "a12b3", "a#b#"},
		{"cleans as NMT does", `{"type":"Nmt"}`, "a\x01b\u200bc\u2028d▁", "ab c d "},
		{"spells bytes", `{"type":"ByteLevel"}`, "é x", "Ã©Ġx"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := parseNormalizer(json.RawMessage(tt.json), "normalizer")
			if err != nil {
				t.Fatal(err)
			}
			if got := n.normalize(piece{tt.in, true}).text; got != tt.want {
				t.Errorf("%+q becomes %+q, want %+q", tt.in, got, tt.want)
			}
		})
	}
}

func TestHeadIsLostWithTheFirstCharacter(t *testing.T) {
	tests := []struct {
		name, json, in string
		want           bool
	}{
		{"stripping keeps it if there is nothing to strip", `{"type":"Strip","strip_left":true,"strip_right":true}`, "a ", true},
		{"stripping loses it", `{"type":"Strip","strip_left":true,"strip_right":true}`, " a", false},
		{"cleaning loses it", `{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"lowercase":true}`, "\x01a", false},
		{"cleaning loses it beyond ASCII", `{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"lowercase":true}`, "\u200bé", false},
		{"dropping an accent loses it", `{"type":"StripAccents"}`, "\u0301a", false},
		{"replacing one character keeps it", `{"type":"Replace","pattern":{"Regex":"[0-9]+"},"content":"#"}`, "1a", true},
		{"replacing several loses it", `{"type":"Replace","pattern":{"Regex":"[0-9]+"},"content":"#"}`, "12a", false},
		{"replacing later ones keeps it", `{"type":"Replace","pattern":{"Regex":"[0-9]+"},"content":"#"}`, "a12", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := parseNormalizer(json.RawMessage(tt.json), "normalizer")
			if err != nil {
				t.Fatal(err)
			}
			if got := n.normalize(piece{tt.in, true}).head; got != tt.want {
				t.Errorf("head is %v after %+q", got, tt.in)
			}
		})
	}
}

// TestLongFormsAgree compares the definition of the normalization forms, which
// long texts of marks go through, with package norm where the two must agree.
func TestLongFormsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	alphabet := []rune("aeoAẞﬁ가각\u1100\u1161\u11a8\u0301\u0302\u0323\u0327\u0345\u05b0\u05bc\u0f71\u0f72ऩ\u093cक\u09c7\u09be中①é한ệ")
	for range 20000 {
		var b strings.Builder
		for range rng.IntN(12) {
			r := alphabet[rng.IntN(len(alphabet))]
			if rng.IntN(6) == 0 {
				r = rune(rng.IntN(0x3000))
			}
			if !chartype.Is(r, chartype.Recent) {
				b.WriteRune(r)
			}
		}
		for _, f := range []form{formC, formD, formKC, formKD} {
			var got strings.Builder
			f.long(&got, b.String())
			if want := f.norm.String(b.String()); got.String() != want {
				t.Fatalf("form %d of %+q is %+q, want %+q", f.norm, b.String(), got.String(), want)
			}
		}
	}
}

func TestManyMarksStayTogether(t *testing.T) {
	in := "a" + strings.Repeat("\u0301\u0323", 40)
	want := "a" + strings.Repeat("\u0323", 40) + strings.Repeat("\u0301", 40)
	if got := formD.of(in); got != want {
		t.Errorf("%+q", got)
	}
	if norm.NFD.String(in) == want {
		t.Error("package norm no longer breaks runs of marks up: form.long can go")
	}
}
