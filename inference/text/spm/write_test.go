package spm_test

import (
	"os"
	"reflect"
	"testing"

	"lorikeet/adapters/sharedtest"
	"lorikeet/inference/text/spm"
)

func TestWhatIsWrittenReadsBack(t *testing.T) {
	small := &spm.Model{
		Pieces:    []spm.Piece{{"<unk>", 0, spm.Unknown}, {"</s>", 0, spm.Control}, {"▁a", -1.5, spm.Normal}, {"é", -3, spm.Normal}},
		Algorithm: spm.Unigram, UnkSurface: " \u2047 ", AddDummyPrefix: true, RemoveExtraSpace: true, EscapeSpace: true,
	}
	got, err := spm.Parse(small.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	got.Charsmap = nil // empty, where it was absent
	if !reflect.DeepEqual(got, small) {
		t.Errorf("%+v\nwant %+v", got, small)
	}
	t.Run("real models", func(t *testing.T) {
		for _, name := range []string{"source.spm", "target.spm"} {
			b, err := os.ReadFile(sharedtest.Data(t, "tokenizers/marian_opus_mt_en_fr/"+name))
			if err != nil {
				t.Fatal(err)
			}
			want, err := spm.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := spm.Parse(want.Marshal()); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
