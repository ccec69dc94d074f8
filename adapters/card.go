package adapters

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// CardFile is the model card that every version has. It is written from the record when
// it is asked for, and is no part of the version's digest: two names for the same weights
// have cards of their own.
const CardFile = "README.md"

// cardHead is the front matter of a model card, in the hub's fields.
type cardHead struct {
	Base     string     `yaml:"base_model"`
	Relation string     `yaml:"base_model_relation"` // adapter | finetune
	Library  string     `yaml:"library_name"`
	Pipeline string     `yaml:"pipeline_tag,omitempty"`
	Tags     []string   `yaml:"tags"`
	Metrics  []string   `yaml:"metrics,omitempty"`
	Index    []cardPart `yaml:"model-index,omitempty"`
}

type cardPart struct {
	Name    string       `yaml:"name"`
	Results []cardResult `yaml:"results"`
}

type cardResult struct {
	Task    cardTyped    `yaml:"task"`
	Dataset cardTyped    `yaml:"dataset"`
	Metrics []cardMetric `yaml:"metrics"`
}

type cardTyped struct {
	Type string `yaml:"type"`
	Name string `yaml:"name,omitempty"`
}

type cardMetric struct {
	Type  string  `yaml:"type"`
	Value float64 `yaml:"value"`
	Name  string  `yaml:"name"`
}

// Card is the version's model card as the Hugging Face hub reads it: front matter with
// base_model, tags and measured results (model-index), then text.
func (v Version) Card() []byte { return v.Passport().card(false) }

// MergedCard is the card of the version folded into its base, which is a model of its own.
func (v Version) MergedCard() []byte { return v.Passport().card(true) }

func (p Passport) card(merged bool) []byte {
	var b bytes.Buffer
	b.WriteString("---\n")
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(p.head(merged || p.Kind == KindVariant)), e.Close()); err != nil {
		panic(err) // strings and numbers encode
	}
	b.WriteString("---\n\n")
	p.text(&b, merged)
	return b.Bytes()
}

// repository is the base as the hub knows it, or else the name it is served under.
func (p Passport) repository() string {
	repo, found := strings.CutPrefix(p.Base.Source, "hf:")
	if !found {
		return p.Base.Name
	}
	repo, _, _ = strings.Cut(repo, "@")
	return repo
}

func (p Passport) head(whole bool) cardHead {
	h := cardHead{Base: p.repository(), Relation: "adapter", Library: "peft", Pipeline: p.Task,
		Tags: []string{"base_model:adapter:" + p.repository(), "lora", "lorikeet"}}
	if whole {
		h.Relation, h.Library = "finetune", "transformers"
		h.Tags = []string{"base_model:finetune:" + p.repository(), "lorikeet"}
	}
	measured := p.measured()
	for _, m := range measured {
		if !slices.Contains(h.Metrics, m.Type) && m.Type != "loss" {
			h.Metrics = append(h.Metrics, m.Type)
		}
	}
	if len(measured) > 0 && p.Task != "" {
		h.Index = []cardPart{{Name: p.Name, Results: []cardResult{{Task: cardTyped{Type: p.Task}, Dataset: p.evaluated(), Metrics: measured}}}}
	}
	return h
}

// measured are the metrics of the rows held back, under the hub's names.
func (p Passport) measured() []cardMetric {
	var all []cardMetric
	for _, k := range slices.Sorted(maps.Keys(p.Metrics)) {
		name, ok := strings.CutPrefix(k, "eval_")
		if !ok || name == "samples" {
			continue
		}
		typ := name
		if strings.HasPrefix(name, "rouge") {
			typ = "rouge"
		}
		all = append(all, cardMetric{Type: typ, Value: p.Metrics[k], Name: name})
	}
	return all
}

// evaluated names the rows that the results are of.
func (p Passport) evaluated() cardTyped {
	d := cardTyped{Type: "rows", Name: "rows held back"}
	if p.Training == nil {
		return d
	}
	for _, rows := range []*Rows{p.Training.Validation, &p.Training.Dataset} {
		if rows == nil {
			continue
		}
		var s struct {
			ID    string          `json:"id"`
			HF    string          `json:"hf"`
			Split json.RawMessage `json:"split"`
		}
		if json.Unmarshal(rows.Source, &s) != nil {
			continue
		}
		switch {
		case s.HF != "":
			repo, _, _ := strings.Cut(s.HF, "@")
			return cardTyped{Type: repo, Name: repo}
		case s.ID != "":
			return cardTyped{Type: s.ID, Name: s.ID}
		}
	}
	return d
}

// text is the part of the card for people.
func (p Passport) text(b *bytes.Buffer, merged bool) {
	line := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	line("# %s, version %d\n", p.Name, p.Version)
	if p.Kind == KindVariant {
		line("A full fine-tune of `%s`.", p.repository())
	} else {
		folded := ""
		if merged {
			folded = ", folded into its weights"
		}
		line("A LoRA adapter of rank %d on %s for `%s`%s.", p.Rank, code(p.Targets), p.repository(), folded)
	}
	line("\n| | |\n|---|---|")
	for _, row := range p.table() {
		if row[1] != "" {
			line("| %s | %s |", row[0], row[1])
		}
	}
	if len(p.Labels) > 0 {
		line("\n## Labels\n")
		for i, l := range p.Labels {
			line("%d. %s", i, cell(l))
		}
	}
	if len(p.Metrics) > 0 {
		line("\n## Measured\n\n| metric | value |\n|---|---|")
		for _, k := range slices.Sorted(maps.Keys(p.Metrics)) {
			line("| %s | %.6g |", cell(k), p.Metrics[k])
		}
	}
	if t := p.Training; t != nil {
		line("\n## Training\n\n| | |\n|---|---|\n| kind | %s |\n| steps | %d |", t.Kind, t.Steps)
		if t.Dataset.Digest != "" {
			line("| rows | `%s` |", t.Dataset.Digest)
		}
		if t.Validation != nil && t.Validation.Digest != "" {
			line("| rows held back | `%s` |", t.Validation.Digest)
		}
		for _, raw := range []json.RawMessage{t.Hyperparameters, t.LoRA} {
			var m map[string]json.RawMessage
			if json.Unmarshal(raw, &m) == nil {
				for _, k := range slices.Sorted(maps.Keys(m)) {
					line("| %s | %s |", cell(k), cell(string(m[k])))
				}
			}
		}
	}
}

func (p Passport) table() [][2]string {
	digest := func(s string) string {
		if s == "" {
			return ""
		}
		return "`" + s + "`"
	}
	return [][2]string{
		{"digest", digest(p.Digest)}, {"base, configuration and weights", digest(p.Base.Digest)}, {"base, tokenizer", digest(p.Base.TokenizerDigest)},
		{"licence of the base", cell(p.Base.License)}, {"problem", p.Problem}, {"prompt template", cell(p.Template)},
		{"job", p.Job}, {"made by", cell(p.Software)}, {"made at", p.CreatedAt.Format("2006-01-02 15:04:05 MST")},
	}
}

// cell keeps what callers named from breaking a table, or being read as markup.
func cell(s string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "\n", " ", "\r", " ", "<", "&lt;", "`", "'", "[", "\\[").Replace(s)
}

func code(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = "`" + cell(n) + "`"
	}
	return strings.Join(quoted, ", ")
}
