package train

import (
	"math"
	"math/rand/v2"
	"strings"

	"lorikeet/adapters"
	"lorikeet/inference/nn"
)

// first is the value a parameter starts from: the base's, or for what the base does
// not have (factors, a new head) the reference's initialisation.
func (a *attempt) first(p nn.Param) ([]float32, error) {
	if p.Role == nn.Weight {
		m, head := a.base.Layout.Find(moduleOf(p.Name))
		head = head && m.Kind == adapters.Head
		if !head || a.keepHead || !m.Labels && a.base.Has(p.Name) {
			return a.base.Value(p)
		}
	}
	v := make([]float32, p.Shape.Size())
	r := rand.New(rand.NewPCG(uint64(*a.spec.Hyperparameters.Seed), hash(p.Name))) //nolint:gosec // initial weights are no secret
	switch {
	case strings.HasSuffix(p.Name, ".lora_B"), strings.HasSuffix(p.Name, ".bias"):
	case strings.HasSuffix(p.Name, ".lora_A"): // torch's kaiming_uniform_(a=√5): ±1/√in
		bound := 1 / math.Sqrt(float64(p.Shape.Dim(0)))
		for i := range v {
			v[i] = float32((2*r.Float64() - 1) * bound)
		}
	default: // BERT's initializer_range
		for i := range v {
			v[i] = float32(0.02 * r.NormFloat64())
		}
	}
	return v, nil
}

// hash is FNV-1a: each tensor has random numbers of its own.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range []byte(s) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// moduleOf is the module that a weight is of; "" is the model, which has a few of its own
// (a Marian's final_logits_bias).
func moduleOf(weight string) string { return weight[:max(0, strings.LastIndexByte(weight, '.'))] }
