package arch

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/adapters/invalid"
	"lorikeet/inference/nn"
)

// T5 is the encoder-decoder of Raffel et al. 2020, as transformers'
// T5ForConditionalGeneration: version 1.0 (one matrix into the ReLU, output tied to
// the embedding and scaled), version 1.1 with its child Flan-T5 (gated GELU, an output
// layer of its own) and mT5 (Xue et al. 2021), which is version 1.1 in more languages.
type T5 struct {
	common
	Vocab         int      `json:"vocab_size"`
	Dim           int      `json:"d_model"`
	HeadDim       int      `json:"d_kv"`
	FFN           int      `json:"d_ff"`
	Layers        int      `json:"num_layers"`
	DecoderLayers int      `json:"num_decoder_layers"`
	Heads         int      `json:"num_heads"`
	Buckets       int      `json:"relative_attention_num_buckets"`
	MaxDistance   int      `json:"relative_attention_max_distance"`
	Drop          float64  `json:"dropout_rate"`
	Epsilon       float64  `json:"layer_norm_epsilon"`
	Projection    string   `json:"feed_forward_proj"`
	Tie           *bool    `json:"tie_word_embeddings"`
	ScaleOutputs  *bool    `json:"scale_decoder_outputs"`
	Positions     int      `json:"n_positions"`
	Pad           int32    `json:"pad_token_id"`
	Start         *int32   `json:"decoder_start_token_id"`
	EOS           TokenIDs `json:"eos_token_id"`

	act   string
	gated bool
	head  bool // an output layer of its own
	scale float64
}

// maxDistance bounds what a config may ask for: the graph holds a table of that length.
const maxDistance = 1 << 16

func openT5(config []byte) (Seq2Seq, error) {
	m := T5{Buckets: 32, MaxDistance: 128, Drop: 0.1, Epsilon: 1e-6, Positions: 512, EOS: TokenIDs{1}}
	if err := json.Unmarshal(config, &m); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	if m.DecoderLayers == 0 {
		m.DecoderLayers = m.Layers
	}
	if m.Start == nil {
		m.Start = &m.Pad
	}
	errs := []error{positive(map[string]int{"vocab_size": m.Vocab, "d_model": m.Dim, "d_kv": m.HeadDim, "d_ff": m.FFN, "num_layers": m.Layers,
		"num_decoder_layers": m.DecoderLayers, "num_heads": m.Heads, "n_positions": m.Positions}),
		inVocabulary("pad_token_id", m.Vocab, m.Pad), inVocabulary("decoder_start_token_id", m.Vocab, *m.Start),
		inVocabulary("eos_token_id", m.Vocab, m.EOS...)}
	if m.Buckets < 4 || m.Buckets%4 != 0 {
		errs = append(errs, invalid.Field("relative_attention_num_buckets", "%d is not a multiple of 4", m.Buckets))
	} else if m.MaxDistance <= m.Buckets/2 || m.MaxDistance > maxDistance {
		errs = append(errs, invalid.Field("relative_attention_max_distance", "%d is not between half the buckets, %d, and %d", m.MaxDistance, m.Buckets/2, maxDistance))
	}
	if err := m.activation(); err != nil {
		errs = append(errs, err)
	}
	m.output()
	return m, errors.Join(errs...)
}

// activation reads "relu" or "gated-gelu"; the latter has always meant the
// approximation by tanh.
func (m *T5) activation() error {
	proj := m.Projection
	if proj == "" {
		proj = map[string]string{"t5": "relu", "mt5": "gated-gelu"}[m.ModelType]
	}
	m.act, m.gated = strings.CutPrefix(proj, "gated-")
	if proj == "gated-gelu" {
		m.act = "gelu_new"
	}
	if _, ok := nn.Activations[m.act]; !ok {
		return invalid.Field("feed_forward_proj", "unknown activation %q", m.Projection)
	}
	return nil
}

// output tells apart the two layouts of config.json. Up to transformers 4,
// tie_word_embeddings=false means two things: an output layer of its own, and states
// that are not scaled before it. From 5 on the second has a name of its own,
// scale_decoder_outputs, and the first is for the tensors to tell (see [Settle]). An
// mT5 is never scaled.
func (m *T5) output() {
	tied := m.Tie == nil || *m.Tie
	scaled := tied
	if m.ScaleOutputs != nil {
		scaled = *m.ScaleOutputs
	}
	if m.ModelType == "mt5" {
		scaled = false
		tied = m.Tie != nil && *m.Tie
	}
	m.head = !tied
	m.scale = 1
	if scaled {
		m.scale = 1 / math.Sqrt(float64(m.Dim))
	}
}

