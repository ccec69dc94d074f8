package main

import (
	"context"
	"fmt"
)

// registered measures adapters that are many: how long one takes to load, and what the
// engine answers with 1 to 1,000 of them registered, asked by 16 callers, with the
// service's 64 slots.
func registered(ctx context.Context, b *bench) error {
	if !b.wants("adapters", registeredNames()...) {
		return nil
	}
	dir, t, err := b.tokenized(ctx, pick(b.options, "quick-bert", "minilm"))
	if err != nil {
		return err
	}
	texts, _, err := sample(t, 9, size{64, 32})
	if err != nil {
		return err
	}
	p, err := b.ours("engine", settings{Model: dir})
	if err != nil {
		return err
	}
	defer p.close()
	counts := pick(b.options, []int{1, 10, 100}, []int{1, 10, 100, 1000})
	most := counts[len(counts)-1]
	var r reply
	if err := p.ask(order{Op: "register", Count: most, Rank: 8}, &r); err != nil {
		return err
	}
	b.report.add(testCase{Group: "adapters", Name: "register one", Unit: "ms", Sides: []side{{Name: oursName, Values: []float64{r.Seconds * 1000}}}})
	for _, disk := range []bool{true, false} {
		name := map[bool]string{true: "load one from disk", false: "load one from memory"}[disk]
		round := func() (float64, error) {
			var r reply
			err := p.ask(order{Op: "load", Count: min(most, 200), FromDisk: disk}, &r)
			return r.Seconds * 1000, err
		}
		if err := b.play(testCase{Group: "adapters", Name: name, Unit: "ms"}, []player{{name: oursName, round: round}}); err != nil {
			return err
		}
	}
	seed := uint64(0)
	run := func(title string, count int, zipf bool) player {
		return player{name: title, settle: func() error { return p.ask(order{Op: "settle"}, &reply{}) }, round: func() (float64, error) {
			seed++
			var r reply
			err := p.ask(order{Op: "traffic", Texts: texts, Clients: 16, Count: count, Zipf: zipf, Span: pick(b.options, 0.2, 1.0), Seed: seed}, &r)
			return r.PerSec, err
		}}
	}
	for _, zipf := range []bool{false, true} {
		law := map[bool]string{false: "uniform", true: "Zipf"}[zipf]
		for _, n := range counts {
			c := testCase{Group: "adapters", Name: fmt.Sprintf("%d registered, %s", n, law), Unit: "requests/s", More: true, X: float64(n), Axis: "adapters registered, " + law}
			if err := b.play(c, []player{run(oursName, n, zipf), run("one adapter", 1, false)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func registeredNames() []string {
	names := []string{"register one", "load one from disk", "load one from memory"}
	for _, law := range []string{"uniform", "Zipf"} {
		for _, n := range []int{1, 10, 100, 1000} {
			names = append(names, fmt.Sprintf("%d registered, %s", n, law))
		}
	}
	return names
}
