package train

import (
	"maps"
	"slices"
	"strings"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/inference"
	"lorikeet/inference/nn"
)

// learn gives the graph the ranks of a plan.
func learn(plan adapters.Plan, dropout float64) *nn.Learn {
	return &nn.Learn{Dropout: dropout, Rank: func(path string) (int, float64) {
		r := plan.Ranks[path]
		return r.R, r.Scale
	}}
}

// plan applies the LoRA options to the base.
func (a *attempt) plan() error {
	o := a.spec.LoRA
	f := a.base.Facts()
	targets, err := o.Targets(f.Targets)
	if err != nil {
		return err
	}
	save := o.ModulesToSave
	if save == nil || !a.keepHead { // a head made anew must be saved
		save = union(save, f.Heads)
	}
	task := map[string]string{inference.TaskClassification: "SEQ_CLS", inference.TaskTextToText: "SEQ_2_SEQ_LM", inference.TaskText: "CAUSAL_LM"}[a.base.Task()]
	a.config = adapters.Config{PeftType: "LORA", TaskType: &task, BaseModel: baseName(a.base), R: *o.R, Alpha: *o.Alpha,
		Dropout: *o.Dropout, Targets: targets, Bias: "none", Save: save, RSLoRA: *o.UseRSLoRA,
		RankPattern: adapters.Patterns[int]{}, AlphaPattern: adapters.Patterns[float64]{}}
	if a.ranks, err = a.config.Plan(a.base.Layout); err != nil {
		return err
	}
	for _, path := range a.ranks.Saved {
		if m, _ := a.base.Layout.Find(path); m.Kind != adapters.Head {
			return invalid.Field("lora.modules_to_save", "%s: only layers of the classification head can be saved whole: %s", path, strings.Join(f.Heads, ", "))
		}
	}
	for path := range a.ranks.Ranks {
		if m, _ := a.base.Layout.Find(path); m.Kind == adapters.Embedding {
			return invalid.Field("lora.target_modules", "%s: LoRA on an embedding can be served but not trained here", path)
		}
	}
	return nil
}

func union(a, b []string) []string {
	all := map[string]bool{}
	for _, s := range append(slices.Clone(a), b...) {
		all[s] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// baseName is what goes into base_model_name_or_path: the hub's name where there is
// one. A path of this machine would mean nothing elsewhere.
func baseName(b *inference.Base) string {
	repo, ok := strings.CutPrefix(b.Source, "hf:")
	if !ok {
		return b.Name
	}
	repo, _, _ = strings.Cut(repo, "@")
	return repo
}

// saves reports whether one of the base's weights learns beside the factors.
func (a *attempt) saves(name string) bool {
	return slices.Contains(a.ranks.Saved, moduleOf(name))
}
