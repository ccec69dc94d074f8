package adapters

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// Origin is what a version was made from and how. It is part of the version's record and,
// like it, never changes. Versions that were registered before there were origins have
// none.
type Origin struct {
	BaseSource      string    `json:"base_source,omitempty"`      // hf:… or builtin:…; a folder of the server is nobody's business
	TokenizerDigest string    `json:"tokenizer_digest,omitempty"` // of the base's tokenizer; empty: part of the base's own digest
	BaseLicense     string    `json:"base_license,omitempty"`     // as the base's README.md says; empty: it does not
	Task            string    `json:"task,omitempty"`
	Problem         string    `json:"problem_type,omitempty"`
	Training        *Training `json:"training,omitempty"` // nil: made elsewhere, or merged
	Merged          *Merging  `json:"merged,omitempty"`   // nil: it was trained
	Software        string    `json:"software,omitempty"` // what made it
}

// Training is how a version was taught.
type Training struct {
	Kind            string          `json:"kind" example:"lora"`
	Method          string          `json:"method,omitempty" example:"lora"` // of an instruction tune
	Hyperparameters json.RawMessage `json:"hyperparameters,omitempty" swaggertype:"object"`
	LoRA            json.RawMessage `json:"lora,omitempty" swaggertype:"object"`
	Dataset         Rows            `json:"dataset"`
	Validation      *Rows           `json:"validation,omitempty"`
	Steps           int             `json:"steps" example:"183"`
} // @name PassportTraining

// Rows are the rows that a version was taught with, or measured on.
type Rows struct {
	Digest string `json:"digest,omitempty" example:"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"` // of the canonical rows, JSON lines
	// Source is where they came from, without the rows themselves: {"id": …}, {"hf": …,
	// "split": …} or {"split": 0.1}.
	Source json.RawMessage `json:"source,omitempty" swaggertype:"object"`
} // @name PassportRows

// Passport tells all that is known of a version: what it is, what it fits, what it was
// made from. It is its record, ordered for a reader.
type Passport struct {
	Name      string             `json:"name" example:"imdb"`
	Version   int                `json:"version" example:"3"`
	Digest    string             `json:"digest" example:"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	Kind      string             `json:"kind" example:"adapter" enums:"adapter,variant"`
	Base      Fingerprint        `json:"base"`
	Task      string             `json:"task,omitempty" example:"text-classification"`
	Problem   string             `json:"problem_type,omitempty" example:"single_label_classification"`
	Labels    []string           `json:"labels" example:"negative,positive"`
	Template  string             `json:"template,omitempty" example:"chat"`
	Rank      int                `json:"rank,omitempty" example:"8"`
	Targets   []string           `json:"target_modules" example:"query,value"`
	Training  *Training          `json:"training,omitempty"`
	Merged    *Merging           `json:"merged,omitempty"`
	Gate      *Gate              `json:"gate,omitempty"`
	Metrics   map[string]float64 `json:"metrics" example:"eval_accuracy:0.9"`
	Job       string             `json:"job,omitempty" example:"job_k3v9"`
	Source    string             `json:"source,omitempty" example:"upload"`
	Files     map[string]File    `json:"files"`
	Software  string             `json:"software,omitempty" example:"lorikeet 0.1.0"`
	CreatedAt time.Time          `json:"created_at"`
} // @name Passport

// Fingerprint tells which base a version was made for. Where one of its digests is not
// the loaded base's, the version is refused.
type Fingerprint struct {
	Name            string `json:"name" example:"bert"`
	Source          string `json:"source,omitempty" example:"hf:google-bert/bert-base-uncased"`
	Digest          string `json:"digest" example:"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"` // of config.json and every tensor
	TokenizerDigest string `json:"tokenizer_digest,omitempty" example:"sha256:fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9"`
	License         string `json:"license,omitempty" example:"apache-2.0"`
} // @name BaseFingerprint

// Passport of a version.
func (v Version) Passport() Passport {
	o := v.Origin
	if o == nil {
		o = &Origin{}
	}
	p := Passport{Name: v.Name, Version: v.Version, Digest: v.Digest, Kind: v.Kind,
		Base: Fingerprint{Name: v.Base, Source: o.BaseSource, Digest: v.BaseDigest, TokenizerDigest: o.TokenizerDigest, License: o.BaseLicense},
		Task: o.Task, Problem: o.Problem, Labels: slices.Clone(v.Labels), Template: v.Template, Rank: v.Rank, Targets: slices.Clone(v.Targets),
		Training: o.Training, Merged: o.Merged, Gate: v.Gate, Metrics: maps.Clone(v.Metrics), Job: v.Job, Source: v.Source, Files: maps.Clone(v.Files), Software: o.Software, CreatedAt: v.CreatedAt}
	if p.Labels == nil {
		p.Labels = []string{}
	}
	if p.Targets == nil {
		p.Targets = []string{}
	}
	if p.Metrics == nil {
		p.Metrics = map[string]float64{}
	}
	if p.Files == nil {
		p.Files = map[string]File{}
	}
	if scheme, _, _ := strings.Cut(p.Source, ":"); scheme == "file" {
		p.Source = scheme
	}
	return p
}

// PublicSource is a base's source where it names something that others can fetch; the
// folder of a server is left out.
func PublicSource(source string) string {
	if strings.HasPrefix(source, "hf:") || strings.HasPrefix(source, "builtin:") {
		return source
	}
	return ""
}
