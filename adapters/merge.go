package adapters

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
)

// The ways to merge adapters of one base, under the names and with the numbers of PEFT's
// add_weighted_adapter (peft 0.21.2). Those without svd work on lora_A and lora_B by
// themselves, so that all but cat need equal ranks; only cat gives exactly the weighted sum
// of the updates. Those with svd work on the updates, B·A times their scale, of any ranks,
// and give the best approximation of their rank; see svd.go.
const (
	MergeLinear     = "linear"          // weighted sum
	MergeCat        = "cat"             // factors side by side: the ranks add up
	MergeTies       = "ties"            // trim, elect signs, merge what agrees (Yadav et al. 2023)
	MergeDareLinear = "dare_linear"     // drop at random and rescale (Yu et al. 2023), weighted sum
	MergeDareTies   = "dare_ties"       // the same, then elect signs
	MergeMagnitude  = "magnitude_prune" // trim, weighted sum
	MergeSVD        = "svd"             // weighted sum of the updates

	svdSuffix = "_svd"
)

// MergeMethods are those above.
var MergeMethods = []string{MergeLinear, MergeCat, MergeTies, MergeDareLinear, MergeDareTies, MergeMagnitude,
	MergeSVD, MergeTies + svdSuffix, MergeDareLinear + svdSuffix, MergeDareTies + svdSuffix, MergeMagnitude + svdSuffix}

// maxMergedRank is more than a base serves.
const maxMergedRank = 256

// Merging says how adapters become one.
type Merging struct {
	Method  string  `json:"method" example:"ties"`
	Rank    int     `json:"svd_rank,omitempty" example:"8"`                                         // of the result, with svd; 0: the largest of the parts
	Density float64 `json:"density,omitempty" example:"0.5"`                                        // share of the values that stay; of ties and dare
	Sign    string  `json:"majority_sign_method,omitempty" example:"total" enums:"total,frequency"` // of ties
	Seed    uint64  `json:"seed,omitempty" example:"42"`                                            // of dare's draws
	Parts   []Part  `json:"adapters"`
} // @name Merging

// Part is one of the adapters that were merged.
type Part struct {
	Ref    Ref     `json:"version"`
	Weight float64 `json:"weight" example:"0.5"`
} // @name MergedPart

// Check reports everything that is wrong with a merging.
func (m Merging) Check() error {
	var errs []error
	bad := func(field, format string, args ...any) { errs = append(errs, invalid.Field(field, format, args...)) }
	if !slices.Contains(MergeMethods, m.Method) {
		bad("method", "%q is none of %s", m.Method, strings.Join(MergeMethods, ", "))
	}
	if m.Rank < 0 || m.Rank > maxMergedRank {
		bad("svd_rank", "must be between 1 and %d, is %d", maxMergedRank, m.Rank)
	}
	if m.Rank > 0 && !m.updates() {
		bad("svd_rank", "goes with svd and the methods that end with _svd")
	}
	if m.Prunes() && !(m.Density > 0 && m.Density <= 1) {
		bad("density", "must be above 0 and at most 1, is %v", m.Density)
	}
	if m.Sign != "total" && m.Sign != "frequency" {
		bad("majority_sign_method", "%q is neither total nor frequency", m.Sign)
	}
	for i, p := range m.Parts {
		if math.IsNaN(p.Weight) || math.Abs(p.Weight) > 1e3 || p.Weight == 0 {
			bad(fmt.Sprintf("adapters[%d].weight", i), "must be between -1000 and 1000, and not 0")
		}
	}
	return errors.Join(errs...)
}

// updates reports whether the updates are merged, rather than their factors.
func (m Merging) updates() bool {
	return m.Method == MergeSVD || strings.HasSuffix(m.Method, svdSuffix)
}

// tasks is how task vectors are merged, be they factors or updates.
func (m Merging) tasks() string {
	if m.Method == MergeSVD {
		return MergeLinear
	}
	return strings.TrimSuffix(m.Method, svdSuffix)
}

// Prunes reports whether the method drops values: Density says how many stay.
func (m Merging) Prunes() bool { return m.tasks() != MergeLinear && m.tasks() != MergeCat }

// Draws reports whether it drops them at random: by Seed.
func (m Merging) Draws() bool { return m.tasks() == MergeDareLinear || m.tasks() == MergeDareTies }

