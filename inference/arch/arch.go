// Package arch holds the model families, one file each, in the order a tensor
// travels. A family's config struct carries the JSON names of config.json, and its
// walk carries the weight names of the Hugging Face checkpoint: there is no table
// from their names to ours, because ours are theirs.
package arch

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/adapters/invalid"
	"lorikeet/inference/nn"
)

// Tokens is a batch of encoded texts, each [batch, length] int32. Mask is 1 for a
// token and 0 for padding, which is on the right. Types tells the first text of a
// pair (0) from the second (1).
type Tokens struct{ IDs, Mask, Types *Node }

// Classifier is a model that scores a text.
type Classifier interface {
	// Logits is the whole forward pass, → [batch, labels] (see nn.Block.Labels).
	Logits(root nn.Block, in Tokens) *Node
	// Facts tells what the rest of the service needs to know.
	Facts() Facts
	// Rename maps a tensor name of a checkpoint to the name the walk asks for. An
	// empty result means a tensor that this model knowingly leaves unread.
	Rename(name string) string
	// WithDropout is the same model with every dropout of config.json at rate.
	WithDropout(rate float64) Classifier
	// WithLabels is the same model with a head for these labels.
	WithLabels(labels []string, problem Problem) Classifier
}

// Problem is what the logits mean, in the words of config.json.
type Problem string

// The problems there are.
const (
	SingleLabel Problem = "single_label_classification"
	MultiLabel  Problem = "multi_label_classification"
	Regression  Problem = "regression"
)

// Facts are the parts of a configuration that matter outside its family.
type Facts struct {
	Family    string   // model_type
	Problem   Problem  // of the base's own head
	Labels    []string // in the order of the logits; empty: the base has no head
	MaxLength int      // tokens
	Vocab     int
	Hidden    int
	Layers    int
	Targets   []string // what LoRA targets unless told otherwise, as PEFT does
	Heads     []string // what an adapter saves whole unless told otherwise
}

// Open reads config.json.
func Open(config []byte) (Classifier, error) {
	var c common
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	switch c.ModelType {
	case "bert":
		return openBERT(config)
	case "roberta":
		return openRoBERTa(config)
	case "distilbert":
		return openDistilBERT(config)
	case "":
		return nil, invalid.Field("model_type", "config.json does not name a model_type; known: %s", strings.Join(Families, ", "))
	}
	return nil, invalid.Field("model_type", "%q is not a model this version serves; known: %s", c.ModelType,
		strings.Join(slices.Concat(Families, Seq2SeqFamilies, CausalFamilies), ", "))
}

// Families lists the values of model_type that Open knows.
var Families = []string{"bert", "distilbert", "roberta"}

// common holds what every config.json shares.
type common struct {
	ModelType     string            `json:"model_type"`
	Architectures []string          `json:"architectures"`
	ID2Label      map[string]string `json:"id2label"`
	NumLabels     int               `json:"num_labels"`
	ProblemType   Problem           `json:"problem_type"`
}

// head tells whether the checkpoint has a classification head, and its labels. The
// class name in architectures decides: transformers fills in two labels for every
// model.
func (c common) head() ([]string, Problem, error) {
	classifies := slices.ContainsFunc(c.Architectures, func(a string) bool {
		return strings.HasSuffix(a, "ForSequenceClassification")
	})
	if !classifies {
		return nil, "", nil
	}
	labels, err := c.labels()
	if err != nil {
		return nil, "", err
	}
	problem := c.ProblemType
	switch problem {
	case SingleLabel, MultiLabel, Regression:
	case "":
		problem = SingleLabel
		if len(labels) == 1 {
			problem = Regression
		}
	default:
		return nil, "", invalid.Field("problem_type", "unknown problem_type %q", problem)
	}
	return labels, problem, nil
}

func (c common) labels() ([]string, error) {
	if len(c.ID2Label) == 0 {
		n := c.NumLabels
		if n == 0 {
			n = 2 // transformers' default
		}
		labels := make([]string, n)
		for i := range labels {
			labels[i] = fmt.Sprintf("LABEL_%d", i)
		}
		return labels, nil
	}
	labels := make([]string, len(c.ID2Label))
	keys := make([]string, 0, len(c.ID2Label))
	for k := range c.ID2Label {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		i, err := strconv.Atoi(k)
		if err != nil || i < 0 || i >= len(labels) {
			return nil, invalid.Field("id2label", "key %q is not a label number below %d", k, len(labels))
		}
		labels[i] = c.ID2Label[k]
	}
	return labels, nil
}

// positive reports the first field of a configuration that is not above zero.
func positive(fields map[string]int) error {
	var errs []error
	for name, v := range fields {
		if v <= 0 {
			errs = append(errs, invalid.Field(name, "config.json needs %s above 0, has %d", name, v))
		}
	}
	return errors.Join(errs...)
}

// withPrefix adds the prefix that a checkpoint of the bare encoder leaves out.
func withPrefix(name, prefix string, heads ...string) string {
	if strings.HasPrefix(name, prefix+".") {
		return name
	}
	for _, h := range heads {
		if strings.HasPrefix(name, h+".") {
			return name
		}
	}
	return prefix + "." + name
}

// oldNames are the names that TensorFlow-era checkpoints (bert-base-uncased among
// them) give to the parameters of a layer norm.
var oldNames = strings.NewReplacer("LayerNorm.gamma", "LayerNorm.weight", "LayerNorm.beta", "LayerNorm.bias")
