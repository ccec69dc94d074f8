package greedy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/compute"

	"lorikeet/adapters/sharedtest"
	"lorikeet/inference"
	"lorikeet/inference/device/devicetest"
)

// TestAnswersAgreeWithPyTorch writes what transformers' greedy search wrote, alone and
// in a batch.
func TestAnswersAgreeWithPyTorch(t *testing.T) {
	dir := sharedtest.Fixture(t, "flan-t5")
	base, err := inference.OpenBase("t5", "test", os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	b, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var expected struct {
		Texts    []string
		Generate struct{ Greedy struct{ Sequences [][]int32 } }
	}
	if err := json.Unmarshal(b, &expected); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, ids := range expected.Generate.Greedy.Sequences {
		want = append(want, base.Text.Decode(ids, true))
	}
	most := len(expected.Generate.Greedy.Sequences[0]) - 1
	devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
		w, err := New(backend, base)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		got, err := w.Answer(t.Context(), expected.Texts, most)
		if err != nil || !slices.Equal(got[:len(want)], want) { // the others stand for padding
			t.Errorf("%q, want %q; %v", got, want, err)
		}
		alone, err := w.Answer(t.Context(), expected.Texts[:1], most)
		if err != nil || !slices.Equal(alone, want[:1]) {
			t.Errorf("%q, want %q; %v", alone, want[:1], err)
		}
	})
}

func TestNoEncoderDecoder(t *testing.T) {
	base, err := inference.OpenBase("bert", "test", os.DirFS(sharedtest.Fixture(t, "bert-seqcls")))
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	if _, err := New(devicetest.Go(t), base); err == nil {
		t.Error("a BERT writes")
	}
}
