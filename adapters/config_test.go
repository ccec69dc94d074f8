package adapters

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/sharedtest"
)

// bert is the layout of a one-layer BERT classifier, in miniature.
var bert = Layout{
	{Kind: Embedding, Path: "bert.embeddings.word_embeddings", In: 10, Out: 4},
	{Kind: Norm, Path: "bert.embeddings.LayerNorm", In: 4, Out: 4, Bias: true},
	{Kind: Linear, Path: "bert.encoder.layer.0.attention.self.query", In: 4, Out: 4, Bias: true},
	{Kind: Linear, Path: "bert.encoder.layer.0.attention.self.value", In: 4, Out: 4, Bias: true},
	{Kind: Linear, Path: "bert.encoder.layer.1.attention.self.query", In: 4, Out: 4, Bias: true},
	{Kind: Linear, Path: "bert.encoder.layer.1.output.dense", In: 8, Out: 4, Bias: true},
	{Kind: Linear, Path: "bert.pooler.dense", In: 4, Out: 4, Bias: true},
	{Kind: Head, Path: "pre_classifier", In: 4, Out: 4, Bias: true},
	{Kind: Head, Path: "classifier", In: 4, Out: 2, Bias: true, Labels: true},
}

func TestPlanTargetsWhatPEFTTargets(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		ranks  map[string]Rank
		saved  []string
	}{
		"names match the end of a path": {`{"r":4,"lora_alpha":8,"target_modules":["query"]}`, map[string]Rank{
			"bert.encoder.layer.0.attention.self.query": {4, 2}, "bert.encoder.layer.1.attention.self.query": {4, 2}}, nil},
		"a string is a regular expression over the whole path": {`{"r":4,"lora_alpha":8,"target_modules":".*layer\\.1\\..*query"}`, map[string]Rank{
			"bert.encoder.layer.1.attention.self.query": {4, 2}}, nil},
		"Python's lookahead works": {`{"r":1,"lora_alpha":1,"target_modules":"bert\\.(?!encoder).*dense"}`, map[string]Rank{"bert.pooler.dense": {1, 1}}, nil},
		"all-linear leaves the labels' layer out": {`{"r":1,"lora_alpha":1,"target_modules":"all-linear"}`, map[string]Rank{
			"bert.encoder.layer.0.attention.self.query": {1, 1}, "bert.encoder.layer.0.attention.self.value": {1, 1},
			"bert.encoder.layer.1.attention.self.query": {1, 1}, "bert.encoder.layer.1.output.dense": {1, 1},
			"bert.pooler.dense": {1, 1}, "pre_classifier": {1, 1}}, nil},
		"layers_to_transform picks layers": {`{"r":1,"lora_alpha":1,"target_modules":["query"],"layers_to_transform":1}`, map[string]Rank{
			"bert.encoder.layer.1.attention.self.query": {1, 1}}, nil},
		"layers_pattern names the list": {`{"r":1,"lora_alpha":1,"target_modules":["query"],"layers_to_transform":[0],"layers_pattern":"layer"}`, map[string]Rank{
			"bert.encoder.layer.0.attention.self.query": {1, 1}}, nil},
		"exclude_modules wins": {`{"r":1,"lora_alpha":1,"target_modules":["query","dense"],"exclude_modules":".*pooler.*"}`, map[string]Rank{
			"bert.encoder.layer.0.attention.self.query": {1, 1}, "bert.encoder.layer.1.attention.self.query": {1, 1}, "bert.encoder.layer.1.output.dense": {1, 1}}, nil},
		"the first pattern that matches wins": {`{"r":4,"lora_alpha":4,"target_modules":["query"],"rank_pattern":{"layer\\.1\\..*query":8,"query":2},"alpha_pattern":{"query":16}}`, map[string]Rank{
			"bert.encoder.layer.0.attention.self.query": {2, 8}, "bert.encoder.layer.1.attention.self.query": {8, 2}}, nil},
		"rsLoRA divides by the root of the rank": {`{"r":4,"lora_alpha":8,"target_modules":["value"],"use_rslora":true}`, map[string]Rank{
			"bert.encoder.layer.0.attention.self.value": {4, 4}}, nil},
		"without targets it is the queries and values": {`{"r":1,"lora_alpha":1,"layers_to_transform":[0]}`, map[string]Rank{
			"bert.encoder.layer.0.attention.self.query": {1, 1}, "bert.encoder.layer.0.attention.self.value": {1, 1}}, nil},
		"modules_to_save means every name that ends so": {`{"r":1,"lora_alpha":1,"target_modules":["value"],"modules_to_save":["classifier","score"]}`, map[string]Rank{
			"bert.encoder.layer.0.attention.self.value": {1, 1}}, []string{"pre_classifier", "classifier"}},
	} {
		config, err := ParseConfig([]byte(strings.Replace(c.config, "{", `{"peft_type":"LORA",`, 1)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := config.Plan(bert)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, want := show(t, p.Ranks), show(t, c.ranks); got != want {
			t.Errorf("%s: targets %s, want %s", name, got, want)
		}
		if got, want := strings.Join(p.Saved, " "), strings.Join(c.saved, " "); got != want {
			t.Errorf("%s: saves %q, want %q", name, got, want)
		}
	}
}

func show(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestParseConfigRefuses(t *testing.T) {
	for name, c := range map[string]struct{ config, field string }{
		"what is no object":                  {`[]`, "adapter_config.json"},
		"null":                               {`null`, "adapter_config.json"},
		"another method":                     {`{"peft_type":"IA3","target_modules":["q"]}`, "peft_type"},
		"a rank of nothing":                  {`{"r":0,"target_modules":["q"]}`, "r"},
		"a rank that is text":                {`{"r":"8","target_modules":["q"]}`, "r"},
		"an alpha that is not finite":        {`{"lora_alpha":1e999,"target_modules":["q"]}`, "lora_alpha"},
		"a dropout of one":                   {`{"lora_dropout":1,"target_modules":["q"]}`, "lora_dropout"},
		"an unknown bias":                    {`{"bias":"some","target_modules":["q"]}`, "bias"},
		"a broken regular expression":        {`{"target_modules":"(("}`, "target_modules"},
		"a broken pattern":                   {`{"target_modules":["q"],"rank_pattern":{"((":2}}`, "rank_pattern"},
		"a pattern's rank of nothing":        {`{"target_modules":["q"],"rank_pattern":{"q":0}}`, "rank_pattern"},
		"GPT-2's transposed layers":          {`{"target_modules":["c_attn"],"fan_in_fan_out":true}`, "fan_in_fan_out"},
		"factors of a base that was changed": {`{"target_modules":["q"],"init_lora_weights":"pissa_niter_4"}`, "init_lora_weights"},
		"LoRA on bare parameters":            {`{"target_modules":["q"],"target_parameters":["w"]}`, "target_parameters"},
		"block-diagonal LoRA":                {`{"target_modules":["q"],"use_bdlora":{"nblocks":2}}`, "use_bdlora"},
		"trainable tokens":                   {`{"target_modules":["q"],"trainable_token_indices":[1]}`, "trainable_token_indices"},
		"layer replication":                  {`{"target_modules":["q"],"layer_replication":[[0,1]]}`, "layer_replication"},
	} {
		config := c.config
		if strings.HasPrefix(config, "{") && !strings.Contains(config, "peft_type") {
			config = strings.Replace(strings.Replace(config, "{", `{"peft_type":"LORA",`, 1), ",}", "}", 1)
		}
		_, err := ParseConfig([]byte(config))
		found := false
		for _, f := range invalid.Faults(err) {
			found = found || strings.HasPrefix(f.Field, c.field)
		}
		if !found {
			t.Errorf("refuses %s: %v, want a fault of %s", name, err, c.field)
		}
	}
}

func TestParseConfigReadsPublishedConfigs(t *testing.T) {
	dir := sharedtest.Data(t, "peft/hf_peft_configs")
	files, err := filepath.Glob(filepath.Join(dir, "*.adapter_config.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no configs: %v", err)
	}
	// Of the LoRA configs there these use what is not served.
	refused := map[string]string{"bdlora": "use_bdlora", "kasa": "kasa_config", "mica": "init_lora_weights"}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(f)
		want := "peft_type"
		if strings.HasPrefix(name, "lora__") {
			want = ""
			for part, field := range refused {
				if strings.Contains(name, part) {
					want = field
				}
			}
		}
		c, err := ParseConfig(b)
		faults := invalid.Faults(err)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case want != "" && (len(faults) == 0 || faults[0].Field != want):
			t.Errorf("%s: %v, want a fault of %s", name, err, want)
		case want == "":
			if again, err := ParseConfig(c.Marshal()); err != nil || show(t, again) != show(t, c) {
				t.Errorf("%s: does not survive being written and read: %v", name, err)
			}
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"peft_type":"LORA","r":8,"lora_alpha":16,"target_modules":["query"],"rank_pattern":{"q":4},"layers_to_transform":[0]}`))
	f.Add([]byte(`{"peft_type":"LORA","target_modules":"(a*)*b","exclude_modules":["x"],"modules_to_save":[""],"layers_pattern":["layer"]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseConfig(b)
		if err != nil {
			if !invalid.Is(err) {
				t.Fatalf("an error that is no fault: %v", err)
			}
			return
		}
		p, err := c.Plan(bert)
		if err != nil && !invalid.Is(err) {
			t.Fatalf("an error that is no fault: %v", err)
		}
		for path, r := range p.Ranks {
			if r.R < 1 {
				t.Fatalf("%s: rank %d", path, r.R)
			}
		}
		if _, err := ParseConfig(c.Marshal()); err != nil {
			t.Fatalf("what was accepted is refused when written: %v\n%s", err, c.Marshal())
		}
	})
}