// Encode implements Seq2Seq.
func (m T5) Encode(root nn.Block, ids, mask *Node) *Node {
	return m.EncoderHidden(root, ids, mask)[m.Layers]
}

// EncoderHidden gives the embeddings and what each layer makes of them, the last normed.
func (m T5) EncoderHidden(root nn.Block, ids, mask *Node) []*Node {
	b, p := root.At("encoder"), root.Pass()
	length := ids.Shape().Dim(1)
	x := nn.Blank(p.Dropout(root.At("shared").Embed(ids, m.Vocab, m.Dim), m.Drop), mask)
	bias := Add(m.relative(b, nn.Count(p.Graph, length), length, true), nn.MaskBias(mask))
	hidden := []*Node{x}
	for i := range m.Layers {
		layer := b.At("block").At(strconv.Itoa(i)).At("layer")
		y := layer.At("0").At("layer_norm").RMSNorm(x, m.Epsilon)
		self := layer.At("0").At("SelfAttention")
		k, v := m.keys(self, y)
		x = Add(x, m.attend(self, y, func(q *Node) *Node { return nn.AttendTo(p, q, k, v, bias, 1, m.Drop) }))
		x = m.feed(layer.At("1"), x)
		hidden = append(hidden, x)
	}
	hidden[m.Layers] = p.Dropout(b.At("final_layer_norm").RMSNorm(x, m.Epsilon), m.Drop)
	return hidden
}

// relative is the position bias of a stack, which its layers share.
func (m T5) relative(b nn.Block, position *Node, keys int, bothWays bool) *Node {
	table := b.At("block").At("0").At("layer").At("0").At("SelfAttention").At("relative_attention_bias").Weight("weight", m.Buckets, m.Heads)
	return nn.RelativeBias(table, position, keys, m.MaxDistance, bothWays)
}

// keys gives keys and values of x [batch, length, dim] → [batch, length, heads, head dim].
func (m T5) keys(b nn.Block, x *Node) (k, v *Node) {
	k = nn.Heads(b.At("k").Linear(x, m.Heads*m.HeadDim, false), m.Heads)
	v = nn.Heads(b.At("v").Linear(x, m.Heads*m.HeadDim, false), m.Heads)
	return k, v
}

func (m T5) attend(b nn.Block, x *Node, to func(q *Node) *Node) *Node {
	y := to(nn.Heads(b.At("q").Linear(x, m.Heads*m.HeadDim, false), m.Heads))
	return b.Pass().Dropout(b.At("o").Linear(y, m.Dim, false), m.Drop)
}

func (m T5) feed(b nn.Block, x *Node) *Node {
	y := b.At("layer_norm").RMSNorm(x, m.Epsilon)
	dense, p := b.At("DenseReluDense"), b.Pass()
	if m.gated {
		y = Mul(nn.Activate(m.act, dense.At("wi_0").Linear(y, m.FFN, false)), dense.At("wi_1").Linear(y, m.FFN, false))
	} else {
		y = nn.Activate(m.act, dense.At("wi").Linear(y, m.FFN, false))
	}
	y = dense.At("wo").Linear(p.Dropout(y, m.Drop), m.Dim, false)
	return Add(x, p.Dropout(y, m.Drop))
}

// Decode implements Seq2Seq.
func (m T5) Decode(root nn.Block, ids, states, mask *Node) *Node {
	return m.logits(root, m.DecoderHidden(root, ids, states, mask)[m.DecoderLayers])
}

// DecoderHidden is EncoderHidden for the decoder.
func (m T5) DecoderHidden(root nn.Block, ids, states, mask *Node) []*Node {
	hidden, _ := m.decode(root, ids, nil, nn.Cache{}, m.Memory(root, states), mask)
	return hidden
}

// Step implements Seq2Seq.
func (m T5) Step(root nn.Block, ids, position *Node, cache, memory nn.Cache, mask *Node) (*Node, nn.Cache) {
	hidden, cache := m.decode(root, ExpandAxes(ids, -1), position, cache, memory, mask)
	return m.logits(root, Squeeze(hidden[m.DecoderLayers], 1)), cache
}

