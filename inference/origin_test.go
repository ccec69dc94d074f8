package inference_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/compute"

	"lorikeet/adapters"
	"lorikeet/inference"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/inferencetest"
)

func TestAnotherTokenizerIsAnotherBase(t *testing.T) {
	dir := inferencetest.BERT(t, "negative", "positive")
	one := inferencetest.Base(t, "tiny", dir)
	vocab, err := os.ReadFile(filepath.Join(dir, "vocab.txt"))
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "vocab.txt"), append(vocab[:len(vocab)-2], "x\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "README.md"), []byte("---\nlanguage: en\nlicense: \"mit\"\n---\nlicense: gpl\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	two := inferencetest.Base(t, "tiny", other)
	if one.Digest != two.Digest || one.TokenizerDigest == two.TokenizerDigest || one.License != "" || two.License != "mit" {
		t.Errorf("digests %s and %s, tokenizers %s and %s, licences %q and %q", one.Digest, two.Digest, one.TokenizerDigest, two.TokenizerDigest, one.License, two.License)
	}
	devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
		r := run(t, backend, 16, 100, other)
		v := r.add(t, "mine", 1, 2)
		if v.Origin == nil || v.Origin.TokenizerDigest != two.TokenizerDigest || v.Origin.Task != inference.TaskClassification {
			t.Errorf("its origin is %+v", v.Origin)
		}
		// The registry of a service whose base had the other tokenizer.
		v.Ref, v.Origin, v.Job = adapters.Ref{Name: "theirs"}, one.Origin("", ""), ""
		if _, err := r.registry.Register(t.Context(), v); err != nil {
			t.Fatal(err)
		}
		_, err := r.Predict(t.Context(), inference.Request{Model: "tiny", Adapters: []string{"theirs"}, Inputs: texts[:1]})
		if !errors.Is(err, inference.ErrWrongBase) {
			t.Errorf("an adapter of another tokenizer: %v", err)
		}
	})
}
