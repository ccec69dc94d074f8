package inference_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lorikeet/adapters"
	"lorikeet/inference"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/inferencetest"
)

// variant registers the files of a model as a full fine-tune of the rig's base.
func (r rig) variant(t *testing.T, name, dir string) adapters.Version {
	t.Helper()
	v := adapters.Version{Ref: adapters.Ref{Name: name}, Kind: adapters.KindVariant, Base: "tiny", Files: map[string]adapters.File{}}
	for _, file := range []string{"config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if v.Files[file], err = r.registry.Put(t.Context(), bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	v, err := r.registry.Register(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestATwinOfAVariantAnswersUnderItsOwnName(t *testing.T) {
	r := start(t, devicetest.Go(t), 8, "negative", "positive")
	dir := inferencetest.BERT(t, "no", "yes")
	for _, name := range []string{"first", "second"} {
		r.variant(t, name, dir)
		a, err := r.Predict(t.Context(), inference.Request{Model: name, Inputs: texts[:1]})
		if err != nil {
			t.Fatal(err)
		}
		if a.Variant == nil || a.Variant.Name != name || a.Model != "tiny" {
			t.Errorf("%s is answered as %v of %s", name, a.Variant, a.Model)
		}
	}
}

func TestAVariantIsUnloadedWhileCallersLeave(t *testing.T) {
	r := start(t, devicetest.Go(t), 8, "negative", "positive")
	v := r.variant(t, "tuned", inferencetest.BERT(t, "no", "yes"))
	want, err := r.Predict(t.Context(), inference.Request{Model: "tuned", Inputs: texts[:1]})
	if err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	for i := range 40 {
		calls.Go(func() {
			ctx, leave := context.WithTimeout(t.Context(), time.Duration(i*i%97)*time.Millisecond/10)
			defer leave()
			a, err := r.Predict(ctx, inference.Request{Model: "tuned", Inputs: texts[:1]})
			switch {
			case errors.Is(err, context.DeadlineExceeded), errors.Is(err, inference.ErrBusy):
			case err != nil:
				t.Error(err)
			case !near(a.Rows[0].Logits, want.Rows[0].Logits):
				t.Errorf("%v, want %v", a.Rows[0].Logits, want.Rows[0].Logits)
			}
			if err := r.Unload(t.Context(), v); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
}

// readFolder reads the files of a folder.
func readFolder(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}
