package train

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lorikeet/adapters"
	"lorikeet/adapters/safetensors"
	"lorikeet/inference"
	"lorikeet/inference/nn"
)

// rival is a model that the candidate of a gate is compared with: a version of its name,
// or the base. It is scored by the loop that trained the candidate, on the same rows.
type rival struct {
	base     *inference.Base   // the run's, or a full fine-tune of it
	made     *adapters.Adapter // nil: none
	labels   []string          // of its outputs
	template string            // that it was taught with; empty: the run's
}

// openRival reads the version that is current.
func (a *attempt) openRival() (r rival, closes func() error, err error) {
	closes = func() error { return nil }
	dir := a.task.Current.Dir
	r = rival{base: a.base, template: a.task.Current.Template}
	if !a.recipe.lora {
		if r.base, err = inference.OpenBase(a.spec.Model, "", os.DirFS(dir)); err != nil {
			return r, closes, err
		}
		r.labels = r.base.Facts().Labels
		return r, r.base.Close, nil
	}
	if r.made, err = readAdapter(filepath.Join(dir, adapters.ConfigFile), filepath.Join(dir, adapters.WeightsFile), a.base.Layout); err != nil {
		return r, closes, err
	}
	made, err := a.base.Prepare(adapters.Ref{}, r.made) // knows how its head is served
	if err != nil {
		return r, closes, err
	}
	if r.labels = made.Labels; r.labels == nil {
		r.labels = a.base.Facts().Labels
	}
	return r, closes, foreign(r.made, a.base.Layout)
}

func readAdapter(config, weights string, base adapters.Layout) (*adapters.Adapter, error) {
	c, err := os.ReadFile(config) //nolint:gosec // the attempt's own folder
	if err != nil {
		return nil, err
	}
	w, err := os.Open(weights) //nolint:gosec // the same
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.Close() }() // read only
	info, err := w.Stat()
	if err != nil {
		return nil, err
	}
	file, err := safetensors.Open(w, info.Size())
	if err != nil {
		return nil, err
	}
	return adapters.Read(c, file, base)
}

// foreign reports what the training graph does not compute of an adapter made elsewhere.
func foreign(a *adapters.Adapter, base adapters.Layout) error {
	var odd []string
	if a.Config.DoRA {
		odd = append(odd, "DoRA")
	}
	if a.Config.UpBias {
		odd = append(odd, "lora_bias")
	}
	if len(a.Biases) > 0 {
		odd = append(odd, "biases")
	}
	for _, m := range base {
		if _, ok := a.Factors[m.Path]; ok && m.Kind == adapters.Embedding {
			odd = append(odd, "LoRA on "+m.Path)
		}
		if _, ok := a.Saved[m.Path]; ok && m.Kind != adapters.Head {
			odd = append(odd, "a copy of "+m.Path)
		}
	}
	if len(odd) > 0 {
		return fmt.Errorf("it has %s, which training does not compute", strings.Join(odd, ", "))
	}
	return nil
}

// measure scores a rival on the rows held back.
func (a *attempt) measure(ctx context.Context, r rival) (map[string]float64, error) {
	if !a.base.Generates() && !sameLabels(r.labels, a.target.labels) {
		return nil, fmt.Errorf("its labels are %s, those of the rows are %s", strings.Join(r.labels, ", "), strings.Join(a.target.labels, ", "))
	}
	b := &attempt{Trainer: a.Trainer, task: a.task, spec: a.spec, report: a.report, base: r.base,
		target: target{labels: r.labels, problem: a.target.problem, index: map[string]int{}}}
	defer b.close()
	for label, i := range a.target.index { // also the names that stand for others
		if at := slices.Index(r.labels, a.target.labels[i]); at >= 0 {
			b.target.index[label] = at
		}
	}
	rows, err := readRows(a.task.Validation)
	if err != nil {
		return nil, err
	}
	if a.base.Generates() {
		if r.template != "" {
			b.spec.Template = r.template
		}
		if err := b.teachTexts(rows[0].Kind); err != nil {
			return nil, err
		}
	}
	if b.held, err = b.encode(rows); err != nil {
		return nil, err
	}
	b.keepHead = r.base.Generates() || sameHead(r.base.Facts(), b.target)
	b.loop = &loop{backend: a.Backend, base: r.base, model: b.family()}
	learns := func(string) bool { return false }
	if r.made != nil {
		b.config = r.made.Config
		if b.ranks, err = b.config.Plan(r.base.Layout); err != nil {
			return nil, err
		}
		b.loop.learn = learn(b.ranks, 0)
		learns = b.saves
	}
	if err := b.loop.prepare(learns, func(p nn.Param) ([]float32, error) { return valueOf(r.base, r.made, p) }); err != nil {
		return nil, err
	}
	return b.score(ctx)
}

// sameLabels compares two sets of labels, in any order.
func sameLabels(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// valueOf is a parameter's value in a finished adapter, in the layout of the device: the
// way back from put.
func valueOf(base *inference.Base, a *adapters.Adapter, p nn.Param) ([]float32, error) {
	var f adapters.Factors
	var d adapters.Dense
	i := strings.LastIndexByte(p.Name, '.')
	if a != nil && i > 0 {
		f, d = a.Factors[p.Name[:i]], a.Saved[p.Name[:i]]
	}
	switch p.Name[i+1:] {
	case "lora_A": // of PEFT [r, in]
		return sized(p, inference.Transpose(f.A, f.Rank, f.In))
	case "lora_B": // of PEFT [out, r]
		return sized(p, inference.Transpose(f.B, f.Out, f.Rank))
	case "weight":
		if d.Weight != nil {
			return sized(p, inference.Transpose(d.Weight, d.Out, d.In))
		}
	case "bias":
		if d.Weight != nil {
			return sized(p, d.Bias)
		}
	}
	return base.Value(p)
}

func sized(p nn.Param, v []float32) ([]float32, error) {
	if len(v) != p.Shape.Size() {
		return nil, fmt.Errorf("%s has %d values, the graph needs %d", p.Name, len(v), p.Shape.Size())
	}
	return v, nil
}
