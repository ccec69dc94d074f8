package gguf_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/gguf"
)

// writer puts a GGUF file together, sense or not.
type writer struct{ bytes.Buffer }

func (w *writer) u32(v uint32) *writer { _ = binary.Write(w, binary.LittleEndian, v); return w }
func (w *writer) u64(v uint64) *writer { _ = binary.Write(w, binary.LittleEndian, v); return w }
func (w *writer) text(s string) *writer {
	w.u64(uint64(len(s)))
	w.WriteString(s)
	return w
}

// begin writes a header's beginning.
func begin(version uint32, tensors, pairs uint64) *writer {
	w := &writer{}
	w.WriteString("GGUF")
	return w.u32(version).u64(tensors).u64(pairs)
}

// tensor describes one.
func (w *writer) tensor(name string, kind uint32, at uint64, dims ...uint64) *writer {
	w.text(name).u32(uint32(len(dims)))
	for _, d := range dims {
		w.u64(d)
	}
	return w.u32(kind).u64(at)
}

func TestHostileFiles(t *testing.T) {
	const huge = 1 << 62
	for about, c := range map[string]struct {
		w    *writer
		want string
	}{
		"nothing":                        {&writer{}, "header"},
		"another format":                 {(&writer{}).text("safetensors"), "does not begin with GGUF"},
		"an old version":                 {begin(1, 0, 0), "version 1"},
		"big endian":                     {begin(3<<24, 0, 0), "big endian"},
		"pairs that are not there":       {begin(3, 0, huge), "header ends too soon"},
		"tensors that are not there":     {begin(3, huge, 0), "header ends too soon"},
		"a text of four exabytes":        {begin(3, 0, 1).u64(huge), "header ends too soon"},
		"an array of many numbers":       {begin(3, 0, 1).text("a").u32(9).u32(4).u64(huge), "header ends too soon"},
		"an array of many texts":         {begin(3, 0, 1).text("a").u32(9).u32(8).u64(1 << 40), "header ends too soon"},
		"arrays of arrays":               {begin(3, 0, 1).text("a").u32(9).u32(9).u64(1), "arrays of type 9"},
		"an unknown type":                {begin(3, 0, 1).text("a").u32(99), "type of value 99"},
		"a key twice":                    {begin(3, 0, 2).text("a").u32(4).u32(1).text("a").u32(4).u32(1), "is there twice"},
		"a text that is no UTF-8":        {begin(3, 0, 1).text("\xff").u32(4).u32(1), "no UTF-8"},
		"an alignment of zero":           {begin(3, 0, 1).text("general.alignment").u32(4).u32(0), "no power of two"},
		"a tensor twice":                 {begin(3, 2, 0).tensor("x", 0, 0, 0).tensor("x", 0, 0, 0), "twice"},
		"a tensor beyond the file":       {begin(3, 1, 0).tensor("x", 0, 1<<20, 4), "not in the file"},
		"a tensor larger than the file":  {begin(3, 1, 0).tensor("x", 0, 0, 1<<30), "not in the file"},
		"a tensor of too many values":    {begin(3, 1, 0).tensor("x", 0, 0, 1<<40, 1<<40, 1<<40), "shape"},
		"a dimension out of range":       {begin(3, 1, 0).tensor("x", 0, 0, huge), "dimension"},
		"a tensor without values":        {begin(3, 1, 0).tensor("x", 0, 0, 0), "shape"},
		"a tensor without dimensions":    {begin(3, 1, 0).tensor("x", 0, 0), "rows of shape"},
		"too many dimensions":            {begin(3, 1, 0).tensor("x", 0, 0, 1, 1, 1, 1, 1), "5 dimensions"},
		"rows that are no whole blocks":  {begin(3, 1, 0).tensor("x", 3, 0, 33), "blocks of 32"},
		"a kind that is not supported":   {begin(3, 1, 0).tensor("x", 16, 0, 256), "IQ2_XXS, which is not supported; supported: F32"},
		"a kind that is not known":       {begin(3, 1, 0).tensor("x", 777, 0, 256), "type 777"},
		"one file of several":            {begin(3, 0, 1).text("split.count").u32(2).u32(2), "one of 2 files"},
		"an offset that is out of range": {begin(3, 1, 0).tensor("x", 0, 1<<63, 1), "lies at"},
	} {
		_, err := gguf.Open(bytes.NewReader(c.w.Bytes()), int64(c.w.Len()))
		if !invalid.Is(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want a fault with %q", about, err, c.want)
		}
	}
}

// TestModelsThatAreNotSupported tells by key what is not.
func TestModelsThatAreNotSupported(t *testing.T) {
	llama := func(more func(*writer) *writer, pairs uint64) *writer {
		w := begin(3, 0, 6+pairs).text("general.architecture").u32(8).text("llama")
		for _, key := range []string{"block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count"} {
			w.text("llama." + key).u32(4).u32(8)
		}
		return more(w)
	}
	for about, c := range map[string]struct {
		w     *writer
		field string
	}{
		"an architecture": {begin(3, 0, 1).text("general.architecture").u32(8).text("mamba"), "general.architecture"},
		"nothing told":    {begin(3, 0, 1).text("general.architecture").u32(8).text("llama"), "llama.block_count"},
		"experts":         {llama(func(w *writer) *writer { return w.text("llama.expert_count").u32(4).u32(8) }, 1), "llama.expert_count"},
		"a partial rotary embedding": {llama(func(w *writer) *writer {
			return w.text("llama.attention.key_length").u32(4).u32(64).text("llama.rope.dimension_count").u32(4).u32(32)
		}, 2), "llama.rope.dimension_count"},
		"another rope": {llama(func(w *writer) *writer { return w.text("llama.rope.scaling.type").u32(8).text("yarn") }, 1), "llama.rope.scaling.type"},
	} {
		f, err := gguf.Open(bytes.NewReader(c.w.Bytes()), int64(c.w.Len()))
		if err != nil {
			t.Fatalf("%s: %v", about, err)
		}
		_, err = f.Config()
		found := false
		for _, fault := range invalid.Faults(err) {
			found = found || fault.Field == c.field
		}
		if !found {
			t.Errorf("%s: %v; want a fault of %s", about, err, c.field)
		}
	}
}

func FuzzOpen(f *testing.F) {
	files, err := filepath.Glob("testdata/*.gguf")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 32<<10)])
	}
	f.Add(begin(3, 1, 1).text("general.architecture").u32(8).text("llama").tensor("blk.0.attn_q.weight", 0, 0, 1, 1).Bytes())
	f.Add(begin(3, 0, 1).text("tokenizer.ggml.tokens").u32(9).u32(8).u64(1).text("a").Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := gguf.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		_, _ = file.Config()
		_, _ = file.GenerationConfig()
		_, _ = file.Tokenizer()
		for _, tensor := range file.Tensors() {
			if _, err := file.Float32s(tensor); err != nil {
				t.Errorf("%s was found to be in the file: %v", tensor.Name, err)
			}
		}
		w, err := file.Weights()
		if err != nil {
			return
		}
		for _, name := range w.Names() {
			if _, err := w.Float32s(name); err != nil {
				t.Error(err)
			}
		}
	})
}
