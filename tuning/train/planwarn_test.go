package train

import (
	"slices"
	"strings"
	"testing"

	"lorikeet/inference/inferencetest"
	"lorikeet/tuning"
)

func TestAPlanWarns(t *testing.T) {
	base := inferencetest.Base(t, "tiny", inferencetest.BERT(t))
	rows, err := readRows(reviews(t, 48, labelled))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*tuning.Spec)
		want   string // "": no such warning
	}{
		"of a high rate":         {func(s *tuning.Spec) { s.Hyperparameters.LearningRate = of(0.5) }, "is high for LoRA"},
		"of a low rate":          {func(s *tuning.Spec) { s.Hyperparameters.LearningRate = of(1e-9) }, "is low for LoRA"},
		"of a high rate for all": {func(s *tuning.Spec) { s.Kind, s.LoRA, s.Hyperparameters.LearningRate = tuning.Full, nil, of(1e-2) }, "is high for a full"},
		"of a batch of all":      {func(s *tuning.Spec) { s.Hyperparameters.BatchSize = of(64) }, "each epoch is one step"},
		"of few steps":           {func(s *tuning.Spec) { s.Hyperparameters.MaxSteps = of(2) }, "2 steps are few"},
		"of rows that are cut":   {func(s *tuning.Spec) { s.Hyperparameters.MaxLength = of(4) }, "are cut (100.0 %)"},
		"of few rows held back":  {func(*tuning.Spec) {}, "mostly chance"},
	} {
		s := courseOf(tuning.LoRA)
		c.change(&s)
		p, err := NewPlan(base, s, rows, rows[:6], Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(p.Warnings, func(w string) bool { return strings.Contains(w, c.want) }) {
			t.Errorf("%s: %q", name, p.Warnings)
		}
	}
	s := courseOf(tuning.LoRA)
	s.Hyperparameters.MaxLength = of(64)
	p, err := NewPlan(base, s, rows, rows, Limits{})
	if err != nil || len(p.Warnings) != 0 {
		t.Errorf("an ordinary job: %q, %v", p.Warnings, err)
	}
	if p.Lengths.Max != 6 || p.Lengths.Median != 6 || p.TrainedTokens != 120*p.Tokens/6 || p.Truncated != 0 { // [CLS] the movie was great [SEP]
		t.Errorf("%+v", p)
	}
}
