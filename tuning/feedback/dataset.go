package feedback

import (
	"context"
	"fmt"
	"slices"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning/data"
	"lorikeet/tuning/datasets"
)

// Making says what a data set is made of, beside the rows of a collection.
type Making struct {
	Name  string            // of the data set; "": the collection's and "(feedback)"
	With  *datasets.Dataset // whose rows come first, corrected; nil: none
	Clear bool              // take these rows out of the collection once the data set is there
}

// Dataset makes a data set of the rows so far, for a tenant. Of rows that ask the same the
// latest is in it; rows of With that ask what a row of the collection asks give way to it.
// Made of the same rows again it is the same data set, and not new.
func (s *Service) Dataset(ctx context.Context, tenant, collection string, m Making) (datasets.Dataset, bool, error) {
	at, a, err := s.find(ctx, tenant, collection)
	if err != nil {
		return datasets.Dataset{}, false, err
	}
	if m.With != nil && m.With.Kind != a.Kind {
		return datasets.Dataset{}, false, invalid.Field("with", "is for %s, the collection for %s", m.With.Kind, a.Kind)
	}
	ids, err := s.ids(ctx, at)
	if err != nil {
		return datasets.Dataset{}, false, err
	}
	all, done, err := s.held(ctx, at, ids)
	if err != nil {
		return datasets.Dataset{}, false, err
	}
	defer done()
	if len(all) == 0 {
		return datasets.Dataset{}, false, invalid.Field("collection", "%s has no rows", collection)
	}
	last := latest(all)
	d := datasets.Dataset{Name: m.Name, Tenant: tenant, Report: data.Report{Kind: a.Kind},
		Feedback: &datasets.Feedback{Collection: collection, Rows: len(last), Overruled: len(all) - len(last), Last: all[len(all)-1].ID}}
	if d.Name == "" {
		d.Name = collection + " (feedback)"
	}
	d, created, err := s.sets.Make(ctx, d, func(out func(data.Row) error) error {
		return s.together(ctx, a, m.With, all, last, d.Feedback, out)
	})
	if err == nil && m.Clear {
		// A row that stays is in the next data set too, and changes nothing there.
		if err := s.remove(context.WithoutCancel(ctx), at, ids); err != nil {
			s.log.Warn("feedback stays that is in a data set", "dataset", d.ID, "error", err)
		}
	}
	return d, created, err
}

// together hands on the rows of a data set with those of a collection, and counts the
// former that gave way.
func (s *Service) together(ctx context.Context, a about, with *datasets.Dataset, all []Entry, last map[string]int, f *datasets.Feedback, out func(data.Row) error) error {
	placed := map[int]bool{}
	if with != nil {
		f.With = with.ID
		for row, err := range s.sets.Stream(ctx, with.Canonical) {
			if err != nil {
				return err
			}
			if (row.Pair != nil) != a.Pair {
				return invalid.Field("with", "is for %s, the collection for %s", aboutRow(row), a)
			}
			i, corrected := last[row.Question()]
			switch {
			case corrected && placed[i]: // the same text again
				f.Replaced++
				continue
			case corrected:
				f.Replaced++
				placed[i] = true
				row = all[i].Row
			}
			if err := out(row); err != nil {
				return err
			}
		}
	}
	rest := make([]int, 0, len(last))
	for _, i := range last {
		if !placed[i] {
			rest = append(rest, i)
		}
	}
	slices.Sort(rest)
	for _, i := range rest {
		if err := out(all[i].Row); err != nil {
			return fmt.Errorf("feedback %s: %w", all[i].ID, err)
		}
	}
	return nil
}
