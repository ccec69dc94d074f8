package routes

import (
	"fmt"

	"lorikeet/adapters/invalid"
)

// page is one page of a list. To get the next, ask again with after=last_id.
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

// cut takes a page out of a whole, ordered list.
func cut[T any](all []T, p paging, id func(T) string) (page[T], error) {
	if p.After != "" {
		at := -1
		for i, item := range all {
			if id(item) == p.After {
				at = i
				break
			}
		}
		if at < 0 {
			return page[T]{}, &invalid.Fault{Field: "after", Reason: fmt.Sprintf("%q is not in this list; send the last_id of the page before", brief(p.After))}
		}
		all = all[at+1:]
	}
	n := min(p.Limit, len(all))
	return pageOf(all[:n], len(all) > n, id), nil
}
