package arch_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/inference/arch"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/nn"
)

// seq2seqs are small but complete configurations.
var seq2seqs = map[string]string{
	"t5": `{"model_type":"t5","vocab_size":100,"d_model":8,"d_kv":4,"d_ff":16,"num_layers":2,"num_heads":2,
		"feed_forward_proj":"relu","pad_token_id":0,"eos_token_id":1,"decoder_start_token_id":0}`,
	"flan-t5": `{"model_type":"t5","vocab_size":100,"d_model":8,"d_kv":4,"d_ff":16,"num_layers":2,"num_heads":2,
		"feed_forward_proj":"gated-gelu","tie_word_embeddings":false}`,
	"mt5": `{"model_type":"mt5","vocab_size":100,"d_model":8,"d_kv":4,"d_ff":16,"num_layers":2,"num_decoder_layers":1,"num_heads":2,
		"feed_forward_proj":"gated-gelu","tie_word_embeddings":false}`,
	"marian": `{"model_type":"marian","vocab_size":100,"d_model":8,"encoder_layers":2,"encoder_attention_heads":2,"encoder_ffn_dim":16,
		"decoder_layers":2,"decoder_attention_heads":2,"decoder_ffn_dim":16,"max_position_embeddings":32,"activation_function":"swish",
		"scale_embedding":true,"pad_token_id":99,"decoder_start_token_id":99,"eos_token_id":0}`,
	"marian-unshared": `{"model_type":"marian","vocab_size":100,"decoder_vocab_size":90,"d_model":8,"encoder_layers":1,"encoder_attention_heads":2,
		"encoder_ffn_dim":16,"decoder_layers":1,"decoder_attention_heads":4,"decoder_ffn_dim":12,"max_position_embeddings":32,
		"share_encoder_decoder_embeddings":false,"pad_token_id":89,"decoder_start_token_id":89,"eos_token_id":[0]}`,
}