// Memory implements Seq2Seq.
func (m T5) Memory(root nn.Block, states *Node) nn.Cache {
	var memory nn.Cache
	for i := range m.DecoderLayers {
		k, v := m.keys(root.At("decoder").At("block").At(strconv.Itoa(i)).At("layer").At("1").At("EncDecAttention"), states)
		memory.Add(k, v)
	}
	return memory
}

// decode walks the decoder: a whole target (position nil), or one token of each row
// with those before it in the cache. It gives the states of each layer, and of one
// token its keys and values.
func (m T5) decode(root nn.Block, ids, position *Node, cache, memory nn.Cache, mask *Node) ([]*Node, nn.Cache) {
	b, p := root.At("decoder"), root.Pass()
	x := p.Dropout(root.At("shared").Embed(ids, m.Vocab, m.Dim), m.Drop)
	var bias, own *Node
	if position == nil {
		length := ids.Shape().Dim(1)
		bias = Add(m.relative(b, nn.Count(p.Graph, length), length, false), nn.LookAhead(p.Graph, length))
	} else {
		bias = m.relative(b, ExpandAxes(position, -1), cache.Length(), false) // [rows, heads, 1, slot]
		bias = Add(bias, nn.CachedBias(position, cache.Length()))
		own = m.relative(b, nn.Count(p.Graph, 1), 1, false)
	}
	source := nn.MaskBias(mask)
	hidden := []*Node{x}
	var next nn.Cache
	for i := range m.DecoderLayers {
		layer := b.At("block").At(strconv.Itoa(i)).At("layer")
		y := layer.At("0").At("layer_norm").RMSNorm(x, m.Epsilon)
		self := layer.At("0").At("SelfAttention")
		k, v := m.keys(self, y)
		x = Add(x, m.attend(self, y, func(q *Node) *Node {
			if position == nil {
				return nn.AttendTo(p, q, k, v, bias, 1, m.Drop)
			}
			next.Add(k, v)
			return nn.AttendNext(q, cache.Keys[i], cache.Values[i], next.Keys[i], next.Values[i], bias, own, 1)
		}))

		y = layer.At("1").At("layer_norm").RMSNorm(x, m.Epsilon)
		x = Add(x, m.attend(layer.At("1").At("EncDecAttention"), y, func(q *Node) *Node {
			return nn.LookUp(p, q, memory.Keys[i], memory.Values[i], source, 1, m.Drop)
		}))
		x = m.feed(layer.At("2"), x)
		hidden = append(hidden, x)
	}
	hidden[m.DecoderLayers] = p.Dropout(b.At("final_layer_norm").RMSNorm(x, m.Epsilon), m.Drop)
	return hidden, next
}

func (m T5) logits(root nn.Block, x *Node) *Node {
	if m.scale != 1 {
		x = MulScalar(x, m.scale)
	}
	if m.head {
		return root.At("lm_head").Output(x, m.Vocab, nil)
	}
	shared := root.At("shared")
	return root.At("lm_head").Output(x, m.Vocab, &shared)
}

// Facts implements Seq2Seq. Relative positions have no end; n_positions is the length
// the model was trained with, and 512 for every published one that does not say.
func (m T5) Facts() Seq2SeqFacts {
	return Seq2SeqFacts{Family: m.ModelType, MaxLength: m.Positions, Vocab: m.Vocab, Outputs: m.Vocab, Start: *m.Start, Pad: m.Pad, EOS: m.EOS,
		Layers: m.DecoderLayers, Heads: m.Heads, HeadDim: m.HeadDim, Tied: !m.head, Scale: m.scale, Targets: []string{"q", "v"}}
}

// Rename implements Seq2Seq. The first T5 checkpoints carry a position bias between
// decoder and encoder that was never used.
func (m T5) Rename(name string) string {
	if _, second := m.Copies()[name]; second || name == "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight" {
		return ""
	}
	return name
}

// Copies implements Seq2Seq.
func (m T5) Copies() map[string]string {
	c := map[string]string{"encoder.embed_tokens.weight": "shared.weight", "decoder.embed_tokens.weight": "shared.weight"}
	if !m.head {
		c[ownHead] = "shared.weight"
	}
	return c
}

// WithHead implements Seq2Seq.
func (m T5) WithHead() Seq2Seq {
	m.head = true
	return m
}

// WithDropout implements Seq2Seq.
func (m T5) WithDropout(rate float64) Seq2Seq {
	m.Drop = rate
	return m
}
