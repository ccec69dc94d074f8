package data

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"

	"lorikeet/adapters/invalid"
)

// Choice says which of many rows are taken: those from Offset on, at most Limit of
// them, and of these Sample at random. The zero Choice takes all, in order.
type Choice struct {
	Offset int   // rows to skip
	Limit  int   // rows to read after them; 0: all
	Sample int   // rows to draw of these, without replacement; 0: all
	Seed   int64 // of the draw: the same seed draws the same rows, on every machine
}

// all reports whether every row is taken, in order.
func (c Choice) all() bool { return c.Offset == 0 && c.Limit == 0 && c.Sample == 0 }

// check reports what is wrong with a choice.
func (c Choice) check() error {
	var errs []error
	for _, n := range []struct {
		field string
		value int
	}{{"offset", c.Offset}, {"limit", c.Limit}, {"sample", c.Sample}} {
		if n.value < 0 {
			errs = append(errs, invalid.Field(n.field, "must not be negative, is %d", n.value))
		}
	}
	return joinFaults(errs)
}

// of gives the chosen among what next yields up to io.EOF. No more than Sample values
// are kept at a time, and nothing behind Limit is read.
//
// Each value gets a random key, and those with the smallest keys are drawn, in the
// order of their keys: a uniform sample in random order, of which a smaller one with
// the same seed is the beginning.
func of[T any](c Choice, next func() (T, error)) func() (T, error) {
	next = window(c, next)
	if c.Sample == 0 {
		return next
	}
	var drawn []keyed[T]
	var end error
	at := -1
	return func() (v T, err error) {
		if at < 0 {
			at = 0
			drawn, end = draw(c, next)
		}
		switch {
		case end != nil:
			return v, end
		case at == len(drawn):
			return v, io.EOF
		}
		v = drawn[at].value
		drawn[at] = keyed[T]{} // whoever reads it may let go of it
		at++
		return v, nil
	}
}

// window leaves out what Offset and Limit do.
func window[T any](c Choice, next func() (T, error)) func() (T, error) {
	skipped, given := 0, 0
	return func() (v T, err error) {
		for ; skipped < c.Offset && err == nil; skipped++ {
			v, err = next()
		}
		if c.Limit > 0 && given == c.Limit {
			return v, io.EOF
		}
		if err == nil {
			v, err = next()
		}
		if errors.Is(err, io.EOF) && c.Offset > 0 && given == 0 {
			return v, invalid.Field("offset", "leaves nothing: there are not more than %d rows", c.Offset)
		}
		given++
		return v, err
	}
}

func draw[T any](c Choice, next func() (T, error)) ([]keyed[T], error) {
	random := rand.NewPCG(uint64(c.Seed), 0x73616d706c65) // #nosec G115 -- any 64 bits will do
	var best lowest[T]
	for i := 0; ; i++ {
		v, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		k := keyed[T]{random.Uint64(), i, v}
		switch {
		case len(best) < c.Sample:
			heap.Push(&best, k)
		case k.compare(best[0]) < 0:
			best[0] = k
			heap.Fix(&best, 0)
		}
	}
	slices.SortFunc(best, keyed[T].compare)
	return best, nil
}

type keyed[T any] struct {
	key   uint64
	at    int
	value T
}

func (k keyed[T]) compare(o keyed[T]) int {
	return cmp.Or(cmp.Compare(k.key, o.key), cmp.Compare(k.at, o.at))
}

// lowest is a heap whose root has the largest key.
type lowest[T any] []keyed[T]

func (l lowest[T]) Len() int           { return len(l) }
func (l lowest[T]) Less(i, j int) bool { return l[i].compare(l[j]) > 0 }
func (l lowest[T]) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *lowest[T]) Push(k any)        { *l = append(*l, k.(keyed[T])) } //nolint:errcheck,forcetypeassert // only draw pushes
func (l *lowest[T]) Pop() any {
	old := *l
	k := old[len(old)-1]
	*l = old[:len(old)-1]
	return k
}

// chosen is a source of which a Choice was made.
type chosen struct{ from func() (record, error) }

func (c chosen) next() (record, error) { return c.from() }

func (p *parser) choose(src source) source {
	if p.opt.Choice.all() {
		return src
	}
	return chosen{of(p.opt.Choice, src.next)}
}

// Choose reads canonical rows and calls out with the chosen. The report is that of all
// rows, with the count of these. Errors are as those of Parse.
func Choose(r io.Reader, all Report, c Choice, out func(Row) error) (Report, error) {
	if err := c.check(); err != nil {
		return all, err
	}
	next, stop := iter.Pull2(All(r))
	defer stop()
	pull := of(c, func() (Row, error) {
		row, err, ok := next()
		if !ok {
			return Row{}, io.EOF
		}
		return row, err
	})
	all.Rows, all.Labels = 0, nil
	for {
		row, err := pull()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = out(row)
		}
		if err != nil {
			return all, err
		}
		all.Rows++
		if row.Kind == Classification {
			if all.Labels == nil {
				all.Labels = map[string]int{}
			}
			all.Labels[row.Label]++
		}
	}
	if all.Kind == Classification && len(all.Labels) == 1 {
		return all, invalid.Field("", "%s", oneClass(all))
	}
	return all, nil
}

// oneClass says what is wrong with rows that all have one label, and what helps.
func oneClass(r Report) string {
	return fmt.Sprintf("every row has the label %q: with one class there is nothing to learn", r.Classes()[0])
}