func openSeq2Seq(t testing.TB, config string) arch.Seq2Seq {
	t.Helper()
	m, err := arch.OpenSeq2Seq([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sketchSeq2Seq builds a model's graph and tells what it asks for.
func sketchSeq2Seq(t *testing.T, m arch.Seq2Seq) (weights []nn.Param, modules adapters.Layout) {
	t.Helper()
	pass, _, err := nn.Build(devicetest.Go(t), "sketch", func(p *nn.Pass) []*graph.Node {
		mask := p.Input("mask", dtypes.Int32, 1, 4)
		states := m.Encode(p.Root(), p.Input("ids", dtypes.Int32, 1, 4), mask)
		return []*graph.Node{m.Decode(p.Root(), p.Input("decoder", dtypes.Int32, 1, 3), states, mask)}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pass.Params {
		if p.Role == nn.Weight {
			weights = append(weights, p)
		}
	}
	return weights, pass.Modules
}

func TestEachEncoderDecoderAsksForTheCheckpointsWeights(t *testing.T) {
	for name, config := range seq2seqs {
		weights, _ := sketchSeq2Seq(t, openSeq2Seq(t, config))
		var b strings.Builder
		for _, w := range weights {
			fmt.Fprintln(&b, w.Name, w.CheckpointDims())
		}
		path := filepath.Join("testdata", name+".weights")
		if *update {
			if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s asks for other weights than %s lists; if that is right, run the test with -update\n%s", name, path, b.String())
		}
	}
}

// TestAdaptersReachEveryLinearLayer of encoder and decoder, each listed once. The output
// layer is there too, and left alone unless it is named, as in PEFT.
func TestAdaptersReachEveryLinearLayer(t *testing.T) {
	for _, c := range []struct {
		model, targets string
		want           int
	}{
		{"t5", `"all-linear"`, 2*(4+2) + 2*(8+2)},
		{"flan-t5", `"all-linear"`, 2*(4+3) + 2*(8+3)},
		{"flan-t5", `["q","v"]`, 2*2 + 2*4},
		{"flan-t5", `["lm_head"]`, 1},
		{"t5", `["lm_head"]`, 1},
		{"mt5", `["wi_0","wi_1","wo"]`, 3*2 + 3},
		{"mt5", `["EncDecAttention.v"]`, 1},
		{"mt5", `null`, 2*2 + 4},
		{"marian", `"all-linear"`, 2*(4+2) + 2*(8+2)},
		{"marian", `null`, 2*2 + 2*4},
		{"marian", `".*encoder_attn\\.(q|k)_proj"`, 4},
	} {
		_, modules := sketchSeq2Seq(t, openSeq2Seq(t, seq2seqs[c.model]))
		seen := map[string]bool{}
		for _, m := range modules {
			if seen[m.Path] {
				t.Errorf("%s lists %s twice", c.model, m.Path)
			}
			seen[m.Path] = true
		}
		config, err := adapters.ParseConfig([]byte(`{"peft_type":"LORA","r":4,"lora_alpha":8,"target_modules":` + c.targets + `}`))
		if err != nil {
			t.Fatal(err)
		}
		plan, err := config.Plan(modules)
		if err != nil {
			t.Fatalf("%s %s: %v", c.model, c.targets, err)
		}
		if len(plan.Ranks) != c.want {
			t.Errorf("%s: %s targets %d modules, want %d: %v", c.model, c.targets, len(plan.Ranks), c.want, slices.Sorted(maps.Keys(plan.Ranks)))
		}
	}
}

func TestT5ReadsBothLayoutsOfItsConfiguration(t *testing.T) {
	for _, c := range []struct {
		name, config string
		tied, scaled bool
	}{
		{"version 1.0", seq2seqs["t5"], true, true},
		{"version 1.0 that says so", with(seq2seqs["t5"], `"tie_word_embeddings":true`), true, true},
		{"version 1.0 of transformers 5", with(seq2seqs["t5"], `"tie_word_embeddings":true,"scale_decoder_outputs":true`), true, true},
		{"version 1.1", seq2seqs["flan-t5"], false, false},
		{"version 1.1 of transformers 5", with(seq2seqs["t5"], `"tie_word_embeddings":true,"scale_decoder_outputs":false`), true, false},
		{"mT5", seq2seqs["mt5"], false, false},
		{"mT5 that does not say", strings.Replace(seq2seqs["mt5"], `,"tie_word_embeddings":false`, "", 1), false, false},
		{"mT5 of transformers 5", strings.Replace(seq2seqs["mt5"], `"tie_word_embeddings":false`, `"tie_word_embeddings":true`, 1), true, false},
	} {
		f := openSeq2Seq(t, c.config).Facts()
		if f.Tied != c.tied || (f.Scale != 1) != c.scaled {
			t.Errorf("%s: tied %v, scale %v", c.name, f.Tied, f.Scale)
		}
	}
}

func TestFactsOfEncoderDecoders(t *testing.T) {
	m := openSeq2Seq(t, seq2seqs["marian-unshared"])
	f := m.Facts()
	if f.Vocab != 100 || f.Outputs != 90 || f.Start != 89 || f.Pad != 89 || !slices.Equal(f.EOS, []int32{0}) || f.MaxLength != 32 ||
		f.Layers != 1 || f.Heads != 4 || f.HeadDim != 2 {
		t.Errorf("%+v", f)
	}
	if got := f.ShiftRight([]int32{5, 6, 0, -100}); !slices.Equal(got, []int32{89, 5, 6, 0}) {
		t.Errorf("the decoder is fed %v", got)
	}
	if got := f.ShiftRight([]int32{5, -100, -100}); !slices.Equal(got, []int32{89, 5, 89}) {
		t.Errorf("the decoder is fed %v", got)
	}
	if f = openSeq2Seq(t, seq2seqs["mt5"]).Facts(); f.Family != "mt5" || f.MaxLength != 512 || f.Layers != 1 || f.Start != 0 || !slices.Equal(f.EOS, []int32{1}) {
		t.Errorf("%+v", f)
	}
	if d := m.WithDropout(0.5).(arch.Marian); d.Drop != 0.5 || d.AttentionDrop != 0.5 || d.ActDrop != 0.5 {
		t.Errorf("%+v", d)
	}
}

// TestSettlePairsTiedWeights with whichever of their names a checkpoint has.
func TestSettlePairsTiedWeights(t *testing.T) {
	equal := func(a, b string) (bool, error) { return true, nil }
	differ := func(a, b string) (bool, error) { return false, nil }
	for _, c := range []struct {
		name, config string
		tensors      []string
		same         func(a, b string) (bool, error)
		want         map[string]string // nil: refused
		tied         bool
	}{
		{"one name", seq2seqs["t5"], []string{"shared.weight"}, differ, map[string]string{"shared.weight": "shared.weight"}, true},
		{"every name", seq2seqs["t5"], []string{"decoder.embed_tokens.weight", "encoder.embed_tokens.weight", "lm_head.weight", "shared.weight"}, equal,
			map[string]string{"shared.weight": "shared.weight"}, true},
		{"another name", seq2seqs["t5"], []string{"encoder.embed_tokens.weight"}, equal, map[string]string{"shared.weight": "encoder.embed_tokens.weight"}, true},
		{"a head that transformers 5 calls tied", seq2seqs["t5"], []string{"shared.weight", "lm_head.weight"}, differ,
			map[string]string{"shared.weight": "shared.weight", "lm_head.weight": "lm_head.weight"}, false},
		{"two embeddings that differ", seq2seqs["t5"], []string{"shared.weight", "encoder.embed_tokens.weight"}, differ, nil, true},
		{"a bias that was never used", seq2seqs["t5"], []string{"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"}, equal,
			map[string]string{}, true},
		{"a head of its own", seq2seqs["flan-t5"], []string{"shared.weight", "lm_head.weight"}, differ,
			map[string]string{"shared.weight": "shared.weight", "lm_head.weight": "lm_head.weight"}, false},
		{"Marian's names", seq2seqs["marian"], []string{"model.shared.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight",
			"lm_head.weight", "model.encoder.embed_positions.weight", "final_logits_bias"}, equal,
			map[string]string{"model.shared.weight": "model.shared.weight", "final_logits_bias": "final_logits_bias"}, true},
		{"two vocabularies", seq2seqs["marian-unshared"], []string{"model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"}, equal,
			map[string]string{"model.encoder.embed_tokens.weight": "model.encoder.embed_tokens.weight",
				"model.decoder.embed_tokens.weight": "model.decoder.embed_tokens.weight"}, true},
	} {
		m, got, err := arch.Settle(openSeq2Seq(t, c.config), c.tensors, c.same)
		if c.want == nil {
			if err == nil {
				t.Errorf("takes %s", c.name)
			}
			continue
		}
		if err != nil || !maps.Equal(got, c.want) || m.Facts().Tied != c.tied {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

func TestOpenSeq2SeqRefuses(t *testing.T) {
	t5, marian := seq2seqs["t5"], seq2seqs["marian"]
	for name, config := range map[string]string{
		"an unknown family":              `{"model_type":"bart"}`,
		"what is no JSON":                `{`,
		"no sizes":                       `{"model_type":"t5"}`,
		"a number of buckets":            with(t5, `"relative_attention_num_buckets":30`),
		"a distance within the buckets":  with(t5, `"relative_attention_max_distance":16`),
		"a table that fills the memory":  with(t5, `"relative_attention_max_distance":1000000000`),
		"an unknown activation":          strings.Replace(t5, `"relu"`, `"gated-mish"`, 1),
		"a pad id that is no token":      strings.Replace(marian, `"pad_token_id":99`, `"pad_token_id":100`, 1),
		"an end beyond the vocabulary":   strings.Replace(marian, `"eos_token_id":0`, `"eos_token_id":[0,100]`, 1),
		"an end that is no number":       strings.Replace(marian, `"eos_token_id":0`, `"eos_token_id":"</s>"`, 1),
		"a start beyond the vocabulary":  strings.Replace(marian, `"decoder_start_token_id":99`, `"decoder_start_token_id":-1`, 1),
		"heads that do not divide":       strings.Replace(marian, `"decoder_attention_heads":2`, `"decoder_attention_heads":3`, 1),
		"a norm before the sublayers":    with(marian, `"normalize_before":true`),
		"a norm of the embeddings":       with(marian, `"normalize_embedding":true`),
		"a negative number of positions": strings.Replace(marian, `"max_position_embeddings":32`, `"max_position_embeddings":-1`, 1),
	} {
		if _, err := arch.OpenSeq2Seq([]byte(config)); err == nil {
			t.Errorf("takes %s", name)
		}
	}
	_, err := arch.OpenSeq2Seq([]byte(`{"model_type":"marian","normalize_before":true,"activation_function":"mish"}`))
	if n := len(invalid.Faults(err)); n < 10 {
		t.Errorf("reports %d faults at once, want all of them: %v", n, err)
	}
}

func FuzzOpenSeq2Seq(f *testing.F) {
	for _, c := range seq2seqs {
		f.Add([]byte(c))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := arch.OpenSeq2Seq(b)
		if err == nil && (m.Facts().Family == "" || m.Facts().HeadDim <= 0) {
			t.Fatal("a model of no family or shape")
		}
	})
}
