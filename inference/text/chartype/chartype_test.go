package chartype

import (
	"testing"
	"unicode"
)

func TestClasses(t *testing.T) {
	tests := []struct {
		name  string
		r     rune
		has   Class
		hasNo Class
	}{
		{"takes a Latin letter for a letter and a word character", 'a', Letter | Word, Number | Space | Punct | Control},
		{"takes a superscript two for a number", '²', Number | Numeric, Letter | Punct},
		{"takes a no-break space for space", '\u00a0', Space, Control},
		{"takes a tab for space and not for a control", '\t', Space, Control},
		{"takes a vertical tab for a control that is space elsewhere", '\v', Space | Control, Letter},
		{"takes the dollar sign for punctuation, as BERT does", '$', Punct, Letter},
		{"does not take the euro sign for punctuation", '€', 0, Punct},
		{"takes the replacement character for a control", '\ufffd', Control, Punct},
		{"takes a zero width joiner for a control", '\u200d', Control, Space},
		{"takes a combining acute for an accent", '\u0301', Nonspacing | Mark, Letter},
		{"takes a spacing mark for a mark only", '\u0903', Mark, Nonspacing},
		{"sets a Chinese character apart", '中', CJK | Letter, Punct},
		{"does not set a kana apart", 'か', Letter, CJK},
		{"does not know the era name Reiwa", '\u32ff', Recent, Letter},
		{"knows a Canadian full stop as punctuation, of Unicode 8", '\u166d', Punct, Letter},
		{"takes no class for a number beyond Unicode", 0x110000, 0, ^Class(0)},
		{"takes no class for a negative number", -1, 0, ^Class(0)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Of(tt.r); got&tt.has != tt.has || got&tt.hasNo != 0 {
				t.Errorf("Of(%U) = %b", tt.r, got)
			}
		})
	}
}

func TestSpaceIsUnicodeWhiteSpace(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if Is(r, Space) != unicode.IsSpace(r) {
			t.Errorf("%U: Space is %v", r, Is(r, Space))
		}
	}
}

func TestLower(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"lowers ASCII", "A", "a"},
		{"leaves lower case alone", "a", "a"},
		{"lowers a letter at every second code point", "Ā", "ā"},
		{"leaves what lies between them", "ā", "ā"},
		{"lowers a capital sigma without looking around", "Σ", "σ"},
		{"gives dotted capital I two code points", "İ", "i̇"},
		{"lowers the Kelvin sign", "K", "k"},
		{"lowers Deseret", "𐐀", "𐐨"},
		{"leaves a symbol alone", "€", "€"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(Lower(nil, []rune(tt.in)[0])); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	for r := rune(0x80); r < 0x2000; r++ {
		if r == 'İ' || r == 0x1c89 { // two code points; newer than package unicode
			continue
		}
		if got := string(Lower(nil, r)); got != string(unicode.ToLower(r)) {
			t.Errorf("%U: %q", r, got)
		}
	}
}
