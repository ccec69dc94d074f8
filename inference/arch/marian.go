package arch

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/adapters/invalid"
	"lorikeet/inference/nn"
)

// Marian is the Transformer of Vaswani et al. 2017 as Marian NMT trains it
// (Junczys-Dowmunt et al. 2018) and transformers' MarianMTModel runs it: fixed
// positions, a norm after each sublayer, a bias on the logits.
type Marian struct {
	common
	Vocab         int      `json:"vocab_size"`
	DecoderVocab  int      `json:"decoder_vocab_size"`
	Dim           int      `json:"d_model"`
	Layers        int      `json:"encoder_layers"`
	Heads         int      `json:"encoder_attention_heads"`
	FFN           int      `json:"encoder_ffn_dim"`
	DecoderLayers int      `json:"decoder_layers"`
	DecoderHeads  int      `json:"decoder_attention_heads"`
	DecoderFFN    int      `json:"decoder_ffn_dim"`
	Positions     int      `json:"max_position_embeddings"`
	Act           string   `json:"activation_function"`
	ScaleEmbed    bool     `json:"scale_embedding"`
	Share         bool     `json:"share_encoder_decoder_embeddings"`
	Tie           bool     `json:"tie_word_embeddings"`
	Drop          float64  `json:"dropout"`
	AttentionDrop float64  `json:"attention_dropout"`
	ActDrop       float64  `json:"activation_dropout"`
	NormBefore    bool     `json:"normalize_before"`
	NormEmbedding bool     `json:"normalize_embedding"`
	FinalNorm     bool     `json:"add_final_layer_norm"`
	Pad           int32    `json:"pad_token_id"`
	Start         int32    `json:"decoder_start_token_id"`
	EOS           TokenIDs `json:"eos_token_id"`
	ForcedEOS     TokenIDs `json:"forced_eos_token_id"`
}

// marianEpsilon is PyTorch's default: it is not configured.
const marianEpsilon = 1e-5

func openMarian(config []byte) (Seq2Seq, error) {
	m := Marian{Positions: 1024, Act: "gelu", Share: true, Tie: true, Drop: 0.1, EOS: TokenIDs{0}, ForcedEOS: TokenIDs{0}}
	if err := json.Unmarshal(config, &m); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	if m.DecoderVocab == 0 || m.Share {
		m.DecoderVocab = m.Vocab
	}
	errs := []error{positive(map[string]int{"vocab_size": m.Vocab, "decoder_vocab_size": m.DecoderVocab, "d_model": m.Dim,
		"encoder_layers": m.Layers, "encoder_attention_heads": m.Heads, "encoder_ffn_dim": m.FFN,
		"decoder_layers": m.DecoderLayers, "decoder_attention_heads": m.DecoderHeads, "decoder_ffn_dim": m.DecoderFFN,
		"max_position_embeddings": m.Positions}),
		inVocabulary("pad_token_id", m.DecoderVocab, m.Pad), inVocabulary("decoder_start_token_id", m.DecoderVocab, m.Start),
		inVocabulary("eos_token_id", m.DecoderVocab, m.EOS...), inVocabulary("forced_eos_token_id", m.DecoderVocab, m.ForcedEOS...)}
	for field, heads := range map[string]int{"encoder_attention_heads": m.Heads, "decoder_attention_heads": m.DecoderHeads} {
		if heads > 0 && m.Dim%heads != 0 {
			errs = append(errs, invalid.Field(field, "d_model %d is not a multiple of %d heads", m.Dim, heads))
		}
	}
	if _, ok := nn.Activations[m.Act]; !ok {
		errs = append(errs, invalid.Field("activation_function", "unknown activation %q", m.Act))
	}
	// transformers reads none of these and runs such a model as if they were false.
	for field, set := range map[string]bool{"normalize_before": m.NormBefore, "normalize_embedding": m.NormEmbedding, "add_final_layer_norm": m.FinalNorm} {
		if set {
			errs = append(errs, invalid.Field(field, "only post-norm models are supported, where it is false"))
		}
	}
	return m, errors.Join(errs...)
}

// marianSide is what encoder and decoder have each of.
type marianSide struct {
	nn.Block
	heads, ffn int
}

func (m Marian) encoder(root nn.Block) marianSide {
	return marianSide{root.At("model").At("encoder"), m.Heads, m.FFN}
}

func (m Marian) decoder(root nn.Block) marianSide {
	return marianSide{root.At("model").At("decoder"), m.DecoderHeads, m.DecoderFFN}
}

