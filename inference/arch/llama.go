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

// Llama is the decoder of Touvron et al. 2023 in its versions 1 to 3, as transformers'
// LlamaForCausalLM: norms before each part, rotary positions, grouped keys and values,
// a gated feed-forward part.
type Llama struct {
	common
	rope
	Vocab         int     `json:"vocab_size"`
	Dim           int     `json:"hidden_size"`
	Layers        int     `json:"num_hidden_layers"`
	Heads         int     `json:"num_attention_heads"`
	KVHeads       *int    `json:"num_key_value_heads"` // absent: as many as Heads
	HeadDim       *int    `json:"head_dim"`            // absent: Dim/Heads
	FFN           int     `json:"intermediate_size"`
	Act           string  `json:"hidden_act"`
	Positions     int     `json:"max_position_embeddings"`
	Epsilon       float64 `json:"rms_norm_eps"`
	Tied          bool    `json:"tie_word_embeddings"`
	AttentionBias bool    `json:"attention_bias"`
	MLPBias       bool    `json:"mlp_bias"`
	AttentionDrop float64 `json:"attention_dropout"`

	inBias bool // of q_proj, k_proj and v_proj; that of o_proj is AttentionBias
}

func openLlama(config []byte) (Causal, error) {
	m := Llama{Act: "silu", Positions: 2048, Epsilon: 1e-6}
	if err := json.Unmarshal(config, &m); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	m.inBias = m.AttentionBias
	return m.check()
}

func (m Llama) check() (Llama, error) {
	errs := []error{m.rope.check(), positive(map[string]int{"vocab_size": m.Vocab, "hidden_size": m.Dim, "num_hidden_layers": m.Layers,
		"num_attention_heads": m.Heads, "num_key_value_heads": m.kvHeads(), "intermediate_size": m.FFN, "max_position_embeddings": m.Positions})}
	if m.Heads > 0 && m.HeadDim == nil && m.Dim%m.Heads != 0 {
		errs = append(errs, invalid.Field("num_attention_heads", "hidden_size %d is not a multiple of %d heads", m.Dim, m.Heads))
	}
	if kv := m.kvHeads(); kv > 0 && m.Heads%kv != 0 {
		errs = append(errs, invalid.Field("num_key_value_heads", "%d heads cannot share %d keys and values evenly", m.Heads, kv))
	}
	if m.Heads > 0 && (m.headDim() <= 0 || m.headDim()%2 != 0) {
		errs = append(errs, invalid.Field("head_dim", "is %d; a rotary embedding needs an even number above 0", m.headDim()))
	}
	if _, ok := nn.Activations[m.Act]; !ok {
		errs = append(errs, invalid.Field("hidden_act", "unknown activation %q", m.Act))
	}
	return m, errors.Join(errs...)
}

func (m Llama) kvHeads() int {
	if m.KVHeads == nil {
		return m.Heads
	}
	return *m.KVHeads
}

func (m Llama) headDim() int {
	if m.HeadDim == nil {
		return m.Dim / m.Heads
	}
	return *m.HeadDim
}

// Logits implements Causal.
func (m Llama) Logits(root nn.Block, ids, mask, at *Node) *Node {
	states := m.Hidden(root, ids, mask)
	last := states[len(states)-1]
	if at != nil {
		last = nn.TokensAt(last, at)
	}
	return m.output(root, last)
}

// Hidden gives the embeddings and what each layer makes of them, the last after the
// final norm, each [batch, length, hidden]: transformers' hidden_states.
func (m Llama) Hidden(root nn.Block, ids, mask *Node) []*Node {
	return m.walk(root, ids, m.whole(mask))
}

// Prefill implements Causal.
func (m Llama) Prefill(root nn.Block, ids, mask *Node) (*Node, nn.Cache) {
	read, r := nn.Cache{}, m.whole(mask)
	r.read = &read
	states := m.walk(root, ids, r)
	return m.output(root, nn.LastToken(states[len(states)-1], mask)), read
}

// Step implements Causal.
func (m Llama) Step(root nn.Block, ids, position *Node, cache nn.Cache) (*Node, nn.Cache) {
	read := nn.Cache{}
	states := m.walk(root, ExpandAxes(ids, 1), reading{
		rotary: nn.NewRotary(ExpandAxes(position, 1), m.frequencies(m.headDim())),
		bias:   nn.CachedBias(position, cache.Length()),
		cache:  &cache,
		read:   &read,
	})
	last := states[len(states)-1]
	return m.output(root, Reshape(last, last.Shape().Dim(0), m.Dim)), read
}

