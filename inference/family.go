package inference

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/adapters"
	"lorikeet/inference/arch"
	"lorikeet/inference/nn"
)

// The tasks of a base, in the hub's words.
const (
	TaskClassification = "text-classification"
	TaskTextToText     = "text2text-generation" // an encoder and a decoder
	TaskText           = "text-generation"      // a decoder alone
)

// Task is what the base is for.
func (b *Base) Task() string {
	switch {
	case b.Seq2Seq != nil:
		return TaskTextToText
	case b.Causal != nil:
		return TaskText
	}
	return TaskClassification
}

// Generates reports whether the base writes texts; otherwise it scores them.
func (b *Base) Generates() bool { return b.Seq2Seq != nil || b.Causal != nil }

// Facts are what the service needs to know of the configuration, whatever the family.
func (b *Base) Facts() arch.Facts {
	switch {
	case b.Seq2Seq != nil:
		f := b.Seq2Seq.Facts()
		return arch.Facts{Family: f.Family, MaxLength: f.MaxLength, Vocab: f.Vocab, Hidden: f.Heads * f.HeadDim, Layers: f.Layers, Targets: f.Targets}
	case b.Causal != nil:
		return b.Causal.Facts()
	}
	return b.Arch.Facts()
}

// Rename maps a tensor name of a checkpoint to the name the graph asks for, "" for one
// that is knowingly left unread.
func (b *Base) Rename(tensor string) string {
	switch {
	case b.Seq2Seq != nil:
		return b.Seq2Seq.Rename(tensor)
	case b.Causal != nil:
		return b.Causal.Rename(tensor)
	}
	return b.Arch.Rename(tensor)
}

// openFamily reads the configuration, pairs the graph's weights with the tensors of
// the checkpoint, and checks strictly, both ways, that they agree.
func (b *Base) openFamily(config []byte) error {
	if err := b.openConfig(config); err != nil {
		return err
	}
	if err := b.pair(); err != nil {
		return err
	}
	var err error
	if b.weights, b.Layout, err = b.sketch(); err != nil {
		return err
	}
	return b.match()
}

// openConfig finds the family that a config.json is of.
func (b *Base) openConfig(config []byte) error {
	var c struct {
		ModelType string `json:"model_type"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	var err error
	switch {
	case slices.Contains(arch.Seq2SeqFamilies, c.ModelType):
		b.Seq2Seq, err = arch.OpenSeq2Seq(config)
	case slices.Contains(arch.CausalFamilies, c.ModelType):
		b.Causal, err = arch.OpenCausal(config)
	default:
		b.Arch, err = arch.Open(config)
	}
	return err
}

// Blueprint tells which weights a model of this config.json has, whatever its family,
// before there are any.
func Blueprint(config []byte) ([]nn.Param, error) {
	var b Base
	if err := b.openConfig(config); err != nil {
		return nil, err
	}
	weights, _, err := b.sketch()
	return slices.DeleteFunc(weights, func(w nn.Param) bool { return w.Tensor != "" }), err
}

// pair finds the tensor of the checkpoint for each name that the graph may ask for.
func (b *Base) pair() error {
	if b.Seq2Seq != nil { // weights may have several names
		var err error
		b.Seq2Seq, b.tensors, err = arch.Settle(b.Seq2Seq, b.model.Names(), b.same)
		return err
	}
	b.tensors = map[string]string{}
	for _, tensor := range b.model.Names() {
		if name := b.Rename(tensor); name != "" {
			if other, twice := b.tensors[name]; twice {
				return fmt.Errorf("tensors %s and %s are both %s", other, tensor, name)
			}
			b.tensors[name] = tensor
		}
	}
	return nil
}

// same compares the values of two tensors.
func (b *Base) same(first, second string) (bool, error) {
	v, err := b.model.Float32s(first)
	if err != nil {
		return false, err
	}
	w, err := b.model.Float32s(second)
	return slices.Equal(v, w), err
}

// sketch builds the graph of one short text: what it asks of the checkpoint, and which
// modules it has.
func (b *Base) sketch() ([]nn.Param, adapters.Layout, error) {
	if b.Arch != nil {
		return Sketch(b.Arch)
	}
	const length = 4
	return sketched(b.Facts().Family, func(p *nn.Pass) []*graph.Node {
		p.Untied = true
		ids, mask := p.Input("ids", dtypes.Int32, 1, length), p.Input("mask", dtypes.Int32, 1, length)
		if b.Causal != nil {
			return []*graph.Node{b.Causal.Logits(p.Root(), ids, mask, nil)}
		}
		states := b.Seq2Seq.Encode(p.Root(), ids, mask)
		return []*graph.Node{b.Seq2Seq.Decode(p.Root(), p.Input("target", dtypes.Int32, 1, length), states, mask)}
	})
}

// sketched builds a graph and tells which weights it asks for and which modules it has.
func sketched(name string, build func(*nn.Pass) []*graph.Node) ([]nn.Param, adapters.Layout, error) {
	backend, err := sketch()
	if err != nil {
		return nil, nil, err
	}
	p, _, err := nn.Build(backend, name, build)
	if err != nil {
		return nil, nil, err
	}
	weights := slices.DeleteFunc(slices.Clone(p.Params), func(q nn.Param) bool { return q.Role != nn.Weight })
	return weights, p.Modules, nil
}
