package gguf_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"lorikeet/inference/gguf"
	"lorikeet/inference/text"
)

func open(t testing.TB, name string) *gguf.File {
	t.Helper()
	f, closer, err := gguf.OpenFS(os.DirFS("testdata"), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = closer.Close() })
	return f
}

// TestKinds reads a tensor of every kind and compares it, bit for bit, with the one that
// gguf-py made of it.
func TestKinds(t *testing.T) {
	f := open(t, "kinds.gguf")
	seen := 0
	for _, tensor := range f.Tensors() {
		want, ok := f.Tensor(tensor.Name + ".want")
		if !ok {
			continue
		}
		seen++
		got, err := f.Float32s(tensor)
		if err != nil {
			t.Fatal(err)
		}
		expected, err := f.Float32s(want)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(tensor.Shape, want.Shape) || len(got) != len(expected) {
			t.Errorf("%s: shape %v, want %v", tensor.Name, tensor.Shape, want.Shape)
			continue
		}
		for i := range got {
			if math.Float32bits(got[i]) != math.Float32bits(expected[i]) {
				t.Errorf("%s: value %d is %v, want %v", tensor.Name, i, got[i], expected[i])
				break
			}
		}
	}
	if seen != 11 {
		t.Errorf("%d kinds were compared, want 11", seen)
	}
}

// TestTokenizers compares ids with those of the tokenizers that the vocabularies came from.
func TestTokenizers(t *testing.T) {
	for _, name := range []string{"smollm", "llama3", "qwen2", "sentencepiece"} {
		t.Run(name, func(t *testing.T) {
			made, err := open(t, name+".gguf").Tokenizer()
			if err != nil {
				t.Fatal(err)
			}
			dir := fstest.MapFS{}
			for file, b := range made {
				dir[file] = &fstest.MapFile{Data: b}
			}
			tok, err := text.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			var golden struct {
				Texts []struct {
					Text, Decoded string
					IDs           []int32
				}
			}
			b, err := os.ReadFile("testdata/" + name + ".json")
			if err == nil {
				err = json.Unmarshal(b, &golden)
			}
			if err != nil || len(golden.Texts) < 10 {
				t.Fatal(len(golden.Texts), err)
			}
			for _, c := range golden.Texts {
				got := tok.Encode(c.Text, nil, 0)
				if !slices.Equal(got.IDs, c.IDs) {
					t.Errorf("%q is %v, want %v", c.Text, got.IDs, c.IDs)
				}
				if decoded := tok.Decode(got.IDs, true); decoded != c.Decoded {
					t.Errorf("%q comes back as %q, want %q", c.Text, decoded, c.Decoded)
				}
			}
		})
	}
}

func TestFolder(t *testing.T) {
	dir, err := gguf.Folder(os.DirFS("testdata"), "smollm.gguf")
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"config.json":            `"tie_word_embeddings":true`,
		"generation_config.json": `{"bos_token_id":1,"eos_token_id":[2]}`,
		"tokenizer_config.json":  `"chat_template":"{% for m in messages`,
		"tokenizer.json":         `"individual_digits":true`,
	} {
		b, err := fs.ReadFile(dir, file)
		if err != nil || !bytes.Contains(b, []byte(want)) {
			t.Errorf("%s: %.200s, %v; want %s in it", file, b, err, want)
		}
	}
	real, err := os.ReadFile("testdata/smollm.gguf")
	if b, err2 := fs.ReadFile(dir, gguf.WeightsFile); err != nil || err2 != nil || !bytes.Equal(b, real) {
		t.Errorf("the file itself: %d bytes, %v, %v", len(b), err, err2)
	}
	if _, err := dir.Open("vocab.txt"); err == nil {
		t.Error("opens what is not there")
	}
}

func TestUnfold(t *testing.T) {
	file, err := os.ReadFile("testdata/smollm.gguf")
	if err != nil {
		t.Fatal(err)
	}
	one, config := &fstest.MapFile{Data: file}, &fstest.MapFile{Data: []byte("{}")}
	for _, c := range []struct {
		about  string
		files  fstest.MapFS
		config string // what config.json then holds; "": there is none
		err    string
	}{
		{"one file", fstest.MapFS{"a.gguf": one}, `"model_type":"llama"`, ""},
		{"two files", fstest.MapFS{"a.gguf": one, "b.gguf": one}, "", "a.gguf, b.gguf"},
		{"a file beside a model", fstest.MapFS{"a.gguf": one, "config.json": config}, "{}", ""},
		{"nothing", fstest.MapFS{}, "", ""},
		{"a file that is none", fstest.MapFS{"a.gguf": config}, "", "a.gguf: "},
	} {
		t.Run(c.about, func(t *testing.T) {
			dir, err := gguf.Unfold(c.files)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v; want %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := fs.ReadFile(dir, "config.json")
			if (err != nil) != (c.config == "") || !strings.Contains(string(b), c.config) {
				t.Errorf("%s, %v", b, err)
			}
		})
	}
}

// TestRopeFactors recognises the factors that transformers makes of a configuration.
func TestRopeFactors(t *testing.T) {
	b, err := open(t, "rope.gguf").Config()
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Scaling map[string]any `json:"rope_scaling"`
	}
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192.0}
	if !maps.Equal(c.Scaling, want) {
		t.Errorf("%v; want %v", c.Scaling, want)
	}
}
