package routes

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
)

// page is one page of a list. To get the next, ask again with after=last_id, also when that
// one was deleted meanwhile.
type page[T any] struct {
	Data    []T    `json:"data"`
	HasMore bool   `json:"has_more" example:"false"`
	FirstID string `json:"first_id,omitempty" example:"job_k3v9…"`
	LastID  string `json:"last_id,omitempty" example:"job_a81c…"`
}

// paging is the part of a list request that all lists share.
type paging struct {
	Limit int    `json:"-" query:"limit" default:"20"`
	After string `json:"-" query:"after"`
}

const largestPage = 100

func (p paging) check() error {
	if p.Limit < 1 || p.Limit > largestPage {
		return invalid.Field("limit", "must be from 1 to %d, not %d", largestPage, p.Limit)
	}
	return nil
}

func pageOf[T any](items []T, more bool, id func(T) string) page[T] {
	out := page[T]{Data: items, HasMore: more}
	if out.Data == nil {
		out.Data = []T{}
	}
	if n := len(items); n > 0 {
		out.FirstID, out.LastID = id(items[0]), id(items[n-1])
	}
	return out
}

// cut takes a page out of a whole, ordered list. following tells which items come after one
// that is not in the list any more, if that is known.
func cut[T any](all []T, p paging, id func(T) string, following func(after string) (func(T) bool, bool)) (page[T], error) {
	if p.After != "" {
		at := slices.IndexFunc(all, func(item T) bool { return id(item) == p.After }) + 1
		if at == 0 {
			comes, known := following(p.After)
			if !known {
				return page[T]{}, &invalid.Fault{Field: "after", Reason: fmt.Sprintf("%q is not in this list; send the last_id of the page before", brief(p.After))}
			}
			if at = slices.IndexFunc(all, comes); at < 0 {
				at = len(all)
			}
		}
		all = all[at:]
	}
	n := min(p.Limit, len(all))
	return pageOf(all[:n], len(all) > n, id), nil
}

// byName is for lists in the order of names, which are their ids.
func byName[T any](id func(T) string) func(string) (func(T) bool, bool) {
	return func(after string) (func(T) bool, bool) {
		return func(item T) bool { return id(item) > after }, adapters.CheckName("after", after) == nil
	}
}

// ends remembers where pages ended whose items are in the order of time, which their ids do
// not tell: the last of a page may be deleted before the next page is asked for, as by a
// client that deletes what it lists. It is what this process has answered lately.
type ends struct {
	mu     sync.Mutex
	at     map[string]time.Time
	recent []string
}

const mostEnds = 4096

func newEnds() *ends { return &ends{at: map[string]time.Time{}} }

func (e *ends) remember(key string, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, known := e.at[key]; !known {
		if len(e.recent) == mostEnds {
			delete(e.at, e.recent[0])
			e.recent = append(e.recent[:0], e.recent[1:]...)
		}
		e.recent = append(e.recent, key)
	}
	e.at[key] = at
}

func (e *ends) find(key string) (time.Time, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, known := e.at[key]
	return at, known
}

// cutByTime is cut for a list with the newest first, or with the oldest: of equal times the
// ids rise, or fall.
func cutByTime[T any](ctx context.Context, e *ends, all []T, p paging, oldest bool, id func(T) string, made func(T) time.Time) (page[T], error) {
	who := callerIn(ctx)
	key := func(id string) string { return fmt.Sprint(who.all, " ", who.tenant(), " ", id) } // each caller's own list
	out, err := cut(all, p, id, func(after string) (func(T) bool, bool) {
		at, known := e.find(key(after))
		return func(item T) bool {
			order := cmp.Or(at.Compare(made(item)), cmp.Compare(id(item), after))
			return order > 0 != oldest
		}, known
	})
	if n := len(out.Data); n > 0 {
		e.remember(key(out.LastID), made(out.Data[n-1]))
	}
	return out, err
}
