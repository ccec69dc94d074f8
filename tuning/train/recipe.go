package train

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/arch"
	"lorikeet/inference/nn"
	"lorikeet/inference/prompt"
	"lorikeet/tuning"
	"lorikeet/tuning/data"
)

// recipe is what tells one kind of fine-tune from another.
type recipe struct {
	lora   bool // factors on the target modules learn, and the modules to save; else everything
	export func(*attempt) (map[string]string, error)
}

// recipeOf finds the recipe of a job. An instruction tune is one of the others, by its
// method.
func recipeOf(s tuning.Spec) (recipe, error) {
	kind := s.Kind
	if kind == tuning.Instruction {
		kind = tuning.LoRA
		if s.Whole() {
			kind = tuning.Full
		}
	}
	r, ok := recipes[kind]
	if !ok {
		return r, invalid.Field("kind", "no recipe for %q", s.Kind)
	}
	return r, nil
}

var recipes = map[tuning.Kind]recipe{
	tuning.Full: {export: (*attempt).exportFull},
	tuning.LoRA: {lora: true, export: (*attempt).exportAdapter},
}

// setUp reads the rows, chooses the head, uploads the weights and goes back to the
// checkpoint that the attempt starts from.
func (a *attempt) setUp() error {
	var err error
	if a.recipe, err = recipeOf(a.spec); err != nil {
		return err
	}
	rows, err := readRows(a.task.Train)
	if err != nil {
		return err
	}
	var held []data.Row
	if a.task.Validation != "" {
		if held, err = readRows(a.task.Validation); err != nil {
			return err
		}
	}
	if a.target, err = a.teach(rows); err != nil {
		return err
	}
	if a.train, err = a.encode(rows); err != nil {
		return err
	}
	if a.held, err = a.encode(held); err != nil {
		return fmt.Errorf("validation: %w", err)
	}
	a.steps()
	if err := a.model(); err != nil {
		return err
	}
	return a.resume()
}

// teach says what the rows teach: the labels in the order of the logits, or a number.
// Where the base's head knows all the labels, its order is kept, and so is the head.
func (a *attempt) teach(rows []data.Row) (target, error) {
	if len(rows) == 0 {
		return target{}, invalid.Field("dataset", "has no rows")
	}
	if a.base.Generates() {
		return target{}, a.teachTexts(rows[0].Kind)
	}
	if a.spec.Kind == tuning.Instruction {
		return target{}, invalid.Field("model", "%q scores texts (%s, %s) and writes none: /tune/instruction needs a base that generates; /tune/lora and /tune/full tune this one",
			a.spec.Model, a.base.Facts().Family, a.base.Task())
	}
	var errs []error
	for field, given := range map[string]string{"template": a.spec.Template, "source_lang": a.spec.SourceLang} {
		if given != "" {
			errs = append(errs, invalid.Field(field, "is for bases that generate; %q scores texts", a.spec.Model))
		}
	}
	if len(errs) > 0 {
		return target{}, errors.Join(errs...)
	}
	switch rows[0].Kind {
	case data.Regression:
		t := target{problem: arch.Regression, labels: []string{"LABEL_0"}} // transformers' name for it
		if f := a.base.Facts(); f.Problem == arch.Regression && len(f.Labels) == 1 {
			t.labels = f.Labels
		}
		return t, nil
	case data.Classification:
	default:
		return target{}, invalid.Field("dataset", "holds %s rows; /tune/%s needs a label or a number for each text", rows[0].Kind, a.spec.Kind)
	}
	labels := data.Classes(rows)
	if len(labels) < 2 {
		return target{}, invalid.Field("dataset", "has only the label %q: nothing can be learned from one class", labels[0])
	}
	if len(labels) > nn.MaxLabels {
		return target{}, invalid.Field("dataset", "has %d labels, at most %d are served", len(labels), nn.MaxLabels)
	}
	t := target{problem: arch.SingleLabel, labels: labels, index: map[string]int{}}
	f := a.base.Facts()
	if f.Problem == arch.SingleLabel && knows(f.Labels, labels) {
		t.labels = f.Labels
	}
	for i, l := range t.labels {
		t.index[l] = i
	}
	if f.Problem == arch.SingleLabel && numbered(labels, len(f.Labels)) { // 0 and 1 mean the base's first and second
		t.labels = f.Labels
		for i := range t.labels {
			t.index[fmt.Sprint(i)] = i
		}
	}
	return t, nil
}