func (s marianSide) layer(i int) nn.Block { return s.At("layers").At(strconv.Itoa(i)) }

// Encode implements Seq2Seq.
func (m Marian) Encode(root nn.Block, ids, mask *Node) *Node {
	return m.EncoderHidden(root, ids, mask)[m.Layers]
}

// EncoderHidden gives the embeddings and what each layer makes of them.
func (m Marian) EncoderHidden(root nn.Block, ids, mask *Node) []*Node {
	s := m.encoder(root)
	length := ids.Shape().Dim(1)
	x := nn.Blank(m.embed(m.table(root, s), m.Vocab, ids, nn.Count(ids.Graph(), length), length), mask)
	bias := nn.MaskBias(mask)
	hidden := []*Node{x}
	for i := range m.Layers {
		b := s.layer(i)
		k, v := m.keys(b.At("self_attn"), x, s.heads)
		x = m.attend(b, "self_attn", x, s.heads, func(q *Node, scale float64) *Node {
			return nn.AttendTo(b.Pass(), q, k, v, bias, scale, m.AttentionDrop)
		})
		x = m.feed(b, x, s.ffn)
		hidden = append(hidden, x)
	}
	return hidden
}

// table is the token embedding of a side.
func (m Marian) table(root nn.Block, s marianSide) nn.Block {
	if m.Share {
		return root.At("model").At("shared")
	}
	return s.At("embed_tokens")
}

// embed adds the tokens' vectors and their positions, of which there are length.
func (m Marian) embed(table nn.Block, rows int, ids, position *Node, length int) *Node {
	x := table.Embed(ids, rows, m.Dim)
	// PyTorch's padding_idx: looking the padding up, which is also the decoder's first
	// token, teaches the table nothing.
	x = Where(Equal(ids, Scalar(ids.Graph(), ids.DType(), m.Pad)), StopGradient(x), x)
	if m.ScaleEmbed {
		x = MulScalar(x, math.Sqrt(float64(m.Dim)))
	}
	positions := Const(ids.Graph(), nn.Sinusoids(length, m.Dim))
	return table.Pass().Dropout(Add(x, Gather(positions, ExpandAxes(position, -1))), m.Drop)
}

// keys gives keys and values of x [batch, length, dim] → [batch, length, heads, head dim].
func (m Marian) keys(b nn.Block, x *Node, heads int) (k, v *Node) {
	k = nn.Heads(b.At("k_proj").Linear(x, m.Dim, true), heads)
	return k, nn.Heads(b.At("v_proj").Linear(x, m.Dim, true), heads)
}

// attend is an attention sublayer: norm(x + out(attention)).
func (m Marian) attend(b nn.Block, name string, x *Node, heads int, to func(q *Node, scale float64) *Node) *Node {
	y := to(nn.Heads(b.At(name).At("q_proj").Linear(x, m.Dim, true), heads), 1/math.Sqrt(float64(m.Dim/heads)))
	y = b.Pass().Dropout(b.At(name).At("out_proj").Linear(y, m.Dim, true), m.Drop)
	return b.At(name+"_layer_norm").Norm(Add(x, y), marianEpsilon)
}

func (m Marian) feed(b nn.Block, x *Node, ffn int) *Node {
	y := b.Pass().Dropout(nn.Activate(m.Act, b.At("fc1").Linear(x, ffn, true)), m.ActDrop)
	y = b.Pass().Dropout(b.At("fc2").Linear(y, m.Dim, true), m.Drop)
	return b.At("final_layer_norm").Norm(Add(x, y), marianEpsilon)
}

// Decode implements Seq2Seq.
func (m Marian) Decode(root nn.Block, ids, states, mask *Node) *Node {
	return m.logits(root, m.DecoderHidden(root, ids, states, mask)[m.DecoderLayers])
}

// DecoderHidden is EncoderHidden for the decoder.
func (m Marian) DecoderHidden(root nn.Block, ids, states, mask *Node) []*Node {
	hidden, _ := m.decode(root, ids, nil, nn.Cache{}, m.Memory(root, states), mask)
	return hidden
}

// Step implements Seq2Seq.
func (m Marian) Step(root nn.Block, ids, position *Node, cache, memory nn.Cache, mask *Node) (*Node, nn.Cache) {
	hidden, cache := m.decode(root, ExpandAxes(ids, -1), position, cache, memory, mask)
	return m.logits(root, Squeeze(hidden[m.DecoderLayers], 1)), cache
}

