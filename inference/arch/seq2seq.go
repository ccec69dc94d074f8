package arch

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/adapters/invalid"
	"lorikeet/inference/nn"
)

// Seq2Seq is an encoder and a decoder: it reads a source text and writes a target, a
// token at a time. Masks are 1 for a token and 0 for padding.
type Seq2Seq interface {
	// Encode reads the source. ids and mask [batch, source] int32 → [batch, source, dim].
	Encode(root nn.Block, ids, mask *Node) *Node
	// Decode scores a whole target, each token given those before it. ids [batch,
	// target] int32 starts with Facts().Start; states and mask are the encoder's
	// → [batch, target, outputs].
	Decode(root nn.Block, ids, states, mask *Node) *Node
	// Memory is what the decoder's layers look up in the source: keys and values of
	// the encoder's states, the same in every step. [batch, heads, source, dim].
	Memory(root nn.Block, states *Node) nn.Cache
	// Step reads one token for each row of the cache. ids and position [batch] int32:
	// the token and how many came before it; mask is the source's → the scores of the
	// next, [batch, outputs], and the token's keys and values, to be put at its position.
	// Steps give what Decode gives.
	Step(root nn.Block, ids, position *Node, cache, memory nn.Cache, mask *Node) (*Node, nn.Cache)
	// Facts tells what the rest of the service needs to know.
	Facts() Seq2SeqFacts
	// Rename maps a tensor name of a checkpoint to the name the walk asks for. An
	// empty result means a tensor that this model knowingly leaves unread.
	Rename(name string) string
	// Copies are weights that a checkpoint may hold under a second name, by that name:
	// the weight that is read. See [Settle].
	Copies() map[string]string
	// WithHead is the same model with an output layer of its own, not tied to the
	// token embedding.
	WithHead() Seq2Seq
	// WithDropout is the same model with every dropout of config.json at rate.
	WithDropout(rate float64) Seq2Seq
}

// Seq2SeqFacts are the parts of a configuration that matter outside its family.
type Seq2SeqFacts struct {
	Family    string // model_type
	MaxLength int    // tokens, of source and target alike
	Vocab     int    // rows of the source's token embedding
	Outputs   int    // width of the logits
	Start     int32  // the decoder's first token
	Pad       int32
	EOS       []int32  // each of them ends a target
	ForcedEOS []int32  // the last token of a target that reaches its limit; empty: any
	Layers    int      // of the decoder: those of a cache
	Heads     int      // of the decoder
	HeadDim   int      // of one head
	Tied      bool     // the output layer is the token embedding's table
	Scale     float64  // what the decoder's states are multiplied by before it
	Targets   []string // what LoRA targets unless told otherwise, as PEFT does
	Fixed     []string // tensors that are no parameters in PyTorch: full tuning leaves them
}

// ShiftRight is what the decoder is fed to learn a target: the start token, then each
// token but the last. What is below 0, where nothing is asked, becomes padding.
func (f Seq2SeqFacts) ShiftRight(target []int32) []int32 {
	in := make([]int32, len(target))
	for i := range in {
		switch {
		case i == 0:
			in[i] = f.Start
		case target[i-1] < 0:
			in[i] = f.Pad
		default:
			in[i] = target[i-1]
		}
	}
	return in
}

// Seq2SeqFamilies lists the values of model_type that OpenSeq2Seq knows.
var Seq2SeqFamilies = []string{"marian", "mt5", "t5"}

// OpenSeq2Seq reads config.json. Whether a T5 has an output layer of its own is only
// sure once the tensors are known: see [Settle].
func OpenSeq2Seq(config []byte) (Seq2Seq, error) {
	var c common
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	switch c.ModelType {
	case "t5", "mt5":
		return openT5(config)
	case "marian":
		return openMarian(config)
	}
	return nil, invalid.Field("model_type", "%q is not an encoder-decoder this version serves; known: %s",
		c.ModelType, strings.Join(Seq2SeqFamilies, ", "))
}

// Settle pairs the tensors of a checkpoint with the weights that the model reads:
// weight → tensor. same tells whether two tensors hold the same values.
//
// Tied weights make it more than a renaming. A checkpoint may hold the token embedding
// under any or all of its names. And transformers 5 writes tie_word_embeddings=true for
// every T5, whatever it loaded: there an lm_head that differs from the embedding is the
// only sign that the model has its own, and the model returned then has it too.
func Settle(m Seq2Seq, tensors []string, same func(a, b string) (bool, error)) (Seq2Seq, map[string]string, error) {
	paired := map[string]string{}
	for _, tensor := range tensors {
		if name := m.Rename(tensor); name != "" {
			if other, twice := paired[name]; twice {
				return nil, nil, fmt.Errorf("tensors %s and %s are both %s", other, tensor, name)
			}
			paired[name] = tensor
		}
	}
	copies := m.Copies()
	for _, second := range slices.Sorted(maps.Keys(copies)) {
		if !slices.Contains(tensors, second) {
			continue
		}
		first, ok := paired[copies[second]]
		if !ok {
			paired[copies[second]] = second
			continue
		}
		equal, err := same(first, second)
		switch {
		case err != nil:
			return nil, nil, err
		case equal:
		case second == ownHead:
			m = m.WithHead()
			paired[ownHead] = ownHead
		default:
			return nil, nil, fmt.Errorf("%s and %s are tied in a %s, and the checkpoint holds different values", first, second, m.Facts().Family)
		}
	}
	return m, paired, nil
}

// ownHead is the output layer where it is not tied.
const ownHead = "lm_head.weight"

// TokenIDs is a number, a list of numbers or null in config.json and generation_config.json.
type TokenIDs []int32

// UnmarshalJSON implements json.Unmarshaler.
func (t *TokenIDs) UnmarshalJSON(b []byte) error {
	var one *int32
	if err := json.Unmarshal(b, &one); err == nil {
		*t = nil
		if one != nil {
			*t = TokenIDs{*one}
		}
		return nil
	}
	return json.Unmarshal(b, (*[]int32)(t))
}

// inVocabulary reports token ids of a configuration that the embedding has no row for.
func inVocabulary(field string, vocab int, ids ...int32) error {
	for _, id := range ids {
		if id < 0 || int(id) >= vocab {
			return invalid.Field(field, "%d is not below vocab_size %d", id, vocab)
		}
	}
	return nil
}
