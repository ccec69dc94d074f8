package text

import (
	"encoding/binary"
	"testing"
	"unicode/utf8"

	"lorikeet/inference/text/spm"
)

// tinyCharsmap maps "A" to "a" and "AB" to "xy", as the bytes of a file: the root's
// children begin at unit 0x100, those of "A" at 0x200.
func tinyCharsmap() []byte {
	const leaf = 1 << 8
	units := make([]uint32, 0x300)
	units[0] = 0x100 << 10
	a := uint32(0x100 ^ 'A')
	units[a] = 'A' | leaf | (a^0x200)<<10
	units[0x200] = 1 << 31 // the value of "A"
	ab := uint32(0x200 ^ 'B')
	units[ab] = 'B' | leaf | (ab^0x280)<<10
	units[0x280] = 1<<31 | 2 // the value of "AB"
	out := binary.LittleEndian.AppendUint32(nil, uint32(4*len(units)))
	for _, u := range units {
		out = binary.LittleEndian.AppendUint32(out, u)
	}
	return append(out, "a\x00xy\x00"...)
}

func TestCharsmap(t *testing.T) {
	m, err := parseCharsmap(tinyCharsmap(), "")
	if err != nil {
		t.Fatal(err)
	}
	if with, ok := m.shortest("ABC"); !ok || with != "a" {
		t.Errorf("shortest: %q, %v", with, ok)
	}
	if n, with := m.longest("ABC"); n != 2 || with != "xy" {
		t.Errorf("longest: %d, %q", n, with)
	}
	if _, ok := m.shortest("B"); ok {
		t.Error("B is replaced")
	}
	hf := precompiled{m}
	sp, err := newSPMNormalizer(&spm.Model{Charsmap: tinyCharsmap(), EscapeSpace: true, AddDummyPrefix: true, RemoveExtraSpace: true})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, in, hf, sp string }{
		{"tokenizers replaces the shortest text, SentencePiece the longest", "xABA", "xaBa", "▁xxya"},
		{"tokenizers replaces a small grapheme as a whole", "A\u0301B", "aB", "▁a\u0301B"},
		{"a large grapheme is replaced character by character", "A\u0301\u0301\u0301B", "a\u0301\u0301\u0301B", "▁a\u0301\u0301\u0301B"},
		{"SentencePiece squeezes spaces on the way", "  A  B ", "  a  B ", "▁a▁B"},
		{"nothing is left of spaces", "   ", "   ", ""},
		{"ASCII without a rule is copied", "bcd\x00", "bcd\x00", "▁bcd\x00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := hf.normalize(piece{tt.in, true}).text; got != tt.hf {
				t.Errorf("tokenizers: %+q becomes %+q, want %+q", tt.in, got, tt.hf)
			}
			if got := sp.normalize(piece{tt.in, true}).text; got != tt.sp {
				t.Errorf("SentencePiece: %+q becomes %+q, want %+q", tt.in, got, tt.sp)
			}
		})
	}
}

// FuzzCharsmap: a map is refused, or any text can be normalized with it.
func FuzzCharsmap(f *testing.F) {
	f.Add(tinyCharsmap(), "xABA\u0301 AB")
	f.Add([]byte{4, 0, 0, 0, 0, 0, 0, 0}, "a")
	f.Add([]byte{255, 255, 255, 255}, "a")
	f.Fuzz(func(t *testing.T, blob []byte, s string) {
		if !utf8.ValidString(s) {
			return
		}
		if m, err := parseCharsmap(blob, ""); err == nil {
			precompiled{m}.normalize(piece{s, true})
		}
		n, err := newSPMNormalizer(&spm.Model{Charsmap: blob, EscapeSpace: true, AddDummyPrefix: true, RemoveExtraSpace: true})
		if err == nil {
			n.normalize(piece{s, true})
		}
	})
}
