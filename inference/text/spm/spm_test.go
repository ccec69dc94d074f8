package spm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/sharedtest"
)

func message(id protowire.Number, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, id, protowire.BytesType), body)
}

func piece(text string, kind Kind) []byte {
	b := message(1, []byte(text))
	b = protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), uint64(kind))
	return message(1, b)
}

func number(id protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, id, protowire.VarintType), v)
}

func join(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func TestParseReads(t *testing.T) {
	data := join(
		piece("<unk>", Unknown), message(1, message(1, []byte("▁a"))), piece("<s>", Control),
		message(2, join(number(3, uint64(BPE)), number(35, 1), message(44, []byte("?")), number(4, 77))),
		message(3, join(number(3, 0), number(4, 0), message(2, []byte{1, 2}), message(1, []byte("identity")))),
		message(4, []byte("self test data, not read")),
	)
	m, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Pieces) != 3 || m.Pieces[1] != (Piece{"▁a", 0, Normal}) || m.Pieces[2].Kind != Control || m.Unk != 0 {
		t.Errorf("tokens %v, unknown %d", m.Pieces, m.Unk)
	}
	if m.Algorithm != BPE || !m.ByteFallback || m.UnkSurface != "?" || m.AddDummyPrefix || m.RemoveExtraSpace || !m.EscapeSpace || len(m.Charsmap) != 2 {
		t.Errorf("%+v", *m)
	}
}

func TestParseRefuses(t *testing.T) {
	unk := piece("<unk>", Unknown)
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "there are no tokens"},
		{"what is no protocol buffer", []byte("\xff\xff\xff"), "is no SentencePiece model"},
		{"a message that is cut off", join(unk, piece("a", Normal)[:3]), "is no SentencePiece model"},
		{"no unknown token", piece("a", Normal), "no token is the unknown one"},
		{"two unknown tokens", join(unk, piece("x", Unknown)), "are both the unknown one"},
		{"a token twice", join(unk, piece("a", Normal), piece("a", Normal)), "tokens 1 and 2 are the same"},
		{"a token without a text", join(unk, message(1, nil)), "token 1 is malformed"},
		{"a token of no kind", join(unk, piece("a", 9)), "token 1 is malformed"},
		{"a token that is no UTF-8", join(unk, piece("\xff", Normal)), "token 1 is malformed"},
		{"a score that is no number", join(unk, message(1, join(message(1, []byte("a")), protowire.AppendFixed32(protowire.AppendTag(nil, 2, protowire.Fixed32Type), 0x7fc00000)))), "no number"},
		{"an unknown algorithm", join(unk, message(2, number(3, 8))), "model_type"},
		{"a broken trainer", join(unk, message(2, []byte{0xff})), "trainer_spec"},
		{"a broken normalizer", join(unk, message(3, []byte{0xff})), "normalizer_spec"},
		{"a map for decoding", join(unk, message(5, message(2, []byte{1}))), "denormalizer_spec"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.data)
			if !invalid.Is(err) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestParseReadsPublishedModels(t *testing.T) {
	tests := []struct {
		name, file string
		tokens     int
		algorithm  Algorithm
	}{
		{"T5's", "tokenizers/t5/spiece.model", 32000, Unigram},
		{"Marian's", "tokenizers/marian_opus_mt_en_fr/source.spm", 32000, Unigram},
		{"a LLaMA's", "weights/stories260K/hf/tokenizer.model", 512, BPE},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.FromSlash(sharedtest.Data(t, tt.file)))
			if err != nil {
				t.Fatal(err)
			}
			m, err := Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Pieces) != tt.tokens || m.Algorithm != tt.algorithm {
				t.Errorf("%d tokens, algorithm %d", len(m.Pieces), m.Algorithm)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(join(piece("<unk>", Unknown), piece("a", Normal), message(2, number(3, 2)), message(3, message(2, []byte{8, 0, 0, 0}))))
	f.Add([]byte{0x0a, 0x80})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if (m == nil) != (err != nil) {
			t.Errorf("model %v, error %v", m, err)
		}
		if err != nil && !invalid.Is(err) {
			t.Errorf("not a fault: %v", err)
		}
	})
}
