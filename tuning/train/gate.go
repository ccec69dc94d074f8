package train

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"lorikeet/adapters"
	"lorikeet/inference"
)

// gate decides whether the candidate becomes current: base, current version and candidate
// are scored on the same rows held back, and what the others reach is put beside the
// candidate's metrics, as "current_…" and "base_…". What cannot be scored is never beaten.
func (a *attempt) gate(ctx context.Context, scores, all map[string]float64) (*adapters.Gate, error) {
	p := a.spec.Promote
	if p == nil {
		return nil, nil
	}
	value, ok := scores[p.If]
	if !ok {
		return nil, fmt.Errorf("promote.if: %q was not measured; measured: %s", p.If, strings.Join(names(scores), ", "))
	}
	g := &adapters.Gate{If: p.If, MinDelta: p.MinDelta, Than: p.Than, Candidate: value}
	a.report.Phase("evaluating")
	a.close() // the candidate is written: its memory is for the others
	why := map[string]string{}
	if err := a.scoreBase(ctx, all); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		why[adapters.ThanBase] = err.Error()
	}
	if c := a.task.Current; c != nil {
		g.Version = c.Version
		if err := a.scoreCurrent(ctx, all); err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			why[adapters.ThanCurrent] = err.Error()
		}
	}
	metric := strings.TrimPrefix(p.If, "eval_")
	if v, ok := all["current_"+metric]; ok {
		g.Current = &v
	}
	if v, ok := all["base_"+metric]; ok {
		g.Base = &v
	}
	decide(g, a.spec.Name, why)
	return g, nil
}

// decide fills in whether, and why.
func decide(g *adapters.Gate, name string, why map[string]string) {
	other, who := g.Current, fmt.Sprintf("%s@%d", name, g.Version)
	if g.Than == adapters.ThanBase {
		other, who = g.Base, "the base"
	} else if g.Version == 0 {
		g.Promoted, g.Reason = true, fmt.Sprintf("%s is %.6g, and no version was current", g.If, g.Candidate)
		return
	}
	if other == nil {
		g.Reason = fmt.Sprintf("%s could not be scored on these rows: %s", who, why[g.Than])
		return
	}
	better := g.Candidate - *other
	if lowerIsBetter(g.If) {
		better = -better
	}
	g.Promoted = better > g.MinDelta
	g.Reason = fmt.Sprintf("%s is %.6g; %s has %.6g on the same rows", g.If, g.Candidate, who, *other)
	if g.MinDelta != 0 {
		g.Reason += fmt.Sprintf("; it must be better by more than %g", g.MinDelta)
	}
}

func (a *attempt) scoreCurrent(ctx context.Context, all map[string]float64) error {
	r, closes, err := a.openRival()
	defer func() { _ = closes() }() // read only
	if err != nil {
		return err
	}
	scores, err := a.measure(ctx, r)
	for k, v := range scores {
		all["current_"+strings.TrimPrefix(k, "eval_")] = v
	}
	return err
}

func (a *attempt) scoreBase(ctx context.Context, all map[string]float64) error {
	if a.place.Base != nil { // of a base that generates it was done before the first step
		return nil
	}
	if !a.base.Generates() && !sameHead(a.base.Facts(), a.target) {
		return fmt.Errorf("it has no head for these labels")
	}
	scores, err := a.measure(ctx, rival{base: a.base, labels: a.target.labels})
	for k, v := range scores {
		all["base_"+strings.TrimPrefix(k, "eval_")] = v
	}
	return err
}

// smoke reads the files that are about to be registered, as a server would, and asks them
// a few of the rows: they must answer as what was trained does. A success that cannot be
// served would be found out by its first user.
func (a *attempt) smoke(files map[string]string) error {
	rows := a.probe()
	size := max(evalBatch, *a.spec.Hyperparameters.BatchSize)
	trained, err := a.loop.predictions(a.loop.pack(rows, size, 0))
	if err != nil {
		return err
	}
	values, err := a.reread(files)
	if err != nil {
		return fmt.Errorf("read what was written: %w", err)
	}
	if err := a.loop.restore(values, nil, nil); err != nil {
		return err
	}
	read, err := a.loop.predictions(a.loop.pack(rows, size, 0))
	if err != nil {
		return err
	}
	for i := range rows {
		for j, x := range trained[i] {
			y := read[i][j]
			if d := math.Abs(float64(x - y)); !(d <= sameAnswer*max(1, math.Abs(float64(x)))) {
				return fmt.Errorf("the files to be registered answer %v to a row, what was trained answers %v", read[i], trained[i])
			}
		}
	}
	return nil
}

// sameAnswer is how far the two may be apart: the same graph on the same numbers, which
// float32 files keep.
const sameAnswer = 1e-5

// probe are the rows of the first batch that evaluation runs, for which there is a graph;
// without any, of the training rows.
func (a *attempt) probe() []example {
	rows := a.held
	if len(rows) == 0 {
		rows = a.train
	}
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(x, y example) int { return x.alike() - y.alike() })
	return rows[:min(len(rows), max(evalBatch, *a.spec.Hyperparameters.BatchSize))]
}

// reread reads the values of what learned from the files.
func (a *attempt) reread(files map[string]string) ([][]float32, error) {
	base, made := a.base, (*adapters.Adapter)(nil)
	var err error
	if a.recipe.lora {
		made, err = readAdapter(files[adapters.ConfigFile], files[adapters.WeightsFile], a.base.Layout)
	} else if base, err = inference.OpenBase(a.spec.Name, "", os.DirFS(a.task.Dir)); err == nil {
		defer func() { _ = base.Close() }() // read only
	}
	if err != nil {
		return nil, err
	}
	values := make([][]float32, len(a.loop.learned))
	for i, t := range a.loop.learned {
		if values[i], err = valueOf(base, made, t.param); err != nil {
			return nil, err
		}
	}
	return values, nil
}
