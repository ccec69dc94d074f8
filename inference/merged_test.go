package inference_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"lorikeet/adapters/sharedtest"
	"lorikeet/inference"
	"lorikeet/inference/device/devicetest"
)

// unpacked writes a merged model to a folder.
func unpacked(t *testing.T, m *inference.Merged) string {
	t.Helper()
	var b bytes.Buffer
	if err := m.Write(&b); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(h.Name)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A merged model is a base of its own that answers as base and adapter do.
func TestAMergedModelAnswersAsBaseAndAdapter(t *testing.T) {
	backend := devicetest.Go(t)
	for name, labels := range map[string][]string{"a base with a head": {"negative", "positive"}, "a bare encoder": nil} {
		t.Run(name, func(t *testing.T) {
			r := start(t, backend, 16, labels...)
			v := r.add(t, "mine", 1, 4, "x", "y", "z")
			want := r.predict(t, []string{"mine", "mine", "mine"}, texts[:3]...)
			m, err := r.Merged(t.Context(), v)
			if err != nil {
				t.Fatal(err)
			}
			dir := unpacked(t, m)
			whole := run(t, backend, 16, 100, dir)
			got := whole.predict(t, nil, texts[:3]...)
			var logits [][]float32
			for i := range got.Rows {
				logits = append(logits, want.Rows[i].Logits)
				if !near(got.Rows[i].Logits, want.Rows[i].Logits) || got.Rows[i].Labels[2] != "z" {
					t.Errorf("merged: %v, %q; base and adapter: %v", got.Rows[i].Logits, got.Rows[i].Labels, want.Rows[i].Logits)
				}
			}
			t.Run("in transformers", func(t *testing.T) { inTransformers(t, dir, logits) })
		})
	}
}

func inTransformers(t *testing.T, dir string, want [][]float32) {
	python := sharedtest.Python(t, "torch", "transformers")
	const script = `
import json, sys, torch
from transformers import AutoModelForSequenceClassification, BertTokenizer
tokenizer = BertTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1]).eval()
with torch.no_grad():
    print("logits", json.dumps([model(**tokenizer(t, return_tensors="pt")).logits[0].tolist() for t in sys.argv[2:]]))
`
	out, err := exec.CommandContext(t.Context(), python, "-c", script, dir, texts[0].Text, texts[1].Text, texts[2].Text).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got [][]float32
	if err := json.Unmarshal(out[bytes.LastIndex(out, []byte("logits "))+7:], &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for i := range want {
		if !near(got[i], want[i]) {
			t.Errorf("transformers: %v, here: %v", got[i], want[i])
		}
	}
}

func TestAVariantIsNotMerged(t *testing.T) {
	r := start(t, devicetest.Go(t), 16, "negative", "positive")
	v := r.add(t, "mine", 1, 4)
	v.Kind = "variant"
	if _, err := r.Merged(t.Context(), v); err == nil {
		t.Error("no error")
	}
	v.Kind, v.Base = "adapter", "other"
	if _, err := r.Merged(t.Context(), v); !errors.Is(err, inference.ErrWrongBase) {
		t.Errorf("of another base: %v", err)
	}
}