// Merge makes one adapter of several that were read against the same base. Heads that were
// replaced whole are averaged by weight; they must have the same labels. Between two
// modules it looks whether ctx is over: svd may take minutes.
func Merge(ctx context.Context, m Merging, parts []*Adapter, base Layout) (*Adapter, error) {
	if err := errors.Join(m.Check(), mergeable(m, parts, base)); err != nil {
		return nil, err
	}
	first := parts[0]
	out := &Adapter{Config: first.Config, Factors: map[string]Factors{}, Biases: map[string][]float32{}, Saved: map[string]Dense{}, Meta: first.Meta}
	rank := first.Config.R
	switch {
	case m.Method == MergeCat:
		rank = 0
		for _, p := range parts {
			rank += p.Rank()
		}
	case m.Rank > 0:
		rank = m.Rank
	case m.updates():
		for _, p := range parts {
			rank = max(rank, p.Rank())
		}
	}
	for _, mod := range base {
		var have []int
		for i, p := range parts {
			if _, ok := p.Factors[mod.Path]; ok {
				have = append(have, i)
			}
		}
		if len(have) == 0 {
			continue
		}
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		f := Factors{Rank: rank, In: mod.In, Out: mod.Out, Scale: 1}
		var err error
		switch {
		case m.Method == MergeCat:
			f.A, f.B = cat(m, parts, have, mod, rank)
		case m.updates():
			f.A, f.B, err = m.approximate(parts, have, mod, rank)
		default:
			f.A, f.B = m.combine(parts, have, mod.Path)
		}
		if err != nil {
			return nil, fmt.Errorf("merge %s: %w", mod.Path, err)
		}
		out.Factors[mod.Path] = f
	}
	for path := range first.Saved {
		out.Saved[path] = averaged(m, parts, path)
	}
	c := &out.Config
	c.R, c.Alpha, c.RSLoRA, c.Dropout = rank, float64(rank), false, 0
	c.RankPattern, c.AlphaPattern = Patterns[int]{}, Patterns[float64]{}
	return out, out.retarget(base)
}

// retarget names the modules that have factors: by their last names where that means the
// same, else in full.
func (a *Adapter) retarget(base Layout) error {
	c := &a.Config
	c.Exclude, c.Layers, c.LayersPattern = Names{}, nil, Names{}
	c.Targets = Names{List: a.Targets()}
	if p, err := c.Plan(base); err == nil && len(p.Ranks) == len(a.Factors) {
		return nil
	}
	c.Targets = Names{List: slices.Sorted(maps.Keys(a.Factors))}
	p, err := c.Plan(base)
	if err == nil && len(p.Ranks) != len(a.Factors) {
		err = fmt.Errorf("merged adapter: %d modules have factors, its configuration means %d", len(a.Factors), len(p.Ranks))
	}
	return err
}

// mergeable refuses what cannot be merged.
func mergeable(m Merging, parts []*Adapter, base Layout) error {
	var errs []error
	bad := func(i int, format string, args ...any) {
		errs = append(errs, invalid.Field(fmt.Sprintf("adapters[%d]", i), format, args...))
	}
	if len(parts) < 2 || len(parts) != len(m.Parts) {
		return invalid.Field("adapters", "merging takes at least two")
	}
	first := parts[0]
	for i, p := range parts {
		if p.Config.DoRA || p.Config.UpBias || len(p.Biases) > 0 {
			bad(i, "has DoRA or biases of its own; only plain LoRA can be merged")
		}
		for path, f := range p.Factors {
			if mod, _ := base.Find(path); mod.Kind == Embedding || len(f.A) != f.Rank*f.In || len(f.B) != f.Rank*f.Out {
				bad(i, "has LoRA on %s; only linear layers can be merged", path)
			}
			if m.Method != MergeCat && !m.updates() && f.Rank != first.Config.R {
				bad(i, "has rank %d on %s, the first has %d; %s needs equal ranks, cat and svd do not", f.Rank, path, first.Config.R, m.Method)
				break
			}
		}
		if !slices.Equal(slices.Sorted(maps.Keys(p.Saved)), slices.Sorted(maps.Keys(first.Saved))) {
			bad(i, "replaces %q whole, the first %q; heads can be averaged when all replace the same layers", slices.Sorted(maps.Keys(p.Saved)), slices.Sorted(maps.Keys(first.Saved)))
		} else if len(first.Saved) > 0 && (!slices.Equal(p.Meta.Labels, first.Meta.Labels) || p.Meta.Problem != first.Meta.Problem) {
			bad(i, "has a head for the labels %q, the first for %q; heads of different labels cannot be averaged", p.Meta.Labels, first.Meta.Labels)
		} else {
			for path, d := range p.Saved {
				if d.Out != first.Saved[path].Out || len(d.Bias) != len(first.Saved[path].Bias) {
					bad(i, "has another shape of %s than the first", path)
				}
			}
		}
		if p.Meta.Template != first.Meta.Template {
			bad(i, "was taught with the template %q, the first with %q", p.Meta.Template, first.Meta.Template)
		}
	}
	total := 0.0
	for _, p := range m.Parts {
		total += p.Weight
	}
	if len(first.Saved) > 0 && math.Abs(total) < 1e-6 {
		errs = append(errs, invalid.Field("adapters", "the weights add up to 0: their heads cannot be averaged"))
	}
	return errors.Join(errs...)
}

