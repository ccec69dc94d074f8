package text

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// TestHostileText: whatever the text, an encoding has ids of the vocabulary and a
// type for each. A quadratic step anywhere would not end within the test's time.
func TestHostileText(t *testing.T) {
	const long = 1 << 18
	fill := func(s string) string { return strings.Repeat(s, long/len(s)) }
	tests := []struct{ name, text string }{
		{"nothing", ""},
		{"bytes that are no UTF-8", "a\xff\xfe\xc0\xafb\xed\xa0\x80"},
		{"NUL", "a\x00b\x00"},
		{"a word of one megabyte", strings.Repeat("a", 1<<20)},
		{"a long word of different letters", fill("hellwoab")},
		{"very many spaces", fill(" ")},
		{"very many lines", fill("\n")},
		{"very many space marks", fill("▁")},
		{"very many combining marks", "a" + fill("\u0301\u0323")},
		{"very many joined emoji", fill("👩\u200d")},
		{"very many flags", fill("🇫")},
		{"very many conjuncts", fill("क\u094d")},
		{"very many Hangul jamo", fill("\u1100\u1161\u11a8")},
		{"very many special tokens", fill("<s></s>[MASK]")},
		{"very many beginnings of special tokens", fill("<s")},
		{"very many NULs", fill("\x00")},
		{"very many bytes that are no UTF-8", fill("\xff")},
		{"very many unknown characters", fill("€")},
		{"very many digits", fill("7")},
		{"very many apostrophes", fill("'")},
		{"very many Chinese characters", fill("中")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, tok *Tokenizer) {
				e := tok.Encode(tt.text, nil, 0)
				checkEncoding(t, tok, e)
				second := "hell ab"
				short := tok.Encode(tt.text, &second, 16)
				checkEncoding(t, tok, short)
				if len(short.IDs) > 16 {
					t.Errorf("%d ids, 16 asked for", len(short.IDs))
				}
				if s := tok.Decode(e.IDs, false); !utf8.ValidString(s) {
					t.Error("decoded text is no UTF-8")
				}
			})
		})
	}
}

func checkEncoding(t *testing.T, tok *Tokenizer, e Encoding) {
	t.Helper()
	if len(e.IDs) != len(e.TypeIDs) {
		t.Errorf("%d ids, %d types", len(e.IDs), len(e.TypeIDs))
	}
	for _, id := range e.IDs {
		if _, ok := tok.Token(id); !ok {
			t.Fatalf("id %d is not in the vocabulary", id)
		}
	}
}

func TestDecodeLeavesOutWhatIsNoToken(t *testing.T) {
	each(t, func(t *testing.T, tok *Tokenizer) {
		if got := tok.Decode([]int32{-1, 1 << 30, int32(tok.VocabSize())}, false); got != "" {
			t.Errorf("got %q", got)
		}
	})
}

// TestStream: in any order of ids, what comes out piece by piece is what Decode
// returns, and every piece is whole.
func TestStream(t *testing.T) {
	each(t, func(t *testing.T, tok *Tokenizer) {
		rng := rand.New(rand.NewPCG(13, 14))
		for range 3000 {
			ids := make([]int32, rng.IntN(12))
			for i := range ids {
				ids[i] = int32(rng.IntN(tok.VocabSize()))
			}
			skip := rng.IntN(2) == 0
			s, got := tok.Stream(skip), ""
			for _, id := range ids {
				part := s.Push(id)
				if !utf8.ValidString(part) {
					t.Fatalf("%q ends inside a character", part)
				}
				got += part
			}
			got += s.Flush()
			if want := tok.Decode(ids, skip); got != want {
				t.Fatalf("%v gives %q in parts, %q at once", ids, got, want)
			}
		}
	})
}

func TestStreamDoesNotWaitForMoreThanItNeeds(t *testing.T) {
	tok := load(t, tiny["level"])
	s := tok.Stream(true)
	for _, step := range []struct{ token, want string }{
		{"hello", "hello"}, {"â", ""}, {"Ĥ", ""}, {"¬", "€"}, {"Ġw", " w"},
	} {
		id, ok := tok.ID(step.token)
		if got := s.Push(id); !ok || got != step.want {
			t.Errorf("after %q came %q, want %q", step.token, got, step.want)
		}
	}
}

func TestManyGoroutinesShareATokenizer(t *testing.T) {
	each(t, func(t *testing.T, tok *Tokenizer) {
		text := "hello, wörld ab[X] 'll €中 </s> a\u0301b"
		want := tok.Encode(text, nil, 0).IDs
		decoded := tok.Decode(want, true)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 50 {
					if got := tok.Encode(text, nil, 0).IDs; !slices.Equal(got, want) {
						t.Errorf("got %v, want %v", got, want)
					}
					if got := tok.Decode(want, true); got != decoded {
						t.Errorf("got %q, want %q", got, decoded)
					}
				}
			})
		}
		all.Wait()
	})
}
