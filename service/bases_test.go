package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestShelfOpensGGUF opens a GGUF file by its path, and by that of a folder that holds it
// alone.
func TestShelfOpensGGUF(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("..", "inference", "gguf", "testdata", "smollm.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	one, two := t.TempDir(), t.TempDir()
	for _, path := range []string{filepath.Join(one, "a.gguf"), filepath.Join(two, "a.gguf"), filepath.Join(two, "b.gguf")} {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := newShelf(&config{bases: []string{"file=" + filepath.Join(two, "b.gguf"), "folder=" + one, "both=" + two, "none=" + filepath.Join(one, "c.gguf")}},
		slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "folder"} {
		b, err := s.open(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		if b.Facts().Family != "llama" || b.Chat == nil || !b.Generates() {
			t.Errorf("%s: %+v", name, b.Facts())
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	for name, want := range map[string]string{"both": "a.gguf, b.gguf", "none": "is not a folder"} {
		if _, err := s.open(context.Background(), name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", name, err, want)
		}
	}
}

func TestModelFiles(t *testing.T) {
	for _, name := range []string{"config.json", "generation_config.json", "chat_template.jinja", "model-00001-of-00002.safetensors", "tokenizer.json"} {
		if !modelFile(name) {
			t.Errorf("%s is not downloaded", name)
		}
	}
	for _, name := range []string{"pytorch_model.bin", "README.md", "onnx/model.safetensors", "additional_chat_templates/rag.jinja"} {
		if modelFile(name) {
			t.Errorf("%s is downloaded", name)
		}
	}
}
