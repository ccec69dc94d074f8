package train

import (
	"fmt"
	"slices"
	"strings"
)

// measure sums up how long the rows are.
func (p *Plan) measure(a *attempt) {
	lengths := make([]int, len(a.train))
	for i, e := range a.train {
		lengths[i] = e.length()
	}
	slices.Sort(lengths)
	if n := len(lengths); n > 0 {
		p.Lengths = Lengths{Median: lengths[n/2], P95: lengths[min(n-1, n*95/100)], Max: lengths[n-1]}
		p.Truncated = 100 * float64(p.TruncatedRows) / float64(n)
		p.TrainedTokens = int64(float64(p.Tokens) * float64(a.total) / float64(a.per))
	}
}

func (p *Plan) warn(a *attempt) {
	add := func(format string, args ...any) { p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...)) }
	if len(a.train) > p.Rows {
		add("the %d conversations have %d answers: each is an example of its own", p.Rows, len(a.train))
	}
	switch {
	case p.TruncatedRows > 0 && a.base.Seq2Seq != nil:
		add("%d of %d examples are longer than max_length %d or max_target_length %d and are cut (%.1f %%)", p.TruncatedRows, len(a.train), a.maxLength(), a.maxTarget(), p.Truncated)
	case p.TruncatedRows > 0:
		add("%d of %d rows are longer than max_length %d and are cut (%.1f %%)", p.TruncatedRows, p.Rows, a.maxLength(), p.Truncated)
	}
	if n := *a.spec.Hyperparameters.MaxLength; n > a.maxLength() {
		add("max_length %d is more than the base takes: %d is used", n, a.maxLength())
	}
	p.warnOfSteps(a, add)
	if !a.base.Generates() && p.Rows < 10*max(2, len(p.Labels)) { // data warns of few rows of the other kinds
		add("%d rows for the labels %s are few", p.Rows, strings.Join(p.Labels, ", "))
	}
	if len(a.held) == 0 {
		add("there are no validation rows: nothing will be measured; give validation, for example {\"split\":0.1}")
	}
	if n := len(a.held); n > 0 && n < fewest {
		add("%d validation rows are few: what they measure is mostly chance, and no calibration is fitted to fewer than %d", n, fewest)
	}
}

// Rates beyond which a learning rate is more likely a slip than a choice, by what learns.
var (
	ratesFull = [2]float64{1e-6, 5e-4}
	ratesLoRA = [2]float64{1e-5, 2e-2}
)

// warnOfSteps tells of hyperparameters that do not fit each other or the rows.
func (p *Plan) warnOfSteps(a *attempt, add func(format string, args ...any)) {
	h := a.spec.Hyperparameters
	usual, kind, good := ratesFull, "a full fine-tune", "2e-5 to 1e-4"
	if a.recipe.lora {
		usual, kind, good = ratesLoRA, "LoRA", "1e-4 to 3e-3"
	}
	switch rate := *h.LearningRate; {
	case rate > usual[1]:
		add("learning_rate %g is high for %s; %s is usual", rate, kind, good)
	case rate < usual[0]:
		add("learning_rate %g is low for %s: little will be learned; %s is usual", rate, kind, good)
	}
	if size := *h.BatchSize * *h.GradientAccumulation; size > len(a.train) {
		add("a step takes %d examples (batch_size times gradient_accumulation), there are %d: each epoch is one step", size, len(a.train))
	}
	if p.Steps < 10 {
		add("%d steps are few; more epochs or a smaller batch_size make more", p.Steps)
	}
}