// cat puts the factors side by side, [rank, in] and [out, rank], weights and scales in A.
func cat(m Merging, parts []*Adapter, have []int, mod Module, rank int) (a, b []float32) {
	a, b = make([]float32, rank*mod.In), make([]float32, mod.Out*rank)
	at := 0
	for _, i := range have {
		f := parts[i].Factors[mod.Path]
		by := float32(m.Parts[i].Weight * f.Scale)
		for k, x := range f.A {
			a[at*mod.In+k] = by * x
		}
		for o := range mod.Out {
			copy(b[o*rank+at:o*rank+at+f.Rank], f.B[o*f.Rank:(o+1)*f.Rank])
		}
		at += f.Rank
	}
	return a, b
}

// combine merges the factors of a module as task vectors of their own. The root of weight
// times scale goes to either side; a sign goes to A.
func (m Merging) combine(parts []*Adapter, have []int, path string) (a, b []float32) {
	var as, bs [][]float32
	var wa, wb []float64
	for _, i := range have {
		f := parts[i].Factors[path]
		w := m.Parts[i].Weight * f.Scale
		root := math.Sqrt(math.Abs(w))
		wb = append(wb, root)
		wa = append(wa, math.Copysign(root, w))
		as = append(as, m.pruned(f.A, fmt.Sprintf("%d/%s/lora_A", i, path)))
		bs = append(bs, m.pruned(f.B, fmt.Sprintf("%d/%s/lora_B", i, path)))
	}
	return m.sum(as, wa), m.sum(bs, wb)
}

// sum adds weighted task vectors: all of them, or of each value those whose sign is the
// elected one, divided by how many they are.
func (m Merging) sum(tasks [][]float32, weights []float64) []float32 {
	out := make([]float32, len(tasks[0]))
	elect := m.tasks() == MergeTies || m.tasks() == MergeDareTies
	for k := range out {
		var sum, votes float64
		for _, t := range tasks {
			if m.Sign == "frequency" {
				votes += sign(t[k])
			} else {
				votes += float64(t[k])
			}
		}
		chosen, n := 1.0, 0
		if votes < 0 {
			chosen = -1
		}
		for i, t := range tasks {
			if !elect || sign(t[k]) == chosen {
				sum += weights[i] * float64(t[k])
				n++
			}
		}
		if elect {
			sum /= float64(max(n, 1))
		}
		out[k] = float32(sum)
	}
	return out
}

func sign(x float32) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

// averaged is the mean of a layer that all replace, by weight.
func averaged(m Merging, parts []*Adapter, path string) Dense {
	total := 0.0
	for _, p := range m.Parts {
		total += p.Weight
	}
	d := parts[0].Saved[path]
	mean := func(of func(Dense) []float32) []float32 {
		out := make([]float64, len(of(d)))
		for i, p := range parts {
			for k, x := range of(p.Saved[path]) {
				out[k] += m.Parts[i].Weight / total * float64(x)
			}
		}
		all := make([]float32, len(out))
		for k, x := range out {
			all[k] = float32(x)
		}
		return all
	}
	merged := Dense{In: d.In, Out: d.Out, Weight: mean(func(d Dense) []float32 { return d.Weight })}
	if d.Bias != nil {
		merged.Bias = mean(func(d Dense) []float32 { return d.Bias })
	}
	return merged
}
