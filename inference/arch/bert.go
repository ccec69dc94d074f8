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

// BERT is the encoder of Devlin et al. 2018 with a classification head on its
// pooler, as transformers' BertForSequenceClassification.
type BERT struct {
	common
	Vocab         int      `json:"vocab_size"`
	Dim           int      `json:"hidden_size"`
	Layers        int      `json:"num_hidden_layers"`
	Heads         int      `json:"num_attention_heads"`
	FFN           int      `json:"intermediate_size"`
	Act           string   `json:"hidden_act"`
	Positions     int      `json:"max_position_embeddings"`
	Types         int      `json:"type_vocab_size"`
	Epsilon       float64  `json:"layer_norm_eps"`
	HiddenDrop    float64  `json:"hidden_dropout_prob"`
	AttentionDrop float64  `json:"attention_probs_dropout_prob"`
	HeadDrop      *float64 `json:"classifier_dropout"`
	PositionType  string   `json:"position_embedding_type"`

	labels  []string
	problem Problem
}

func openBERT(config []byte) (Classifier, error) {
	m := BERT{Types: 2, Epsilon: 1e-12, Act: "gelu", HiddenDrop: 0.1, AttentionDrop: 0.1}
	if err := json.Unmarshal(config, &m); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	return m.check()
}

func (m BERT) check() (BERT, error) {
	errs := []error{positive(map[string]int{"vocab_size": m.Vocab, "hidden_size": m.Dim, "num_hidden_layers": m.Layers,
		"num_attention_heads": m.Heads, "intermediate_size": m.FFN, "max_position_embeddings": m.Positions, "type_vocab_size": m.Types})}
	if m.Heads > 0 && m.Dim%m.Heads != 0 {
		errs = append(errs, invalid.Field("num_attention_heads", "hidden_size %d is not a multiple of %d heads", m.Dim, m.Heads))
	}
	if _, ok := nn.Activations[m.Act]; !ok {
		errs = append(errs, invalid.Field("hidden_act", "unknown activation %q", m.Act))
	}
	if m.PositionType != "" && m.PositionType != "absolute" {
		errs = append(errs, invalid.Field("position_embedding_type", "%q is not supported, only absolute", m.PositionType))
	}
	var err error
	if m.labels, m.problem, err = m.head(); err != nil {
		errs = append(errs, err)
	}
	return m, errors.Join(errs...)
}

// Logits implements Classifier.
func (m BERT) Logits(root nn.Block, in Tokens) *Node {
	b := root.At("bert")
	x := m.encode(b, m.embed(b.At("embeddings"), in), in.Mask)
	x = Tanh(b.At("pooler").At("dense").Linear(first(x), m.Dim, true))
	x = root.Pass().Dropout(x, m.headDrop())
	return root.At("classifier").Labels(x, len(m.labels))
}

// embed sums word, position and type embeddings → [batch, length, dim].
func (m BERT) embed(b nn.Block, in Tokens) *Node {
	length := in.IDs.Shape().Dim(1)
	x := b.At("word_embeddings").Embed(in.IDs, m.Vocab, m.Dim)
	x = Add(x, b.At("token_type_embeddings").Embed(in.Types, m.Types, m.Dim))
	position := SliceAxis(b.At("position_embeddings").Weight("weight", m.Positions, m.Dim), 0, AxisRange(0, length))
	x = Add(x, ExpandLeftToRank(position, 3))
	return b.Pass().Dropout(b.At("LayerNorm").Norm(x, m.Epsilon), m.HiddenDrop)
}

// encode is the stack of layers; RoBERTa has the same.
func (m BERT) encode(b nn.Block, x, mask *Node) *Node {
	bias := nn.MaskBias(mask)
	x = nn.Blank(x, mask)
	for i := range m.Layers {
		x = m.layer(b.At("encoder").At("layer").At(strconv.Itoa(i)), x, bias)
	}
	return x
}

func (m BERT) layer(b nn.Block, x, bias *Node) *Node {
	self := b.At("attention").At("self")
	y := nn.Attend(b.Pass(),
		self.At("query").Linear(x, m.Dim, true),
		self.At("key").Linear(x, m.Dim, true),
		self.At("value").Linear(x, m.Dim, true),
		bias, m.Heads, m.AttentionDrop)
	x = m.residual(b.At("attention").At("output"), x, y)

	y = nn.Activate(m.Act, b.At("intermediate").At("dense").Linear(x, m.FFN, true))
	return m.residual(b.At("output"), x, y)
}

// residual is the post-norm of BERT: norm(x + dense(y)).
func (m BERT) residual(b nn.Block, x, y *Node) *Node {
	y = b.Pass().Dropout(b.At("dense").Linear(y, m.Dim, true), m.HiddenDrop)
	return b.At("LayerNorm").Norm(Add(x, y), m.Epsilon)
}

func (m BERT) headDrop() float64 {
	if m.HeadDrop != nil {
		return *m.HeadDrop
	}
	return m.HiddenDrop
}

// first takes the vector of the first token: [batch, length, dim] → [batch, dim].
func first(x *Node) *Node { return Reshape(SliceAxis(x, 1, AxisElem(0)), x.Shape().Dim(0), -1) }

// Facts implements Classifier.
func (m BERT) Facts() Facts {
	return Facts{Family: "bert", Problem: m.problem, Labels: m.labels, MaxLength: m.Positions, Vocab: m.Vocab,
		Hidden: m.Dim, Layers: m.Layers, Targets: []string{"query", "value"}, Heads: []string{"classifier"}}
}

// Rename implements Classifier. The heads of pre-training are left unread.
func (m BERT) Rename(name string) string {
	name = oldNames.Replace(name)
	if strings.HasPrefix(name, "cls.") || strings.HasSuffix(name, "embeddings.position_ids") {
		return ""
	}
	return withPrefix(name, "bert", "classifier")
}

// WithDropout implements Classifier.
func (m BERT) WithDropout(rate float64) Classifier {
	m.HiddenDrop, m.AttentionDrop, m.HeadDrop = rate, rate, &rate
	return m
}

// WithLabels implements Classifier.
func (m BERT) WithLabels(labels []string, problem Problem) Classifier {
	m.labels, m.problem = labels, problem
	return m
}
