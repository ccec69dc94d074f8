package adapters

// ModuleKind tells what an adapter may do to a module of the base.
type ModuleKind int

// The kinds there are.
const (
	Linear    ModuleKind = iota // LoRA, DoRA, bias
	Head                        // as Linear; may also be replaced whole (modules_to_save)
	Embedding                   // LoRA by token
	Norm                        // bias
	Output                      // to the vocabulary of a language model: as Head, but all-linear leaves it out
)

// Module is a layer of a base that an adapter may change. Path is its name in the
// base's checkpoint, without the final ".weight".
type Module struct {
	Kind ModuleKind
	Path string
	In   int // of a linear layer; the number of rows of an embedding
	Out  int
	Bias bool
	// Labels marks the layer whose outputs are the labels: an adapter that replaces
	// it may have another number of them.
	Labels bool
	// Tied is the path of the embedding whose table is this layer's weight; empty: it
	// has a weight of its own.
	Tied string
}

// Layout is every module of a base, in the order of its forward pass.
type Layout []Module

// Find gives the module at path.
func (l Layout) Find(path string) (Module, bool) {
	for _, m := range l {
		if m.Path == path {
			return m, true
		}
	}
	return Module{}, false
}
