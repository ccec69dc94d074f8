package tuning

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/inference/prompt"
)

// WithDefaults is the spec with every absent option filled in. The learning rates
// are those that the reference recipes use: 5e-5 for a full fine-tune (Devlin et al.
// 2018, appendix A.3), 1e-3 for LoRA (PEFT's examples of sequence classification and of
// conditional generation).
func (s Spec) WithDefaults() Spec {
	h := Hyperparameters{}
	if s.Hyperparameters != nil {
		h = *s.Hyperparameters
	}
	rate := 1e-3
	if s.Whole() {
		rate = 5e-5
	}
	fill(&h.Epochs, 3)
	fill(&h.MaxSteps, 0)
	fill(&h.BatchSize, 16)
	fill(&h.GradientAccumulation, 1)
	fill(&h.LearningRate, rate)
	fill(&h.WeightDecay, 0.01)
	fill(&h.WarmupRatio, 0)
	fill(&h.Schedule, "linear")
	fill(&h.MaxGradNorm, 1)
	fill(&h.MaxLength, map[bool]int{true: 256, false: 128}[s.Kind == Instruction])
	fill(&h.MaxTargetLength, 128)
	fill(&h.Seed, 42)
	fill(&h.Shuffle, true)
	s.Hyperparameters = &h
	if s.Kind == LoRA || s.Kind == Instruction && !s.Whole() {
		l := LoRAOptions{}
		if s.LoRA != nil {
			l = *s.LoRA
		}
		fill(&l.R, 8)
		fill(&l.Alpha, 16)
		fill(&l.Dropout, 0)
		fill(&l.UseRSLoRA, false)
		s.LoRA = &l
	}
	if s.EarlyStopping != nil && s.EarlyStopping.Metric == "" {
		e := *s.EarlyStopping
		e.Metric = "eval_loss"
		s.EarlyStopping = &e
	}
	if s.Promote != nil && s.Promote.Than == "" {
		p := *s.Promote
		p.Than = adapters.ThanCurrent
		s.Promote = &p
	}
	return s
}

func fill[V any](p **V, v V) {
	if *p == nil {
		*p = &v
	}
}

// Whole reports whether every weight learns, which makes a model of its own.
func (s Spec) Whole() bool { return s.Kind == Full || s.Kind == Instruction && s.Method == "full" }

// Validate reports everything that is wrong with a spec that has its defaults, as far
// as it can be seen without the base and the rows.
func (s Spec) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) { errs = append(errs, invalid.Field(field, format, args...)) }
	switch s.Kind {
	case Full, LoRA:
		if s.Method != "" {
			bad("method", "is for /tune/instruction only")
		}
	case Instruction:
		if s.Method != "" && s.Method != "lora" && s.Method != "full" {
			bad("method", "%q is not a method; known: lora, full", s.Method)
		}
	default:
		bad("kind", "%q is not a kind of fine-tune; known: full, lora, instruction", s.Kind)
	}
	if s.Model == "" {
		bad("model", "is missing: name a base (see GET /models)")
	}
	errs = append(errs, adapters.CheckName("name", s.Name), s.sources())
	if s.Template != "" && !slices.Contains(prompt.Names, s.Template) {
		bad("template", "%q is not a template; known: %s", s.Template, strings.Join(prompt.Names, ", "))
	}
	if (s.SourceLang == "") != (s.TargetLang == "") {
		bad("source_lang", "give source_lang and target_lang both, or neither")
	}
	if s.Whole() && s.LoRA != nil {
		bad("lora", "a full fine-tune has no LoRA options")
	}
	errs = append(errs, s.Hyperparameters.validate(), s.LoRA.validate())
	if e := s.EarlyStopping; e != nil {
		if e.Patience < 1 {
			bad("early_stopping.patience", "must be at least 1, is %d", e.Patience)
		}
		if s.Validation == nil {
			bad("early_stopping", "needs validation rows: give validation, for example {\"split\":0.1}")
		}
		if !strings.HasPrefix(e.Metric, "eval_") {
			bad("early_stopping.metric", "%q is not a metric: they begin with eval_, for example eval_loss or eval_accuracy", e.Metric)
		}
	}
	if p := s.Promote; p != nil {
		if s.Validation == nil {
			bad("promote", "needs validation rows: give validation, for example {\"split\":0.1}")
		}
		if !strings.HasPrefix(p.If, "eval_") {
			bad("promote.if", "%q is not a metric: they begin with eval_, for example eval_accuracy or eval_loss", p.If)
		}
		if p.Than != adapters.ThanCurrent && p.Than != adapters.ThanBase {
			bad("promote.than", "%q is neither current nor base", p.Than)
		}
		if !(p.MinDelta >= -1e6 && p.MinDelta <= 1e6) {
			bad("promote.min_delta", "must be between -1e6 and 1e6, is %v", p.MinDelta)
		}
	}
	if e := s.Evaluate; e != nil && e.EverySteps < 0 {
		bad("evaluate.every_steps", "must not be negative, is %d", e.EverySteps)
	}
	if e := s.Evaluate; e != nil && e.GenerateRows != nil && (*e.GenerateRows < 0 || *e.GenerateRows > 10_000) {
		bad("evaluate.generate_rows", "must be between 0 and 10000, is %d", *e.GenerateRows)
	}
	if s.CheckpointEvery < 0 {
		bad("checkpoint_every_steps", "must not be negative, is %d", s.CheckpointEvery)
	}
	if s.Priority < -100 || s.Priority > 100 {
		bad("priority", "must be between -100 and 100, is %d", s.Priority)
	}
	if len(s.IdempotencyKey) > 255 {
		bad("idempotency_key", "is %d bytes, at most 255 are taken", len(s.IdempotencyKey))
	}
	if s.Class != "" {
		errs = append(errs, adapters.CheckName("class", s.Class))
	}
	return errors.Join(errs...)
}

