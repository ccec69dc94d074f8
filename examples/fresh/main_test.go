package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorikeet/inference"
	"lorikeet/inference/builtin"
)

func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// pairs are rows of two made-up languages.
func pairs() string {
	var b strings.Builder
	words := []string{"katze", "hund", "schlaeft", "hier", "dort", "gross", "klein", "猫", "狗", "睡觉", "大"}
	for i := range 60 {
		fmt.Fprintf(&b, "{\"en\": \"the %s is %s.\", \"zh\": \"%s%s。\"}\n", words[i%4], words[i%7], words[7+i%4], words[7+i%3])
	}
	return b.String()
}

func TestMarianFromRows(t *testing.T) {
	rows := write(t, pairs())
	make := func(seed string) string {
		dir := filepath.Join(t.TempDir(), "model")
		var out bytes.Buffer
		if err := run([]string{"--config", "marian-small.json", "--rows", rows, "--columns", "en,zh", "--vocab", "80", "--out", dir, "--seed", seed}, &out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "80 tokens") || !strings.Contains(out.String(), "marian") {
			t.Error(out.String())
		}
		return dir
	}
	dir := make("1")
	base, err := inference.OpenBase("m", dir, os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	if f := base.Seq2Seq.Facts(); f.Vocab != 80 || f.Pad != 79 || f.Start != 79 || !slices.Equal(f.EOS, []int32{0}) {
		t.Errorf("%+v", f)
	}
	for _, text := range []string{"the katze is gross.", "猫睡觉。"} {
		ids := base.Text.Encode(text, nil, 64).IDs
		if got := base.Text.Decode(ids, true); strings.TrimSpace(got) != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	files := func(dir string) map[string]string {
		all := map[string]string{}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			all[e.Name()] = string(b)
		}
		return all
	}
	if !maps.Equal(files(dir), files(make("1"))) {
		t.Error("the same seed made another model")
	}
	if files(dir)["model.safetensors"] == files(make("2"))["model.safetensors"] {
		t.Error("another seed made the same weights")
	}
}

func TestATokenizerIsCopied(t *testing.T) {
	bert, err := builtin.Open("tiny-bert")
	if err != nil {
		t.Fatal(err)
	}
	from := t.TempDir()
	if err := os.CopyFS(filepath.Join(from, "m"), bert); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "model")
	if err := run([]string{"--config", filepath.Join(from, "m", "config.json"), "--tokenizer", filepath.Join(from, "m"), "--out", dir}, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	base, err := inference.OpenBase("b", dir, os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := base.Close(); err != nil {
		t.Error(err)
	}
}

func TestRefuses(t *testing.T) {
	rows, config := write(t, pairs()), "marian-small.json"
	out := func() string { return filepath.Join(t.TempDir(), "m") }
	for name, c := range map[string]struct {
		args []string
		said string
	}{
		"nothing":                    {nil, "--config"},
		"both tokenizers":            {[]string{"--config", config, "--out", out(), "--rows", rows, "--tokenizer", "."}, "one of"},
		"a folder with no tokenizer": {[]string{"--config", config, "--out", out(), "--tokenizer", t.TempDir()}, "--tokenizer"},
		"too small a vocabulary":     {[]string{"--config", config, "--out", out(), "--rows", rows, "--columns", "en,zh", "--vocab", "10"}, "--vocab"},
		"a column too many":          {[]string{"--config", config, "--out", out(), "--rows", rows, "--columns", "a,b,c"}, "--columns"},
		"a column that is not there": {[]string{"--config", config, "--out", out(), "--rows", rows, "--columns", "en,fr"}, "line 1"},
		"rows that are none":         {[]string{"--config", config, "--out", out(), "--rows", write(t, pairs()+"{\n"), "--columns", "en,zh"}, "line 61"},
		"a family nobody knows":      {[]string{"--config", write(t, `{"model_type":"x"}`), "--out", out(), "--rows", rows, "--columns", "en,zh", "--vocab", "80"}, "model_type"},
		"a configuration of nothing": {[]string{"--config", write(t, `[]`), "--out", out(), "--rows", rows}, "--config"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := run(c.args, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), c.said) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// Configurations wide enough that deviations can be told apart.
var configs = map[string]string{
	"marian": `{"model_type":"marian","architectures":["MarianMTModel"],"d_model":64,"encoder_layers":1,"decoder_layers":1,"encoder_attention_heads":4,"decoder_attention_heads":4,"encoder_ffn_dim":96,"decoder_ffn_dim":96,"vocab_size":300,"decoder_vocab_size":300,"pad_token_id":299,"eos_token_id":0,"decoder_start_token_id":299,"forced_eos_token_id":0,"max_position_embeddings":32,"init_std":0.05,"scale_embedding":true,"share_encoder_decoder_embeddings":true,"activation_function":"swish","is_encoder_decoder":true}`,
	"t5":     `{"model_type":"t5","architectures":["T5ForConditionalGeneration"],"d_model":64,"d_kv":8,"d_ff":96,"num_layers":1,"num_decoder_layers":1,"num_heads":4,"vocab_size":300,"feed_forward_proj":"gated-gelu","tie_word_embeddings":false,"decoder_start_token_id":0,"pad_token_id":0,"eos_token_id":1,"initializer_factor":0.5,"relative_attention_num_buckets":32,"relative_attention_max_distance":128,"is_encoder_decoder":true}`,
	"bert":   `{"model_type":"bert","architectures":["BertForSequenceClassification"],"hidden_size":64,"num_hidden_layers":1,"num_attention_heads":4,"intermediate_size":96,"vocab_size":300,"max_position_embeddings":64,"type_vocab_size":2,"initializer_range":0.03,"pad_token_id":0,"hidden_act":"gelu","layer_norm_eps":1e-12}`,
	"llama":  `{"model_type":"llama","architectures":["LlamaForCausalLM"],"hidden_size":64,"num_hidden_layers":1,"num_attention_heads":4,"num_key_value_heads":2,"intermediate_size":96,"vocab_size":300,"max_position_embeddings":64,"initializer_range":0.02,"rms_norm_eps":1e-6,"tie_word_embeddings":false,"hidden_act":"silu","bos_token_id":1,"eos_token_id":2}`,
}

func moments(v []float32) (mean, std float64) {
	for _, x := range v {
		mean += float64(x) / float64(len(v))
	}
	for _, x := range v {
		std += (float64(x) - mean) * (float64(x) - mean) / float64(len(v))
	}
	return mean, math.Sqrt(std)
}

func TestWeightsAreDrawnAsTheConfigurationSays(t *testing.T) {
	for family, want := range map[string]map[string]float64{
		"marian": {"model.shared.weight": 0.05, "fc1.weight": 0.05, "final_logits_bias": 0},
		"t5": {"shared.weight": 0.5, "lm_head.weight": 0.5, ".q.weight": 0.5 / math.Sqrt(64*8), ".k.weight": 0.5 / 8, ".v.weight": 0.5 / 8,
			".o.weight": 0.5 / math.Sqrt(4*8), "wi_0.weight": 0.5 / 8, ".wo.weight": 0.5 / math.Sqrt(96)},
		"bert":  {"word_embeddings.weight": 0.03, "query.weight": 0.03, "query.bias": 0},
		"llama": {"embed_tokens.weight": 0.02, "q_proj.weight": 0.02, "lm_head.weight": 0.02},
	} {
		t.Run(family, func(t *testing.T) {
			tensors, err := draw([]byte(configs[family]), 1)
			if err != nil {
				t.Fatal(err)
			}
			for end, std := range want {
				found := false
				for _, x := range tensors {
					if !strings.HasSuffix(x.Name, end) {
						continue
					}
					found = true
					v := x.Data.([]float32)
					// Five standard errors of a deviation estimated from so many values.
					if _, got := moments(v); math.Abs(got-std) > 5*std/math.Sqrt(2*float64(len(v)))+std*0.01 {
						t.Errorf("%s: deviation %v, want %v", x.Name, got, std)
					}
				}
				if !found {
					t.Errorf("no tensor is called …%s", end)
				}
			}
			for _, x := range tensors {
				one := map[bool]float32{true: 0.5, false: 1}[family == "t5"]
				if v := x.Data.([]float32); len(x.Shape) == 1 && strings.HasSuffix(x.Name, "orm.weight") && v[0] != one {
					t.Errorf("%s begins with %v", x.Name, v[0])
				}
			}
		})
	}
}

// transformers has the same tensors, and draws them with the same deviations. It is
// asked where python3 (or $LORIKEET_PYTHON) has it.
func TestTransformersDrawsTheSame(t *testing.T) {
	python := os.Getenv("LORIKEET_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import torch, transformers").Run(); err != nil {
		t.Skip("missing Python packages torch and transformers")
	}
	asked, err := json.Marshal(configs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", `
import json, sys, torch, transformers
def drawn(raw):
    torch.manual_seed(0)
    model = getattr(transformers, raw["architectures"][0])(transformers.AutoConfig.for_model(**raw))
    return {k: {"shape": list(v.shape), "mean": v.float().mean().item(), "std": v.float().std(unbiased=False).item()} for k, v in model.state_dict().items()}
print(json.dumps({family: drawn(json.loads(config)) for family, config in json.loads(sys.argv[1]).items()}))`, string(asked))
	cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var drawn map[string]map[string]struct {
		Shape     []int
		Mean, Std float64
	}
	if err := json.Unmarshal(out[bytes.LastIndexByte(bytes.TrimSpace(out), '\n')+1:], &drawn); err != nil {
		t.Fatal(err)
	}
	for family, config := range configs {
		t.Run(family, func(t *testing.T) {
			tensors, err := draw([]byte(config), 1)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range tensors {
				want, ok := drawn[family][x.Name]
				if !ok {
					t.Errorf("transformers has no %s", x.Name)
					continue
				}
				v := x.Data.([]float32)
				mean, std := moments(v)
				bound := 8*want.Std/math.Sqrt(float64(len(v))) + 1e-6
				if !slices.Equal(want.Shape, x.Shape) || math.Abs(std-want.Std) > bound || math.Abs(mean-want.Mean) > bound {
					t.Errorf("%s %v: mean %.4f and deviation %.4f, transformers' %+v", x.Name, x.Shape, mean, std, want)
				}
			}
		})
	}
}

// FuzzRows: whatever the rows are, there is an error, or a vocabulary of the asked size
// or less, whose pieces are distinct.
func FuzzRows(f *testing.F) {
	f.Add([]byte(pairs()), 80)
	f.Add([]byte("{\"en\":\"a\",\"zh\":\"\"}\n\n"), 5)
	f.Add([]byte("{\"en\":\"▁ ▁▁ <unk>\",\"zh\":\"\\u0000\\ud800\"}"), 30)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		words, err := countWords(write(t, string(text)), [2]string{"en", "zh"})
		if err != nil {
			return
		}
		pieces, err := learnPieces(words, size)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, p := range pieces {
			if seen[p.Text] || math.IsNaN(float64(p.Score)) || p.Text == "" {
				t.Fatalf("%+v", p)
			}
			seen[p.Text] = true
		}
		if len(pieces) > max(size, 0) {
			t.Fatalf("%d pieces, %d are wanted", len(pieces), size)
		}
	})
}