// teachTexts refuses rows that a generating base cannot learn from, and finds the
// template that makes prompts of the others. Sources and prompts are read as they stand
// unless the job names one.
func (a *attempt) teachTexts(kind data.Kind) error {
	switch kind {
	case data.Classification, data.Regression, data.Text:
		return invalid.Field("dataset", "holds %s rows; %q generates (%s, %s): give %s",
			kind, a.spec.Model, a.base.Facts().Family, a.base.Task(), rowsToGive)
	}
	var err error
	if a.template, err = prompt.Named(a.spec.Template, a.base.Chat); err != nil {
		return err
	}
	if kind != data.Seq2Seq || a.spec.Template != "" {
		a.taught = a.template.Name()
	}
	if a.taught == "chat" {
		return a.base.Chat.Broken()
	}
	return nil
}

func knows(have, need []string) bool {
	for _, l := range need {
		if !slices.Contains(have, l) {
			return false
		}
	}
	return true
}

// numbered reports whether the labels are the numbers 0 to n-1.
func numbered(labels []string, n int) bool {
	if len(labels) != n {
		return false
	}
	for i, l := range labels {
		if l != fmt.Sprint(i) {
			return false
		}
	}
	return true
}

func readRows(path string) ([]data.Row, error) {
	rows, err := data.Read(path)
	if err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	return rows, nil
}

// encode tokenizes rows, cutting texts to the longest the run allows.
func (a *attempt) encode(rows []data.Row) ([]example, error) {
	if a.base.Generates() {
		return a.lessons(rows)
	}
	limit := a.maxLength()
	examples := make([]example, len(rows))
	for i, r := range rows {
		var e example
		if a.sample == 0 || i < a.sample {
			e.tokens = a.base.Text.Encode(r.Text, r.Pair, limit)
		}
		if a.target.problem == arch.Regression {
			if r.Target == nil {
				return nil, invalid.Line(r.Line, "target", "is not a number")
			}
			e.target = *r.Target
		} else {
			var known bool
			if e.label, known = a.target.index[r.Label]; !known {
				return nil, invalid.Line(r.Line, "label", "%q is not among the labels of the training rows: %s", r.Label, strings.Join(a.target.labels, ", "))
			}
		}
		examples[i] = e
	}
	return examples, nil
}

func (a *attempt) maxLength() int {
	n := *a.spec.Hyperparameters.MaxLength
	if f := a.base.Facts(); f.MaxLength > 0 { // else any length will do (T5)
		n = min(n, f.MaxLength)
	}
	return n
}

// model uploads the base and what learns.
func (a *attempt) model() error {
	h := a.spec.Hyperparameters
	a.keepHead = a.base.Generates() || sameHead(a.base.Facts(), a.target)
	a.loop = &loop{backend: a.Backend, base: a.base, devices: max(a.Devices, 1), model: a.family(), random: true,
		maxNorm: *h.MaxGradNorm, decay: *h.WeightDecay, seed: *h.Seed}
	learns := a.learns
	if a.recipe.lora {
		if err := a.plan(); err != nil {
			return err
		}
		a.loop.learn = learn(a.ranks, *a.spec.LoRA.Dropout)
		learns = a.saves
	}
	return a.loop.prepare(learns, a.first)
}

// family is the base's, with the run's head and dropout.
func (a *attempt) family() model {
	rate, pad := a.spec.Hyperparameters.Dropout, a.base.Text.PadID()
	switch {
	case a.base.Seq2Seq != nil:
		m := translator{arch: a.base.Seq2Seq, pad: pad, source: a.maxLength(), target: a.maxTarget(), banned: a.base.Banned()}
		if rate != nil {
			m.arch = m.arch.WithDropout(*rate)
		}
		return m
	case a.base.Causal != nil:
		m := speaker{arch: a.base.Causal, pad: pad, limit: a.maxLength(), banned: a.base.Banned()}
		if rate != nil {
			m.arch = m.arch.WithDropout(*rate)
		}
		return m
	}
	m := classifier{arch: a.base.Arch, problem: a.target.problem, pad: pad, limit: a.maxLength()}
	if !a.keepHead {
		m.arch = m.arch.WithLabels(a.target.labels, a.target.problem)
	}
	if rate != nil {
		m.arch = m.arch.WithDropout(*rate)
	}
	return m
}

// sameHead reports whether the base's own head gives what the rows teach.
func sameHead(f arch.Facts, t target) bool {
	if t.problem == arch.Regression {
		return f.Problem == arch.Regression && len(f.Labels) == 1
	}
	return f.Problem == t.problem && slices.Equal(f.Labels, t.labels)
}

// path is a file in the attempt's folder.
func (a *attempt) path(name string) string { return a.task.Dir + string(os.PathSeparator) + name }

// learns reports whether one of the base's weights learns in a full fine-tune.
func (a *attempt) learns(name string) bool {
	return a.base.Seq2Seq == nil || !slices.Contains(a.base.Seq2Seq.Facts().Fixed, name)
}
