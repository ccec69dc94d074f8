package adapters

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"lorikeet/adapters/sharedtest"
)

// taught is a version that a job made.
func taught() Version {
	return Version{Ref: Ref{Name: "imdb", Version: 3, Digest: "sha256:1"}, Kind: KindAdapter, Base: "bert", BaseDigest: "sha256:2",
		Rank: 8, Targets: []string{"query", "value"}, Labels: []string{"bad | worse", "<b>good</b>"}, Job: "job_1",
		Metrics: map[string]float64{"eval_accuracy": .9, "eval_loss": .3, "eval_samples": 10, "train_loss": .4, "eval_rougeL": .5, "eval_rouge1": .6},
		Origin: &Origin{BaseSource: "hf:google-bert/bert-base-uncased@main", TokenizerDigest: "sha256:3", BaseLicense: "apache-2.0", Task: "text-classification",
			Problem: "single_label_classification", Training: &Training{Kind: "lora", Steps: 12, Hyperparameters: json.RawMessage(`{"epochs":3}`),
				Dataset: Rows{Digest: "sha256:4", Source: json.RawMessage(`{"hf":"stanfordnlp/imdb@x","split":"train"}`)}, Validation: &Rows{Digest: "sha256:5", Source: json.RawMessage(`{"split":0.1}`)}}},
		CreatedAt: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)}
}

func TestTheCardIsWhatTheHubReads(t *testing.T) {
	parts := strings.SplitN(string(taught().Card()), "---\n", 3)
	if len(parts) != 3 || parts[0] != "" {
		t.Fatalf("no front matter: %q", parts)
	}
	var head struct {
		Base    string   `yaml:"base_model"`
		Library string   `yaml:"library_name"`
		Tags    []string `yaml:"tags"`
		Metrics []string `yaml:"metrics"`
		Index   []struct {
			Results []struct {
				Dataset struct{ Type, Name string }
				Metrics []struct {
					Type  string
					Value float64
				}
			}
		} `yaml:"model-index"`
	}
	if err := yaml.Unmarshal([]byte(parts[1]), &head); err != nil {
		t.Fatal(err)
	}
	if head.Base != "google-bert/bert-base-uncased" || head.Library != "peft" || strings.Join(head.Metrics, " ") != "accuracy rouge" || head.Tags[1] != "lora" {
		t.Errorf("the front matter is %+v", head)
	}
	r := head.Index[0].Results[0]
	if r.Dataset.Type != "stanfordnlp/imdb" || len(r.Metrics) != 4 || r.Metrics[0].Type != "accuracy" || r.Metrics[0].Value != .9 {
		t.Errorf("the results are %+v", r)
	}
	for _, want := range []string{"# imdb, version 3", "rank 8 on `query`, `value`", "apache-2.0", "`sha256:3`", "0. bad \\| worse", "1. &lt;b>good", "| epochs | 3 |", "| rows held back | `sha256:5` |"} {
		if !strings.Contains(parts[2], want) {
			t.Errorf("the text lacks %q:\n%s", want, parts[2])
		}
	}
}

func TestAPassportOfAnOldRecord(t *testing.T) {
	v := taught()
	v.Origin, v.Source, v.Labels = nil, "file:/srv/secret/imdb", nil
	p := v.Passport()
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if p.Base.Digest != "sha256:2" || p.Training != nil || strings.Contains(string(b), "secret") || strings.Contains(string(b), "null") {
		t.Errorf("%s", b)
	}
	if card := string(v.MergedCard()); !strings.Contains(card, "library_name: transformers") || !strings.Contains(card, "folded into its weights") {
		t.Errorf("%s", card)
	}
	v.Kind = KindVariant
	if card := string(v.Card()); !strings.Contains(card, "library_name: transformers") || strings.Contains(card, "model-index") {
		t.Errorf("%s", card)
	}
}

// The hub's own library reads the card, and checks it by its rules.
func TestTheHubsLibraryReadsTheCard(t *testing.T) {
	python := sharedtest.Python(t, "huggingface_hub", "yaml")
	path := filepath.Join(t.TempDir(), CardFile)
	if err := os.WriteFile(path, taught().Card(), 0o600); err != nil {
		t.Fatal(err)
	}
	const script = `
import sys
from huggingface_hub import ModelCard
d = ModelCard.load(sys.argv[1]).data
r = {e.metric_type: e.metric_value for e in d.eval_results}
print(d.base_model, d.library_name, r["accuracy"], d.eval_results[0].dataset_type)
`
	out, err := exec.CommandContext(t.Context(), python, "-c", script, path).CombinedOutput()
	if want := "google-bert/bert-base-uncased peft 0.9 stanfordnlp/imdb\n"; err != nil || string(out) != want {
		t.Errorf("%v: %s", err, out)
	}
}