// Memory implements Seq2Seq.
func (m Marian) Memory(root nn.Block, states *Node) nn.Cache {
	var memory nn.Cache
	s := m.decoder(root)
	for i := range m.DecoderLayers {
		k, v := m.keys(s.layer(i).At("encoder_attn"), states, s.heads)
		memory.Add(k, v)
	}
	return memory
}

// decode walks the decoder: a whole target (position nil), or one token of each row
// with those before it in the cache. It gives the states of each layer, and of one
// token its keys and values.
func (m Marian) decode(root nn.Block, ids, position *Node, cache, memory nn.Cache, mask *Node) ([]*Node, nn.Cache) {
	s := m.decoder(root)
	var x, bias *Node
	if position == nil {
		length := ids.Shape().Dim(1)
		x = m.embed(m.table(root, s), m.DecoderVocab, ids, nn.Count(ids.Graph(), length), length)
		bias = nn.LookAhead(ids.Graph(), length)
	} else {
		x = m.embed(m.table(root, s), m.DecoderVocab, ids, ExpandAxes(position, -1), cache.Length())
		bias = nn.CachedBias(position, cache.Length())
	}
	source := nn.MaskBias(mask)
	hidden := []*Node{x}
	var next nn.Cache
	for i := range m.DecoderLayers {
		b := s.layer(i)
		k, v := m.keys(b.At("self_attn"), x, s.heads)
		x = m.attend(b, "self_attn", x, s.heads, func(q *Node, scale float64) *Node {
			if position == nil {
				return nn.AttendTo(b.Pass(), q, k, v, bias, scale, m.AttentionDrop)
			}
			next.Add(k, v)
			return nn.AttendNext(q, cache.Keys[i], cache.Values[i], next.Keys[i], next.Values[i], bias, nil, scale)
		})
		x = m.attend(b, "encoder_attn", x, s.heads, func(q *Node, scale float64) *Node {
			return nn.LookUp(b.Pass(), q, memory.Keys[i], memory.Values[i], source, scale, m.AttentionDrop)
		})
		x = m.feed(b, x, s.ffn)
		hidden = append(hidden, x)
	}
	return hidden, next
}

func (m Marian) logits(root nn.Block, x *Node) *Node {
	var tied *nn.Block
	if m.Tie {
		table := m.table(root, m.decoder(root))
		tied = &table
	}
	x = root.At("lm_head").Output(x, m.DecoderVocab, tied)
	bias := Reshape(root.Weight("final_logits_bias", 1, m.DecoderVocab), m.DecoderVocab)
	return Add(x, ExpandLeftToRank(bias, x.Rank()))
}

// Facts implements Seq2Seq.
func (m Marian) Facts() Seq2SeqFacts {
	return Seq2SeqFacts{Family: "marian", MaxLength: m.Positions, Vocab: m.Vocab, Outputs: m.DecoderVocab, Start: m.Start, Pad: m.Pad, EOS: m.EOS, ForcedEOS: m.ForcedEOS,
		Layers: m.DecoderLayers, Heads: m.DecoderHeads, HeadDim: m.Dim / m.DecoderHeads, Tied: m.Tie, Scale: 1,
		Targets: []string{"q_proj", "v_proj"}, Fixed: []string{"final_logits_bias"}}
}

// Rename implements Seq2Seq. Some checkpoints hold the tables of positions, which are
// the same for every Marian and computed here.
func (m Marian) Rename(name string) string {
	if _, second := m.Copies()[name]; second {
		return ""
	}
	switch name {
	case "model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight":
		return ""
	}
	return name
}

// Copies implements Seq2Seq.
func (m Marian) Copies() map[string]string {
	table := "model.decoder.embed_tokens.weight"
	c := map[string]string{}
	if m.Share {
		table = "model.shared.weight"
		c["model.encoder.embed_tokens.weight"] = table
		c["model.decoder.embed_tokens.weight"] = table
	}
	if m.Tie {
		c[ownHead] = table
	}
	return c
}

// WithHead implements Seq2Seq.
func (m Marian) WithHead() Seq2Seq {
	m.Tie = false
	return m
}

// WithDropout implements Seq2Seq.
func (m Marian) WithDropout(rate float64) Seq2Seq {
	m.Drop, m.AttentionDrop, m.ActDrop = rate, rate, rate
	return m
}
