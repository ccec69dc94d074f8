package main

import (
	"context"
	"fmt"
	"slices"

	"lorikeet/inference/text"
)

// growth measures how the time of a batch grows with each thing that it may have more
// of. Each point is a case; from the second on its check is the step from the one before.
func growth(ctx context.Context, b *bench) error {
	axes := []string{"batch", "length", "adapters in a batch", "rank", "clients"}
	if !b.wants("growth", axes...) {
		return nil
	}
	dir, t, err := b.tokenized(ctx, pick(b.options, "quick-bert", "minilm"))
	if err != nil {
		return err
	}
	var folders []string
	for _, rank := range []int{8, 16, 32, 64} {
		more, err := b.adapterFolders(dir, pick(b.options, 4, 32), rank)
		if err != nil {
			return err
		}
		folders = append(folders, more...)
	}
	each := len(folders) / 4 // adapters of each rank
	p, err := b.ours("engine", settings{Model: dir, Adapters: folders, Slots: 1 + each*15})
	if err != nil {
		return err
	}
	defer p.close()
	g := &growing{b, p, t, each}
	for _, f := range []func() error{g.batches, g.lengths, g.adapters, g.ranks, g.clients} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

type growing struct {
	*bench
	ours *process
	text *text.Tokenizer
	each int
}

// series measures one axis at some points; measure makes the call that is timed at one.
func (g *growing) series(axis, unit string, at []int, measure func(x int) (func(repeat int) (float64, error), error)) error {
	if !g.wants("growth", axis) {
		return nil
	}
	// Points take turns as sides do: one slow moment of the machine is no kink.
	calls := make([]player, len(at))
	var values [][]float64
	for i, x := range at {
		call, err := measure(x)
		if err != nil {
			return err
		}
		calls[i] = timedBy(axis, call)
		for range 2 {
			if _, err := calls[i].round(); err != nil {
				return fmt.Errorf("%s %d: %w", axis, x, err)
			}
			if err := g.ours.ask(order{Op: "settle"}, &reply{}); err != nil {
				return err
			}
		}
	}
	noise, err := g.undisturbed(axis, func() (func(), error) {
		got := make([][]float64, len(at))
		for range g.rounds {
			for i := range calls {
				v, err := calls[i].round()
				if err != nil {
					return nil, err
				}
				got[i] = append(got[i], v)
			}
		}
		return func() { values = got }, nil
	})
	if err != nil {
		return err
	}
	for i, x := range at {
		c := testCase{Group: "growth", Name: fmt.Sprintf("%s %d", axis, x), Unit: unit, Axis: axis, X: float64(x), Others: noise, Sides: []side{{Name: oursName, Values: values[i]}}}
		if i > 0 {
			// What one doubling costs: the ratio itself where the axis doubles.
			step := spreadOf(ratios(values[i], values[i-1])).Median
			before := g.report.Cases[len(g.report.Cases)-1].X
			linear := float64(x) / before
			c.Checks = []check{{What: fmt.Sprintf("times the time of %s %g", axis, before), Want: linear * slack, Most: true, Got: step}}
		}
		g.report.add(c)
	}
	return nil
}

// slack is how far over linear a step may measure: the noise of two measurements.
const slack = 1.1

// score is a measurement of a batch.
func (g *growing) score(n size, names []string) (func(int) (float64, error), error) {
	texts, _, err := sample(g.text, 11, n)
	return func(repeat int) (float64, error) {
		var r reply
		err := g.ours.ask(order{Op: "predict", Texts: texts, Adapters: names, Repeat: repeat}, &r)
		return r.Seconds, err
	}, err
}

// adapter names the i-th adapter of a rank: 8, 16, 32 or 64.
func (g *growing) adapter(rank, i int) string {
	return fmt.Sprintf("a%d", slices.Index([]int{8, 16, 32, 64}, rank)*g.each+i%g.each)
}

func repeated(n int, name func(i int) string) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = name(i)
	}
	return names
}

func (g *growing) batches() error {
	return g.series("batch", "ms", pick(g.options, []int{1, 2, 4}, []int{1, 2, 4, 8, 16, 32, 64}), func(x int) (func(int) (float64, error), error) {
		return g.score(size{x, pick(g.options, 16, 64)}, repeated(x, func(int) string { return g.adapter(8, 0) }))
	})
}

func (g *growing) lengths() error {
	return g.series("length", "ms", pick(g.options, []int{16, 32}, []int{16, 32, 64, 128, 256, 512}), func(x int) (func(int) (float64, error), error) {
		return g.score(size{pick(g.options, 2, 8), x}, repeated(pick(g.options, 2, 8), func(int) string { return g.adapter(8, 0) }))
	})
}

func (g *growing) adapters() error {
	n := pick(g.options, 4, 32)
	return g.series("adapters in a batch", "ms", pick(g.options, []int{1, 2, 4}, []int{1, 2, 4, 8, 16, 32}), func(x int) (func(int) (float64, error), error) {
		return g.score(size{n, pick(g.options, 16, 64)}, repeated(n, func(i int) string { return g.adapter(8, i%x) }))
	})
}

func (g *growing) ranks() error {
	n := pick(g.options, 4, 8)
	return g.series("rank", "ms", []int{8, 16, 32, 64}, func(x int) (func(int) (float64, error), error) {
		return g.score(size{n, pick(g.options, 16, 64)}, repeated(n, func(i int) string { return g.adapter(x, i) }))
	})
}

// clients is the median of what each waits, with so many asking at once.
func (g *growing) clients() error {
	texts, _, err := sample(g.text, 12, size{64, 32})
	if err != nil {
		return err
	}
	return g.series("clients", "ms", pick(g.options, []int{1, 2, 4}, []int{1, 2, 4, 8, 16, 32, 64}), func(x int) (func(int) (float64, error), error) {
		return func(int) (float64, error) {
			var r reply
			err := g.ours.ask(order{Op: "traffic", Texts: texts, Clients: x, Count: 1, Span: pick(g.options, 0.1, 0.5), Seed: uint64(x)}, &r)
			return r.P50 / 1000, err
		}, nil
	})
}
