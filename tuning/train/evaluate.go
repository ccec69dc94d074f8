package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/inference/arch"
	"lorikeet/tuning"
	"lorikeet/tuning/metrics"
)

// evaluate scores the rows held back, and decides whether this is the best so far.
func (a *attempt) evaluate(ctx context.Context) error {
	a.report.Phase("evaluating")
	scores, err := a.score(ctx)
	if err != nil {
		return err
	}
	a.place.Metrics = scores
	best := false
	if e := a.spec.EarlyStopping; e != nil {
		v, ok := scores[e.Metric]
		if !ok {
			return invalid.Field("early_stopping.metric", "%q is not measured here; measured: %s", e.Metric, strings.Join(names(scores), ", "))
		}
		if best, err = a.judge(e, v, scores); err != nil {
			return err
		}
	}
	a.report.Event("eval", tuning.EvalData{Step: a.place.Step, Epoch: float64(a.place.Step) / float64(a.per), Metrics: scores, Best: best})
	a.report.Phase("training")
	return nil
}

// judge keeps the best values there were, and stops a run that no longer improves.
func (a *attempt) judge(e *tuning.EarlyStopping, v float64, scores map[string]float64) (bool, error) {
	better := a.place.Best == nil || v < *a.place.Best
	if !lowerIsBetter(e.Metric) {
		better = a.place.Best == nil || v > *a.place.Best
	}
	if !better {
		a.place.Bad++
		a.place.Stopped = a.place.Bad >= e.Patience
		return false, nil
	}
	a.place.Best, a.place.BestStep, a.place.BestResult, a.place.Bad = &v, a.place.Step, scores, 0
	var err error
	a.best, err = a.loop.values()
	return true, err
}

func lowerIsBetter(metric string) bool {
	for _, s := range []string{"loss", "mse", "rmse", "mae", "perplexity", "ter"} {
		if metric == "eval_"+s {
			return true
		}
	}
	return false
}

func names(m map[string]float64) []string {
	var n []string
	for k := range m {
		n = append(n, k)
	}
	slices.Sort(n)
	return n
}

// score predicts every row held back and compares.
func (a *attempt) score(ctx context.Context) (map[string]float64, error) {
	got, err := a.predictHeld(ctx)
	if err != nil {
		return nil, err
	}
	var scores map[string]float64
	var loss float64
	switch {
	case a.base.Generates():
		if loss, scores, err = a.scoreTexts(ctx, got); err != nil {
			return nil, err
		}
	case a.target.problem == arch.Regression:
		loss, scores = a.scoreNumbers(got)
	default:
		loss, scores = a.scoreLabels(got)
	}
	out := map[string]float64{"eval_loss": loss}
	for k, v := range scores {
		if a.wanted(k) {
			out["eval_"+k] = v
		}
	}
	if v := out["eval_loss"]; math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, fmt.Errorf("step %d: %w", a.place.Step, errNaN)
	}
	return out, nil
}

func (a *attempt) scoreNumbers(logits [][]float32) (loss float64, scores map[string]float64) {
	var want, got []float64
	for i, e := range a.held {
		want, got = append(want, e.target), append(got, float64(logits[i][0]))
		loss += (got[i] - want[i]) * (got[i] - want[i])
	}
	return loss / float64(len(a.held)), metrics.Regression(want, got)
}

func (a *attempt) scoreLabels(logits [][]float32) (loss float64, scores map[string]float64) {
	var want, got []int
	for i, e := range a.held {
		want, got = append(want, e.label), append(got, argmax(logits[i]))
		loss += crossEntropy(logits[i], e.label)
	}
	return loss / float64(len(a.held)), metrics.Classification(want, got, len(a.target.labels))
}

// measured checks that what a job asks to be measured can be, on rows of its kind.
func (a *attempt) measured() error {
	var known map[string]float64
	switch {
	case a.base.Generates():
		known = map[string]float64{}
		if a.generateRows() > 0 { // else no texts are compared
			known = metrics.Generation([]string{"a"}, []string{"a"})
		}
		known["perplexity"], known["token_accuracy"] = 1, 1
	case a.target.problem == arch.SingleLabel:
		known = metrics.Classification([]int{0}, []int{0}, len(a.target.labels))
	case a.target.problem == arch.Regression:
		known = metrics.Regression([]float64{0, 1}, []float64{0, 1})
	default:
		return nil
	}
	var errs []error
	if e := a.spec.Evaluate; e != nil {
		for i, m := range e.Metrics {
			if _, ok := known[m]; !ok && m != "loss" {
				errs = append(errs, invalid.Field(fmt.Sprintf("evaluate.metrics[%d]", i), "%q is not measured here; known: %s", m, strings.Join(names(known), ", ")))
			}
		}
	}
	if e := a.spec.EarlyStopping; e != nil && e.Metric != "eval_loss" {
		m := strings.TrimPrefix(e.Metric, "eval_")
		if _, ok := known[m]; !ok {
			errs = append(errs, invalid.Field("early_stopping.metric", "%q is not measured here; known: loss, %s, each after eval_", e.Metric, strings.Join(names(known), ", ")))
		} else if !a.wanted(m) {
			errs = append(errs, invalid.Field("early_stopping.metric", "%q is not among evaluate.metrics", e.Metric))
		}
	}
	if p := a.spec.Promote; p != nil {
		if m := strings.TrimPrefix(p.If, "eval_"); m != "loss" {
			if _, ok := known[m]; !ok {
				errs = append(errs, invalid.Field("promote.if", "%q is not measured here; known: loss, %s, each after eval_", p.If, strings.Join(names(known), ", ")))
			} else if !a.wanted(m) {
				errs = append(errs, invalid.Field("promote.if", "%q is not among evaluate.metrics", p.If))
			}
		}
		if p.Than == adapters.ThanBase && !a.base.Generates() && !sameHead(a.base.Facts(), a.target) {
			errs = append(errs, invalid.Field("promote.than", "base %q has no head for these labels to compare with; compare with current", a.spec.Model))
		}
	}
	return errors.Join(errs...)
}

// predictHeld runs the rows in order of length, so that little is padded, and gives
// the results in the rows' own order.
func (a *attempt) predictHeld(ctx context.Context) ([][]float32, error) {
	at := make([]int, len(a.held))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(i, j int) int { return a.held[i].alike() - a.held[j].alike() })
	all := make([][]float32, len(a.held))
	size := max(evalBatch, *a.spec.Hyperparameters.BatchSize)
	for chunk := range slices.Chunk(at, size) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		rows := make([]example, len(chunk))
		for i, at := range chunk {
			rows[i] = a.held[at]
		}
		got, err := a.loop.predictions(a.loop.pack(rows, size, 0))
		if err != nil {
			return nil, err
		}
		for i, at := range chunk {
			all[at] = got[i]
		}
	}
	return all, nil
}

// evalBatch is how many rows are predicted at once.
const evalBatch = 32

func argmax(v []float32) int {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return best
}

// crossEntropy is -log softmax(logits)[label].
func crossEntropy(logits []float32, label int) float64 {
	top := float64(slices.Max(logits))
	var sum float64
	for _, x := range logits {
		sum += math.Exp(float64(x) - top)
	}
	return top + math.Log(sum) - float64(logits[label])
}
