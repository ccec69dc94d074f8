package text

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"lorikeet/adapters/sharedtest"
)

// The benchmarks report MB/s of text on one core: sentences of reviews, one call
// each, as requests bring them.

func BenchmarkEncode(b *testing.B) {
	for _, bm := range families {
		b.Run(bm.name, func(b *testing.B) {
			tok := load(b, bm.files(b))
			lines := reviews(b)
			bytes := 0
			for _, s := range lines {
				bytes += len(s)
			}
			b.SetBytes(int64(bytes))
			b.ReportAllocs()
			for b.Loop() {
				for _, s := range lines {
					tok.Encode(s, nil, 0)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, bm := range families {
		b.Run(bm.name, func(b *testing.B) {
			tok := load(b, bm.files(b))
			text := strings.Join(reviews(b)[:100], " ")
			ids := tok.Encode(text, nil, 0).IDs
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				tok.Decode(ids, true)
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, bm := range families {
		b.Run(bm.name, func(b *testing.B) {
			files := bm.files(b)
			for b.Loop() {
				load(b, files)
			}
		})
	}
}

type family struct {
	name  string
	files func(testing.TB) fs.FS
}

var families = []family{
	{"BERT", data("bert_uncased")},
	{"GPT-2", gpt2},
	{"SmolLM2", data("smollm2_llama_arch")},
	{"Qwen2-small", fixtureFiles("qwen2")},
	{"LLaMA-3-small", fixtureFiles("llama3-tied")},
	{"LLaMA-2-small", fixtureFiles("llama")},
	{"T5", flan},
	{"T5-spiece", spiece},
	{"Marian", data("marian_opus_mt_en_fr")},
}

func data(name string) func(testing.TB) fs.FS {
	return func(t testing.TB) fs.FS { return os.DirFS(sharedtest.Data(t, "tokenizers/"+name)) }
}

func fixtureFiles(name string) func(testing.TB) fs.FS {
	return func(t testing.TB) fs.FS { return os.DirFS(sharedtest.Fixture(t, name)) }
}

func gpt2(t testing.TB) fs.FS {
	return pick(t, "tokenizers/gpt2", map[string]string{"vocab.json": "encoder.json", "merges.txt": "vocab.bpe"})
}

func flan(t testing.TB) fs.FS {
	return pick(t, "tokenizers/t5", map[string]string{"tokenizer.json": "flan_t5_tokenizer.json"})
}

func spiece(t testing.TB) fs.FS {
	return pick(t, "tokenizers/t5", map[string]string{"spiece.model": "spiece.model"})
}

// pick is a folder of some files under other names.
func pick(t testing.TB, dir string, names map[string]string) fs.FS {
	t.Helper()
	m := fstest.MapFS{}
	for name, from := range names {
		data, err := os.ReadFile(filepath.Join(sharedtest.Data(t, dir), from))
		if err != nil {
			t.Fatal(err)
		}
		m[name] = &fstest.MapFile{Data: data}
	}
	return m
}

// reviews is a file of sentences, the same in every run.
func reviews(t testing.TB) []string {
	t.Helper()
	data, err := os.ReadFile(sharedtest.Data(t, "sentiment/uci_sentences/imdb_labelled.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		var row struct{ Text string }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, row.Text)
	}
	return lines
}
