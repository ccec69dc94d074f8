package nn

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra
)

// PageRank is the rank that one slot of the bank holds. An adapter of rank 20 takes
// three slots; one of rank 4 takes one, padded with zeros.
const PageRank = 8

// MaxLabels is the widest head an adapter may bring. Heads narrower than that are
// padded with zeros, so that adapters with different label sets share a batch.
const MaxLabels = 256

// Bank is the adapters on the device, as the graph sees them: for every module a
// stack of slots, from which each example of the batch gathers its own. Slot 0 is
// never written to: it is the bare base model, so that is not a special case.
type Bank struct {
	// Slots of each example's adapter, [batch, Profile.Pages] int32, filled up
	// with 0. The first also indexes heads, biases and DoRA scales.
	Slots *Node
	// Tokens holds the rows of lora_embedding_A for each token, gathered on the
	// host, [batch, length, Pages*PageRank] float32; nil without Profile.Embed.
	Tokens  *Node
	Size    int // slots in the bank
	Profile Profile
}

// Profile is what the adapters of a batch need from the graph. A graph built for a
// wider profile answers every narrower one, only slower; see [Profile.Covers].
type Profile struct {
	Pages   int             // slots per example: ranks up to Pages*PageRank
	Targets map[string]bool // modules with LoRA factors, by path; nil: every module
	Extras  bool            // DoRA scales and biases
	Heads   bool            // heads of the adapters' own
	Embed   bool            // LoRA on the token embedding
}

// Targeted reports whether a graph for p adds LoRA factors to the module.
func (p Profile) Targeted(path string) bool { return p.Targets == nil || p.Targets[path] }

// Covers reports whether a graph built for p answers batches that need q.
func (p Profile) Covers(q Profile) bool {
	if p.Pages < q.Pages || q.Extras && !p.Extras || q.Heads && !p.Heads || q.Embed && !p.Embed {
		return false
	}
	if p.Targets == nil {
		return true
	}
	if q.Targets == nil {
		return false
	}
	for t := range q.Targets {
		if !p.Targets[t] {
			return false
		}
	}
	return true
}

// Learn describes the adapter that is being trained.
type Learn struct {
	// Rank gives the rank and the scale α/r of a module's factors; rank 0: none.
	Rank    func(path string) (rank int, scale float64)
	Dropout float64
}

// lora adds the low-rank update of Hu et al. 2021: y + x·Aᵀ·Bᵀ·(α/r).
//
// When serving, each example brings the factors of its own adapter, and α/r is
// folded into B when an adapter is loaded, so that adapters of different α share a
// batch. When training there is one adapter and nothing to gather.
func (b Block) lora(x, y *Node) *Node {
	p := b.pass
	in, out := x.Shape().Dim(-1), y.Shape().Dim(-1)
	if p.Learn != nil {
		r, scale := p.Learn.Rank(b.path)
		if r == 0 {
			return y
		}
		down := b.factor("lora_A", in, r)
		up := b.factor("lora_B", r, out)
		h := matmul(p.Dropout(x, p.Learn.Dropout), down)
		return Add(y, MulScalar(matmul(h, up), scale))
	}
	if p.Bank == nil || !p.Bank.Profile.Targeted(b.path) {
		return y
	}
	down := b.gather("lora_A", PageRank, in) // [batch, rank, in]
	up := b.gather("lora_B", PageRank, out)  // [batch, rank, out]
	if x.Rank() == 2 {                       // a pooled vector per example
		return Add(y, Einsum("br,bro->bo", Einsum("bi,bri->br", x, down), up))
	}
	return Add(y, Einsum("btr,bro->bto", Einsum("bti,bri->btr", x, down), up))
}

// factor is a trained LoRA factor of this module.
func (b Block) factor(name string, dims ...int) *Node {
	return b.pass.param(Param{Role: Adapter, Name: b.At(name).path, Shape: shapes.Make(dtypes.Float32, dims...)})
}

// slots is this module's stack of slots called name.
func (b Block) slots(name string, dims ...int) *Node {
	dims = append([]int{b.pass.Bank.Size}, dims...)
	return b.pass.param(Param{Role: Slots, Name: b.At(name).path, Shape: shapes.Make(dtypes.Float32, dims...)})
}

// gather picks the pages of each example: [batch, pages*PageRank, dim].
func (b Block) gather(name string, dims ...int) *Node {
	bank := b.pass.Bank
	all := Gather(b.slots(name, dims...), ExpandAxes(bank.Slots, -1)) // [batch, pages, PageRank, dim]
	return Reshape(all, all.Shape().Dim(0), -1, all.Shape().Dim(-1))
}

// first picks what only the first slot of an adapter holds: [batch, dims…].
func (b Block) first(name string, dims ...int) *Node {
	slot := SliceAxis(b.pass.Bank.Slots, 1, AxisElem(0)) // [batch, 1]
	return Gather(b.slots(name, dims...), slot)
}

// rescale multiplies the outputs of the frozen matrix by DoRA's m/‖W+sBA‖ (Liu et
// al. 2024); it is 1 for every other adapter.
func (b Block) rescale(y *Node) *Node {
	if bank := b.pass.Bank; bank == nil || !bank.Profile.Extras {
		return y
	}
	return Mul(y, perExample(b.first("scale", y.Shape().Dim(-1)), y))
}

// shift adds the difference between the adapter's bias and the base's.
func (b Block) shift(y *Node) *Node {
	if bank := b.pass.Bank; bank == nil || !bank.Profile.Extras {
		return y
	}
	return Add(y, perExample(b.first("shift", y.Shape().Dim(-1)), y))
}

// perExample shapes v [batch, dim] so that it broadcasts over x [batch, …, dim].
func perExample(v, x *Node) *Node {
	if x.Rank() == 2 {
		return v
	}
	return ExpandAxes(v, 1)
}

// loraEmbed adds LoRA to an embedding: y + A[:,ids]ᵀ·Bᵀ·(α/r). The columns of A are
// looked up on the host, where the tokens are: a whole A per slot would be a copy
// of the vocabulary.
func (b Block) loraEmbed(ids, y *Node) *Node {
	bank := b.pass.Bank
	if bank == nil || !bank.Profile.Embed || !bank.Profile.Targeted(b.path) || bank.Tokens == nil {
		return y
	}
	if ids.Rank() != 2 {
		panic(fmt.Sprintf("%s: token ids must be [batch, length]", b.path))
	}
	up := b.gather("lora_B", PageRank, y.Shape().Dim(-1))
	return Add(y, Einsum("btr,bro->bto", bank.Tokens, up))
}
