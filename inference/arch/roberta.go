package arch

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/adapters/invalid"
	"lorikeet/inference/nn"
)

// RoBERTa is BERT's encoder with positions that count from the padding id, no
// pooler, and a two-layer head (Liu et al. 2019).
type RoBERTa struct {
	BERT
	Pad int `json:"pad_token_id"`
}

func openRoBERTa(config []byte) (Classifier, error) {
	m := RoBERTa{BERT: BERT{Types: 1, Epsilon: 1e-5, Act: "gelu", HiddenDrop: 0.1, AttentionDrop: 0.1}, Pad: 1}
	if err := json.Unmarshal(config, &m); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	if m.Pad < 0 || m.Positions <= m.Pad+1 {
		return nil, invalid.Field("max_position_embeddings", "%d leaves no position after pad_token_id %d", m.Positions, m.Pad)
	}
	var err error
	m.BERT, err = m.check()
	return m, err
}

// Logits implements Classifier.
func (m RoBERTa) Logits(root nn.Block, in Tokens) *Node {
	b := root.At("roberta")
	p := root.Pass()
	x := first(m.encode(b, m.embed(b.At("embeddings"), in), in.Mask))
	head := root.At("classifier")
	x = Tanh(head.At("dense").Head(p.Dropout(x, m.headDrop()), m.Dim))
	return head.At("out_proj").Labels(p.Dropout(x, m.headDrop()), len(m.labels))
}

// embed differs from BERT's in the positions: a token's is its number among the
// tokens that are not padding, plus the padding id.
func (m RoBERTa) embed(b nn.Block, in Tokens) *Node {
	x := b.At("word_embeddings").Embed(in.IDs, m.Vocab, m.Dim)
	x = Add(x, b.At("token_type_embeddings").Embed(m.types(in), m.Types, m.Dim))
	table := b.At("position_embeddings").Weight("weight", m.Positions, m.Dim)
	x = Add(x, Gather(table, ExpandAxes(m.positions(in.IDs), -1)))
	return b.Pass().Dropout(b.At("LayerNorm").Norm(x, m.Epsilon), m.HiddenDrop)
}

// positions counts with a product by a triangle of ones, which is exact in float32
// and which both backends have (neither is quick at a running sum).
func (m RoBERTa) positions(ids *Node) *Node {
	g, length := ids.Graph(), ids.Shape().Dim(1)
	real := ConvertDType(NotEqual(ids, Scalar(g, dtypes.Int32, m.Pad)), dtypes.Float32)
	square := shapes.Make(dtypes.Int32, length, length)
	upTo := ConvertDType(LessOrEqual(Iota(g, square, 0), Iota(g, square, 1)), dtypes.Float32)
	count := ConvertDType(Einsum("bi,ij->bj", real, upTo), dtypes.Int32)
	count = Mul(count, ConvertDType(real, dtypes.Int32))
	// Padding to a bucket may run past the table; those positions are masked.
	return MinScalar(AddScalar(count, float64(m.Pad)), float64(m.Positions-1))
}

// types are all 0 where there is only one type, as in every published RoBERTa.
func (m RoBERTa) types(in Tokens) *Node {
	if m.Types == 1 {
		return ZerosLike(in.Types)
	}
	return in.Types
}

// Facts implements Classifier.
func (m RoBERTa) Facts() Facts {
	f := m.BERT.Facts()
	f.Family = "roberta"
	f.MaxLength = m.Positions - m.Pad - 1
	return f
}

// Rename implements Classifier. The language-model head is left unread, and so is
// the pooler, which RobertaForSequenceClassification does not have.
func (m RoBERTa) Rename(name string) string {
	name = oldNames.Replace(name)
	switch {
	case strings.HasPrefix(name, "lm_head."), strings.HasSuffix(name, "embeddings.position_ids"),
		strings.HasPrefix(name, "roberta.pooler."), strings.HasPrefix(name, "pooler."):
		return ""
	}
	return withPrefix(name, "roberta", "classifier")
}

// WithDropout implements Classifier.
func (m RoBERTa) WithDropout(rate float64) Classifier {
	m.BERT = m.BERT.WithDropout(rate).(BERT)
	return m
}

// WithLabels implements Classifier.
func (m RoBERTa) WithLabels(labels []string, problem Problem) Classifier {
	m.BERT = m.BERT.WithLabels(labels, problem).(BERT)
	return m
}
