package feedback

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning/data"
)

// Collection is feedback under one name.
type Collection struct {
	Name      string    `json:"name" example:"mood"`
	Kind      data.Kind `json:"kind" example:"classification"` // of its rows
	Rows      int       `json:"rows" example:"214"`
	CreatedAt time.Time `json:"created_at"`
} // @name FeedbackCollection

// Summary is what the rows of a collection say together.
type Summary struct {
	Collection
	Texts    int            `json:"texts" example:"198"`                                 // different ones: rows that a data set of it would have
	Labels   map[string]int `json:"labels,omitempty" example:"negative:120,positive:78"` // of those
	Answers  Tally          `json:"answers"`
	Adapters []Answerer     `json:"adapters"` // by who gave the answers, as far as that was said; those with the most rows first, at most 100
} // @name FeedbackSummary

// Tally counts answers of models by what was said of them.
type Tally struct {
	Correct int `json:"correct" example:"160"`
	Wrong   int `json:"wrong" example:"51"`
	Unknown int `json:"unknown" example:"3"` // nobody said
} // @name FeedbackTally

// Answerer is a version with what was said of its answers.
type Answerer struct {
	Adapter string `json:"adapter" example:"mood@3"`
	Tally
} // @name FeedbackAnswerer

func (t Tally) all() int { return t.Correct + t.Wrong + t.Unknown }

func (t *Tally) count(correct *bool) {
	switch {
	case correct == nil:
		t.Unknown++
	case *correct:
		t.Correct++
	default:
		t.Wrong++
	}
}

// find is the place of a collection that exists.
func (s *Service) find(ctx context.Context, tenant, collection string) (at string, a about, err error) {
	at = place(tenant, collection)
	if adapters.CheckName("collection", collection) != nil {
		return at, a, fmt.Errorf("%w: there is no collection %.80q", ErrNotFound, collection)
	}
	a, err = s.about(ctx, at)
	return at, a, err
}

// List gives a tenant's collections, by name.
func (s *Service) List(ctx context.Context, tenant string) ([]Collection, error) {
	names, err := s.store.Children(ctx, folder(tenant))
	if err != nil {
		return nil, fmt.Errorf("feedback: %w", err)
	}
	all := make([]Collection, 0, len(names))
	for _, name := range names {
		c, _, err := s.collection(ctx, tenant, name)
		if errors.Is(err, ErrNotFound) {
			continue // deleted since
		}
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (s *Service) collection(ctx context.Context, tenant, name string) (Collection, []string, error) {
	at, a, err := s.find(ctx, tenant, name)
	if err != nil {
		return Collection{}, nil, err
	}
	ids, err := s.ids(ctx, at)
	return Collection{name, a.Kind, len(ids), a.CreatedAt}, ids, err
}

// mostAnswerers bounds the list of a summary: callers may name any adapter.
const mostAnswerers = 100

// Summary counts what is in a collection.
func (s *Service) Summary(ctx context.Context, tenant, name string) (Summary, error) {
	c, ids, err := s.collection(ctx, tenant, name)
	if err != nil {
		return Summary{}, err
	}
	all, done, err := s.held(ctx, place(tenant, name), ids)
	if err != nil {
		return Summary{}, err
	}
	defer done()
	out := Summary{Collection: c, Adapters: []Answerer{}}
	if c.Kind == data.Classification {
		out.Labels = map[string]int{}
	}
	by := map[string]*Tally{}
	for _, e := range all {
		out.Answers.count(e.Correct)
		if e.Adapter != "" {
			if by[e.Adapter] == nil {
				by[e.Adapter] = &Tally{}
			}
			by[e.Adapter].count(e.Correct)
		}
	}
	for _, i := range latest(all) {
		out.Texts++
		if out.Labels != nil {
			out.Labels[all[i].Row.Label]++
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		return cmp.Or(cmp.Compare(by[b].all(), by[a].all()), cmp.Compare(a, b))
	}) {
		if len(out.Adapters) < mostAnswerers {
			out.Adapters = append(out.Adapters, Answerer{name, *by[name]})
		}
	}
	return out, nil
}

// latest gives for each question the index of the entry that counts.
func latest(all []Entry) map[string]int {
	last := make(map[string]int, len(all))
	for i, e := range all {
		last[e.Row.Question()] = i
	}
	return last
}

// holding bounds the memory of whole collections: one may take 160 MB.
var holding = make(chan struct{}, 1)

// held reads a whole collection. done is for when it is needed no longer.
func (s *Service) held(ctx context.Context, at string, ids []string) (all []Entry, done func(), err error) {
	select {
	case holding <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	if all, err = s.entries(ctx, at, ids); err != nil {
		<-holding
		return nil, nil, err
	}
	return all, func() { <-holding }, nil
}

// Rows gives a page of a collection, the newest first: up to most of them after the row
// named after, "" being the beginning; and whether there are more.
func (s *Service) Rows(ctx context.Context, tenant, name, after string, most int) (page []Entry, more bool, err error) {
	_, ids, err := s.collection(ctx, tenant, name)
	if err != nil {
		return nil, false, err
	}
	if after != "" && !validID(after) {
		return nil, false, invalid.Field("after", "is not the id of a row; send the last_id of the page before")
	}
	slices.Reverse(ids)
	if after != "" { // it may be deleted since: ids are in the order of time
		at, _ := slices.BinarySearchFunc(ids, after, func(id, after string) int {
			if id >= after {
				return -1
			}
			return 1
		})
		ids = ids[at:]
	}
	n := min(most, len(ids))
	page, err = s.entries(ctx, place(tenant, name), ids[:n])
	return page, len(ids) > n, err
}

// DeleteRow forgets a row.
func (s *Service) DeleteRow(ctx context.Context, tenant, name, id string) error {
	at, _, err := s.find(ctx, tenant, name)
	if err != nil {
		return err
	}
	absent := fmt.Errorf("%w: %s has no row %.80q", ErrNotFound, name, id)
	if !validID(id) {
		return absent
	}
	if _, err := s.store.Get(ctx, at+rowsKey+id); errors.Is(err, store.ErrNotFound) {
		return absent
	} else if err != nil && !errors.Is(err, store.ErrCorrupt) {
		return fmt.Errorf("%s%s: %w", at, id, err)
	}
	return s.remove(ctx, at, []string{id})
}

// Delete forgets a collection. A row that comes meanwhile begins it anew, or goes with it.
func (s *Service) Delete(ctx context.Context, tenant, name string) error {
	at, _, err := s.find(ctx, tenant, name)
	if err != nil {
		return err
	}
	for {
		ids, err := s.ids(ctx, at)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			break
		}
		if err := s.remove(ctx, at, ids); err != nil {
			return err
		}
	}
	if err := s.store.Delete(ctx, at+aboutKey); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	return nil
}