// Cache implements Causal.
func (m Llama) Cache(p *nn.Pass, rows, length int) nn.Cache {
	return nn.NewCache(p, m.Layers, rows, length, m.kvHeads(), m.headDim())
}

// reading is where the tokens of a pass stand, and what they may see.
type reading struct {
	rotary nn.Rotary
	bias   *Node     // [batch, query, key]; with a cache [batch, 1, 1, slot]
	mask   *Node     // of tokens and padding; nil where there is none
	cache  *nn.Cache // of the tokens before, if one is read
	read   *nn.Cache // nil, or where the keys and values of the tokens go
}

// whole is the reading of texts from their beginnings on.
func (m Llama) whole(mask *Node) reading {
	return reading{rotary: nn.NewRotary(nn.Positions(mask), m.frequencies(m.headDim())), bias: nn.CausalBias(mask), mask: mask}
}

// walk goes from ids [batch, length] through the layers; see Hidden.
func (m Llama) walk(root nn.Block, ids *Node, r reading) []*Node {
	b := root.At("model")
	x := b.At("embed_tokens").Embed(ids, m.Vocab, m.Dim)
	if r.mask != nil {
		x = nn.Blank(x, r.mask)
	}
	states := []*Node{x}
	for i := range m.Layers {
		x = m.layer(b.At("layers").At(strconv.Itoa(i)), x, i, r)
		states = append(states, x)
	}
	states[m.Layers] = b.At("norm").RMSNorm(x, m.Epsilon)
	return states
}

func (m Llama) layer(b nn.Block, x *Node, i int, r reading) *Node {
	x = Add(x, m.attention(b.At("self_attn"), b.At("input_layernorm").RMSNorm(x, m.Epsilon), i, r))
	return Add(x, m.mlp(b.At("mlp"), b.At("post_attention_layernorm").RMSNorm(x, m.Epsilon)))
}

func (m Llama) attention(b nn.Block, x *Node, i int, r reading) *Node {
	dim, kv := m.headDim(), m.kvHeads()
	q := nn.Heads(b.At("q_proj").Linear(x, m.Heads*dim, m.inBias), m.Heads) // [batch, length, heads, dim]
	k := nn.Heads(b.At("k_proj").Linear(x, kv*dim, m.inBias), kv)
	v := nn.Heads(b.At("v_proj").Linear(x, kv*dim, m.inBias), kv)
	q, k = r.rotary.Turn(q), r.rotary.Turn(k)
	if r.read != nil {
		r.read.Add(k, v)
	}
	var y *Node
	if r.cache != nil {
		y = nn.AttendNext(q, r.cache.Keys[i], r.cache.Values[i], r.read.Keys[i], r.read.Values[i], r.bias, nil, 1/math.Sqrt(float64(dim)))
	} else {
		y = nn.AttendGrouped(b.Pass(), q, k, v, r.bias, m.AttentionDrop)
	}
	return b.At("o_proj").Linear(y, m.Dim, m.AttentionBias)
}

// mlp is SwiGLU (Shazeer 2020).
func (m Llama) mlp(b nn.Block, x *Node) *Node {
	gate := nn.Activate(m.Act, b.At("gate_proj").Linear(x, m.FFN, m.MLPBias))
	up := b.At("up_proj").Linear(x, m.FFN, m.MLPBias)
	return b.At("down_proj").Linear(Mul(gate, up), m.Dim, m.MLPBias)
}

func (m Llama) output(root nn.Block, x *Node) *Node {
	if m.Tied {
		table := root.At("model").At("embed_tokens")
		return root.At("lm_head").Output(x, m.Vocab, &table)
	}
	return root.At("lm_head").Output(x, m.Vocab, nil)
}

// Facts implements Causal.
func (m Llama) Facts() Facts {
	return Facts{Family: m.ModelType, MaxLength: m.Positions, Vocab: m.Vocab, Hidden: m.Dim, Layers: m.Layers,
		Targets: []string{"q_proj", "v_proj"}}
}

// Rename implements Causal. Older checkpoints store the rotary frequencies, which
// config.json determines, and some store a tied head beside its table: both are left
// unread.
func (m Llama) Rename(name string) string {
	if strings.HasSuffix(name, "rotary_emb.inv_freq") || m.Tied && name == "lm_head.weight" {
		return ""
	}
	return withPrefix(name, "model", "lm_head")
}

// WithDropout implements Causal.
func (m Llama) WithDropout(rate float64) Causal {
	m.AttentionDrop = rate
	return m
}
