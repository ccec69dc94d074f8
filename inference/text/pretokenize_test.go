package text

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// What is wanted here was asked of tokenizers 0.22.2.

func pieces(s splitters, text string) []string {
	out := []string{}
	s.split(piece{text, true}, func(p piece) bool {
		out = append(out, p.text)
		return true
	})
	return out
}

func TestSplitters(t *testing.T) {
	tests := []struct {
		name, json, in string
		want           []string
	}{
		{"cuts at white space and sets punctuation apart as BERT", `{"type":"BertPreTokenizer"}`,
			"Hey, you! 中€x\u00a0y", []string{"Hey", ",", "you", "!", "中€x", "y"}},
		{"tells words from symbols", `{"type":"Whitespace"}`, "Hey, you!? naïve ☕x", []string{"Hey", ",", "you", "!?", "naïve", "☕", "x"}},
		{"cuts at every kind of white space", `{"type":"WhitespaceSplit"}`, " a  b\u3000c", []string{"a", "b", "c"}},
		{"keeps runs of punctuation", `{"type":"Punctuation","behavior":"Contiguous"}`, "a?!b.", []string{"a", "?!", "b", "."}},
		{"sets every digit apart", `{"type":"Digits","individual_digits":true}`, "a12²b", []string{"a", "1", "2", "²", "b"}},
		{"keeps numbers", `{"type":"Digits","individual_digits":false}`, "a12²b", []string{"a", "12²", "b"}},
		{"cuts at a character", `{"type":"CharDelimiterSplit","delimiter":"-"}`, "a--b-", []string{"a", "b"}},
		{"spells bytes after GPT-2's expression", `{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}`,
			"Hi  there's é", []string{"ĠHi", "Ġ", "Ġthere", "'s", "ĠÃ©"}},
		{"spells bytes only", `{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}`, "Hi there", []string{"HiĠthere"}},
		{"cuts before space marks", `{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}`, "a  b▁c", []string{"▁a", "▁", "▁b", "▁c"}},
		{"puts no mark in front when told never", `{"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":true}`, "a b", []string{"a", "▁b"}},
		{"marks spaces without cutting", `{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":false}`, "a b", []string{"▁a▁b"}},
		{"reads the Metaspace of old files", `{"type":"Metaspace","replacement":"_","add_prefix_space":true}`, "a b", []string{"_a", "_b"}},
		{"reads the Metaspace of old files that adds no space", `{"type":"Metaspace","replacement":"_","add_prefix_space":false}`, "a b", []string{"a", "_b"}},
		{"isolates matches", `{"type":"Split","pattern":{"String":"-"},"behavior":"Isolated","invert":false}`, "-a--b-", []string{"-", "a", "-", "-", "b", "-"}},
		{"removes matches", `{"type":"Split","pattern":{"String":"-"},"behavior":"Removed","invert":false}`, "-a--b-", []string{"a", "b"}},
		{"removes what is no match", `{"type":"Split","pattern":{"String":"-"},"behavior":"Removed","invert":true}`, "-a--b-", []string{"-", "-", "-", "-"}},
		{"keeps matches together", `{"type":"Split","pattern":{"String":"-"},"behavior":"Contiguous","invert":false}`, "-a--b-", []string{"-", "a", "--", "b", "-"}},
		{"merges matches into what precedes", `{"type":"Split","pattern":{"String":"-"},"behavior":"MergedWithPrevious","invert":false}`, "-a--b-", []string{"-", "a-", "-", "b-"}},
		{"merges what is no match into what precedes", `{"type":"Split","pattern":{"String":"-"},"behavior":"MergedWithPrevious","invert":true}`, "-a--b-", []string{"-a", "-", "-b", "-"}},
		{"merges matches into what follows", `{"type":"Split","pattern":{"String":"-"},"behavior":"MergedWithNext","invert":false}`, "-a--b-", []string{"-a", "-", "-b", "-"}},
		{"merges what is no match into what follows", `{"type":"Split","pattern":{"String":"-"},"behavior":"MergedWithNext","invert":true}`, "-a--b-", []string{"-", "a-", "-", "b-"}},
		{"runs an expression it has no code for", `{"type":"Split","pattern":{"Regex":"\\w+"},"behavior":"Isolated","invert":false}`, "ab, ग\u093cc", []string{"ab", ", ", "ग\u093cc"}},
		{"looks ahead in such an expression", `{"type":"Split","pattern":{"Regex":"a(?=b)"},"behavior":"Isolated","invert":false}`, "abaé", []string{"a", "baé"}},
		{"runs a sequence", `{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Digits","individual_digits":true},{"type":"Punctuation"}]}`,
			"ab12 c.", []string{"ab", "1", "2", "c", "."}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parseSplitter(json.RawMessage(tt.json), "pre_tokenizer")
			if err != nil {
				t.Fatal(err)
			}
			if got := pieces(s, tt.in); !slices.Equal(got, tt.want) {
				t.Errorf("%q is cut into %q, want %q", tt.in, got, tt.want)
			}
			s.split(piece{tt.in, true}, func(piece) bool { return false }) // stops at once
		})
	}
}

func TestScanners(t *testing.T) {
	tests := []struct {
		name, in     string
		gpt2, llama3 string // the pieces, with | between them
	}{
		{"contractions", "I'll've DON'T", "I|'ll|'ve| DON|'|T", "I|'ll|'ve| DON|'T"},
		{"contractions before more letters", "'llama", "'ll|ama", "'ll|ama"},
		{"the long s, which folds to s", "x'ſx", "x|'|ſx", "x|'ſ|x"},
		{"white space leaves its last character", "a   b  ", "a|  | b|  ", "a|  | b|  "},
		{"line ends", "x \n\n y\n", "x| \n\n| y|\n", "x| \n\n| y|\n"},
		{"lines that begin with spaces", " \r\n  x", " \r\n | x", " \r\n| | x"},
		{"lines without spaces", "\n\n\na", "\n\n|\n|a", "\n\n\n|a"},
		{"white space alone", "  \t", "  \t", "  \t"},
		{"numbers", "12345 67", "12345| 67", "123|45| |67"},
		{"symbols", "(hi)?!\n\nok", "(|hi|)?!|\n|\n|ok", "(hi|)?!\n\n|ok"},
		{"a space before a symbol", " '", " '", " '"},
		{"white space that is no space", "\u00a0a\u3000\u3000b", "\u00a0|a|\u3000|\u3000|b", "\u00a0a|\u3000|\u3000b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, x := range []struct {
				scan scanner
				want string
			}{{scanGPT2, tt.gpt2}, {scanLlama3, tt.llama3}} {
				got := strings.Join(pieces(splitters{cutter{at: x.scan}}, tt.in), "|")
				if got != x.want {
					t.Errorf("%q is cut into %q, want %q", tt.in, got, x.want)
				}
			}
		})
	}
}

func TestBytesAreSpelledBothWays(t *testing.T) {
	for b := range 256 {
		s := string([]byte{byte(b)})
		back, ok := unspellBytes(nil, spellBytes(s))
		if !ok || string(back) != s {
			t.Errorf("byte %#x comes back as %q, %v", b, back, ok)
		}
	}
	if _, ok := unspellBytes(nil, "日"); ok {
		t.Error("日 spells no byte")
	}
}