func (s Spec) sources() error {
	var errs []error
	if s.Dataset == nil {
		errs = append(errs, invalid.Field("dataset", `is missing: give {"id":"ds_…"}, {"rows":[…]} or {"hf":"owner/name","split":"train"}`))
	} else {
		errs = append(errs, s.Dataset.validate("dataset"))
		if _, ok := s.Dataset.Share(); ok {
			errs = append(errs, invalid.Field("dataset.split", "a share of the rows goes in validation.split"))
		}
	}
	if v := s.Validation; v != nil {
		if share, ok := v.Share(); ok {
			if !(share > 0 && share < 1) {
				errs = append(errs, invalid.Field("validation.split", "must be between 0 and 1, is %v", share))
			}
			if v.count() > 0 {
				errs = append(errs, invalid.Field("validation", "give rows of their own or a share of the training rows, not both"))
			}
			if v.chooses() {
				errs = append(errs, invalid.Field("validation", "a share is taken of the training rows as dataset chose them; it has a split and nothing else"))
			}
		} else {
			errs = append(errs, v.validate("validation"))
		}
	}
	return errors.Join(errs...)
}

// Share is the part of the training rows to hold back, where Split is a number.
func (s *Source) Share() (float64, bool) {
	b := bytes.TrimSpace(s.Split)
	if len(b) == 0 || b[0] == '"' {
		return 0, false
	}
	var f float64
	return f, json.Unmarshal(b, &f) == nil
}

// schedules are the learning-rate schedules.
var schedules = []string{"linear", "cosine", "constant"}

func (h *Hyperparameters) validate() error {
	var errs []error
	ranged := func(name string, v, low, high float64) {
		if !(v >= low && v <= high) { // also false for NaN
			errs = append(errs, invalid.Field("hyperparameters."+name, "must be between %v and %v, is %v", low, high, v))
		}
	}
	ranged("epochs", *h.Epochs, 0.001, 10000)
	ranged("max_steps", float64(*h.MaxSteps), 0, 1e9)
	ranged("batch_size", float64(*h.BatchSize), 1, 1024)
	ranged("gradient_accumulation", float64(*h.GradientAccumulation), 1, 1024)
	ranged("learning_rate", *h.LearningRate, 1e-12, 10)
	ranged("weight_decay", *h.WeightDecay, 0, 1)
	ranged("warmup_ratio", *h.WarmupRatio, 0, 1)
	ranged("max_grad_norm", *h.MaxGradNorm, 0, math.MaxFloat32)
	ranged("max_length", float64(*h.MaxLength), 4, 1<<20)
	ranged("max_target_length", float64(*h.MaxTargetLength), 2, 1<<20)
	if h.Dropout != nil && !(*h.Dropout >= 0 && *h.Dropout < 1) {
		errs = append(errs, invalid.Field("hyperparameters.dropout", "must be in [0, 1), is %v", *h.Dropout))
	}
	if !slices.Contains(schedules, *h.Schedule) {
		errs = append(errs, invalid.Field("hyperparameters.schedule", "%q is not a schedule; known: %s", *h.Schedule, strings.Join(schedules, ", ")))
	}
	return errors.Join(errs...)
}

func (l *LoRAOptions) validate() error {
	if l == nil {
		return nil
	}
	var errs []error
	if l.R != nil && (*l.R < 1 || *l.R > 256) {
		errs = append(errs, invalid.Field("lora.r", "must be between 1 and 256, is %d", *l.R))
	}
	if l.Alpha != nil && !(*l.Alpha > 0 && *l.Alpha <= 1e6) {
		errs = append(errs, invalid.Field("lora.alpha", "must be above 0, is %v", *l.Alpha))
	}
	if l.Dropout != nil && !(*l.Dropout >= 0 && *l.Dropout < 1) {
		errs = append(errs, invalid.Field("lora.dropout", "must be in [0, 1), is %v", *l.Dropout))
	}
	if _, err := l.Targets(nil); err != nil {
		errs = append(errs, err)
	}
	for i, m := range l.ModulesToSave {
		if !moduleRule.MatchString(m) {
			errs = append(errs, invalid.Field(fmt.Sprintf("lora.modules_to_save[%d]", i), "%q is not the name of a module", m))
		}
	}
	return errors.Join(errs...)
}

var moduleRule = regexp.MustCompile(`^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$`)

// Targets reads target_modules, with the given default.
func (l *LoRAOptions) Targets(standard []string) (adapters.Names, error) {
	if b := bytes.TrimSpace(l.TargetModules); len(b) == 0 || string(b) == "null" {
		return adapters.Names{List: standard}, nil
	}
	var n adapters.Names
	if err := json.Unmarshal(l.TargetModules, &n); err != nil {
		return n, invalid.Field("lora.target_modules", `must be a list of names, a regular expression or "all-linear"`)
	}
	if n.Empty() {
		return n, invalid.Field("lora.target_modules", "is empty")
	}
	return n, nil
}
