package arch

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/adapters/invalid"
	"lorikeet/inference/nn"
)

// DistilBERT is the half-depth BERT of Sanh et al. 2019: no token types, no pooler.
type DistilBERT struct {
	common
	Vocab         int     `json:"vocab_size"`
	Dim           int     `json:"dim"`
	Layers        int     `json:"n_layers"`
	Heads         int     `json:"n_heads"`
	FFN           int     `json:"hidden_dim"`
	Act           string  `json:"activation"`
	Positions     int     `json:"max_position_embeddings"`
	Drop          float64 `json:"dropout"`
	AttentionDrop float64 `json:"attention_dropout"`
	HeadDrop      float64 `json:"seq_classif_dropout"`

	labels  []string
	problem Problem
}

// distilEpsilon is fixed in the reference implementation, not configured.
const distilEpsilon = 1e-12

func openDistilBERT(config []byte) (Classifier, error) {
	m := DistilBERT{Act: "gelu", Drop: 0.1, AttentionDrop: 0.1, HeadDrop: 0.2}
	if err := json.Unmarshal(config, &m); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	errs := []error{positive(map[string]int{"vocab_size": m.Vocab, "dim": m.Dim, "n_layers": m.Layers,
		"n_heads": m.Heads, "hidden_dim": m.FFN, "max_position_embeddings": m.Positions})}
	if m.Heads > 0 && m.Dim%m.Heads != 0 {
		errs = append(errs, invalid.Field("n_heads", "dim %d is not a multiple of %d heads", m.Dim, m.Heads))
	}
	if _, ok := nn.Activations[m.Act]; !ok {
		errs = append(errs, invalid.Field("activation", "unknown activation %q", m.Act))
	}
	var err error
	if m.labels, m.problem, err = m.head(); err != nil {
		errs = append(errs, err)
	}
	return m, errors.Join(errs...)
}

// Logits implements Classifier.
func (m DistilBERT) Logits(root nn.Block, in Tokens) *Node {
	b, p := root.At("distilbert"), root.Pass()
	x := nn.Blank(m.embed(b.At("embeddings"), in), in.Mask)
	bias := nn.MaskBias(in.Mask)
	for i := range m.Layers {
		x = m.layer(b.At("transformer").At("layer").At(strconv.Itoa(i)), x, bias)
	}
	x = nn.Activate("relu", root.At("pre_classifier").Head(first(x), m.Dim))
	return root.At("classifier").Labels(p.Dropout(x, m.HeadDrop), len(m.labels))
}

func (m DistilBERT) embed(b nn.Block, in Tokens) *Node {
	x := b.At("word_embeddings").Embed(in.IDs, m.Vocab, m.Dim)
	position := SliceAxis(b.At("position_embeddings").Weight("weight", m.Positions, m.Dim), 0, AxisRange(0, in.IDs.Shape().Dim(1)))
	x = b.At("LayerNorm").Norm(Add(x, ExpandLeftToRank(position, 3)), distilEpsilon)
	return b.Pass().Dropout(x, m.Drop)
}

func (m DistilBERT) layer(b nn.Block, x, bias *Node) *Node {
	self := b.At("attention")
	y := nn.Attend(b.Pass(),
		self.At("q_lin").Linear(x, m.Dim, true),
		self.At("k_lin").Linear(x, m.Dim, true),
		self.At("v_lin").Linear(x, m.Dim, true),
		bias, m.Heads, m.AttentionDrop)
	x = b.At("sa_layer_norm").Norm(Add(x, self.At("out_lin").Linear(y, m.Dim, true)), distilEpsilon)

	y = nn.Activate(m.Act, b.At("ffn").At("lin1").Linear(x, m.FFN, true))
	y = b.Pass().Dropout(b.At("ffn").At("lin2").Linear(y, m.Dim, true), m.Drop)
	return b.At("output_layer_norm").Norm(Add(x, y), distilEpsilon)
}

// Facts implements Classifier.
func (m DistilBERT) Facts() Facts {
	return Facts{Family: "distilbert", Problem: m.problem, Labels: m.labels, MaxLength: m.Positions, Vocab: m.Vocab,
		Hidden: m.Dim, Layers: m.Layers, Targets: []string{"q_lin", "v_lin"},
		Heads: []string{"pre_classifier", "classifier"}}
}

// Rename implements Classifier. The masked-language-model head is left unread.
func (m DistilBERT) Rename(name string) string {
	name = oldNames.Replace(name)
	if strings.HasPrefix(name, "vocab_") || strings.HasSuffix(name, "embeddings.position_ids") {
		return ""
	}
	return withPrefix(name, "distilbert", "classifier", "pre_classifier")
}

// WithDropout implements Classifier.
func (m DistilBERT) WithDropout(rate float64) Classifier {
	m.Drop, m.AttentionDrop, m.HeadDrop = rate, rate, rate
	return m
}

// WithLabels implements Classifier.
func (m DistilBERT) WithLabels(labels []string, problem Problem) Classifier {
	m.labels, m.problem = labels, problem
	return m
}
