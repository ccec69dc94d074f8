package arch_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lorikeet/adapters/invalid"
	"lorikeet/inference"
	"lorikeet/inference/arch"
)

var update = flag.Bool("update", false, "write testdata/*.weights anew; review them like code")

// configs are small but complete: two layers, so that layer numbers show.
var configs = map[string]string{
	"bert": `{"model_type":"bert","architectures":["BertForSequenceClassification"],"vocab_size":100,"hidden_size":8,"num_hidden_layers":2,
		"num_attention_heads":2,"intermediate_size":16,"max_position_embeddings":32,"type_vocab_size":2,"id2label":{"0":"a","1":"b","2":"c"}}`,
	"roberta": `{"model_type":"roberta","architectures":["RobertaForSequenceClassification"],"vocab_size":100,"hidden_size":8,"num_hidden_layers":2,
		"num_attention_heads":2,"intermediate_size":16,"max_position_embeddings":34,"type_vocab_size":1,"pad_token_id":1,"id2label":{"0":"a","1":"b","2":"c"}}`,
	"distilbert": `{"model_type":"distilbert","architectures":["DistilBertForSequenceClassification"],"vocab_size":100,"dim":8,"n_layers":2,
		"n_heads":2,"hidden_dim":16,"max_position_embeddings":32,"id2label":{"0":"a","1":"b","2":"c"}}`,
}

// TestEachFamilyAsksForTheCheckpointsWeights holds the walk of each family to the list
// of names and shapes that its Hugging Face checkpoint has.
func TestEachFamilyAsksForTheCheckpointsWeights(t *testing.T) {
	for _, family := range arch.Families {
		model, err := arch.Open([]byte(configs[family]))
		if err != nil {
			t.Fatalf("%s: %v", family, err)
		}
		weights, _, err := inference.Sketch(model)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, w := range weights {
			fmt.Fprintln(&b, w.Name, w.CheckpointDims())
		}
		path := filepath.Join("testdata", family+".weights")
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
			t.Errorf("%s asks for other weights than %s lists; if that is right, run the test with -update\n%s", family, path, b.String())
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, config := range map[string]string{
		"an unknown family":            `{"model_type":"gpt2"}`,
		"no family":                    `{}`,
		"what is no JSON":              `{`,
		"no sizes":                     `{"model_type":"bert"}`,
		"heads that do not divide":     strings.Replace(configs["bert"], `"num_attention_heads":2`, `"num_attention_heads":3`, 1),
		"an unknown activation":        strings.Replace(configs["bert"], `"vocab_size"`, `"hidden_act":"mish","vocab_size"`, 1),
		"relative positions":           strings.Replace(configs["bert"], `"vocab_size"`, `"position_embedding_type":"relative_key","vocab_size"`, 1),
		"a label without a number":     strings.Replace(configs["bert"], `"0":"a"`, `"x":"a"`, 1),
		"an unknown problem":           strings.Replace(configs["bert"], `"vocab_size"`, `"problem_type":"ranking","vocab_size"`, 1),
		"no position after the pad id": strings.Replace(configs["roberta"], `"max_position_embeddings":34`, `"max_position_embeddings":2`, 1),
		"a width that is negative":     strings.Replace(configs["distilbert"], `"dim":8`, `"dim":-8`, 1),
	} {
		if _, err := arch.Open([]byte(config)); err == nil {
			t.Errorf("takes %s", name)
		}
	}
	_, err := arch.Open([]byte(`{"model_type":"bert","position_embedding_type":"x"}`))
	if n := len(invalid.Faults(err)); n < 4 {
		t.Errorf("reports %d faults at once, want all of them: %v", n, err)
	}
}

func TestRenameReadsOlderCheckpoints(t *testing.T) {
	open := func(family string) arch.Classifier {
		m, err := arch.Open([]byte(configs[family]))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, c := range []struct{ family, tensor, want string }{
		{"bert", "bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"},
		{"bert", "embeddings.word_embeddings.weight", "bert.embeddings.word_embeddings.weight"},
		{"bert", "classifier.weight", "classifier.weight"},
		{"bert", "cls.predictions.bias", ""},
		{"bert", "bert.embeddings.position_ids", ""},
		{"roberta", "lm_head.dense.weight", ""},
		{"roberta", "encoder.layer.0.output.dense.weight", "roberta.encoder.layer.0.output.dense.weight"},
		{"roberta", "roberta.pooler.dense.weight", ""},
		{"distilbert", "vocab_transform.weight", ""},
		{"distilbert", "transformer.layer.0.ffn.lin1.weight", "distilbert.transformer.layer.0.ffn.lin1.weight"},
		{"distilbert", "pre_classifier.weight", "pre_classifier.weight"},
	} {
		if got := open(c.family).Rename(c.tensor); got != c.want {
			t.Errorf("%s: %s becomes %q, want %q", c.family, c.tensor, got, c.want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, c := range configs {
		f.Add([]byte(c))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := arch.Open(b)
		if err == nil && m.Facts().Family == "" {
			t.Fatal("a model of no family")
		}
	})
}
