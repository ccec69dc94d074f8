// Package feedback keeps what applications learn of answers: rows of the right answer, in
// collections by name, until they are made into a data set.
//
// A row is a record of its own, created once and durable before its sender is told, so
// that any number of processes on one store lose none and wait for none. Its key begins
// with its time: of rows that ask the same, the latest is what counts.
//
//	feedback/<tenant>/<collection>/about       what kind of rows they are, from the first one on
//	feedback/<tenant>/<collection>/rows/<id>   an Entry
package feedback

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning/data"
	"lorikeet/tuning/datasets"
)

// Errors that callers act on.
var (
	ErrNotFound = errors.New("no such feedback")
	ErrFull     = errors.New("there is no room for more feedback")
)

// Bounds of what is kept: MaxRow bytes of a row, MaxRows rows of a collection,
// MaxCollections of a tenant. Rows that other processes took in within the last minute
// are not counted yet, so that a collection may grow a little beyond.
const (
	MaxRow         = 16 << 10
	MaxRows        = 10_000
	MaxCollections = 32
)

// Store is what is needed of the record store; see [store.Dir].
type Store interface {
	Create(ctx context.Context, key string, data []byte) error
	Get(ctx context.Context, key string) ([]byte, error)
	List(ctx context.Context, prefix string) ([]string, error)
	Children(ctx context.Context, prefix string) ([]string, error)
	Delete(ctx context.Context, key string) error
}

// Service keeps feedback in a store. It is safe for concurrent use, and several processes
// may share a store.
type Service struct {
	store Store
	sets  *datasets.Service
	log   *slog.Logger

	mu     sync.Mutex
	last   int64            // microseconds, of the latest id given here
	counts map[string]count // by the folder of a collection
}

// count is how many rows a collection was found to have, and has been given here since.
type count struct {
	rows int
	at   time.Time
}

// recount is how long a count is believed.
const recount = time.Minute

// New makes a service that makes data sets in sets.
func New(s Store, sets *datasets.Service, log *slog.Logger) *Service {
	return &Service{store: s, sets: sets, log: log, counts: map[string]count{}}
}

// Entry is a row with what is known of it.
type Entry struct {
	ID        string    `json:"id"`
	Row       data.Row  `json:"row"`                  // with the right answer
	Correct   *bool     `json:"correct,omitempty"`    // whether the model's was right; nil: not said
	Model     string    `json:"model,omitempty"`      // that answered
	Adapter   string    `json:"adapter,omitempty"`    // that answered, "imdb@3"
	RequestID string    `json:"request_id,omitempty"` // of the answer
	Key       string    `json:"key,omitempty"`        // id of the API key that sent it
	CreatedAt time.Time `json:"created_at"`
}

// about is what the rows of a collection have in common.
type about struct {
	Kind      data.Kind `json:"kind"`
	Pair      bool      `json:"pair,omitempty"` // rows have two texts
	CreatedAt time.Time `json:"created_at"`
}

func aboutRow(r data.Row) about { return about{Kind: r.Kind, Pair: r.Pair != nil} }

func (a about) fits(r data.Row) error {
	if mine := aboutRow(r); a.Kind != mine.Kind || a.Pair != mine.Pair {
		return invalid.Field("row", "is for %s, this collection is for %s; give it another name", mine, a)
	}
	return nil
}

func (a about) String() string {
	if a.Pair {
		return "pairs of texts for " + string(a.Kind)
	}
	return string(a.Kind)
}

const root = "feedback/"

// folder is where a tenant's collections are. No tenant's name begins with "_".
func folder(tenant string) string {
	if tenant == "" {
		tenant = "_"
	}
	return root + tenant + "/"
}

func place(tenant, collection string) string { return folder(tenant) + collection + "/" }

const (
	aboutKey = "about"
	rowsKey  = "rows/"
)

// Add keeps a row in a collection, which is made if there is none of that name. raw is the
// row as data sets have it; the first row of a collection decides what kind the others
// are. Faults name "collection", "row" or a field of it.
func (s *Service) Add(ctx context.Context, tenant, collection string, raw json.RawMessage, e Entry) (Entry, error) {
	if err := adapters.CheckName("collection", collection); err != nil {
		return e, err
	}
	at := place(tenant, collection)
	known, err := s.about(ctx, at)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return e, err
	}
	if e.Row, err = read(raw, known); err != nil {
		return e, err
	}
	if known.Kind == "" {
		err = s.settle(ctx, tenant, at, e.Row)
	} else {
		err = known.fits(e.Row)
	}
	if err == nil {
		err = s.room(ctx, at)
	}
	if err != nil {
		return e, err
	}
	now := time.Now().UTC()
	e.ID, e.CreatedAt = s.next(now), now.Truncate(time.Millisecond)
	b, err := json.Marshal(e)
	if err != nil {
		return e, err
	}
	if err := s.store.Create(ctx, at+rowsKey+e.ID, b); err != nil {
		return e, fmt.Errorf("feedback on %s: %w", collection, err)
	}
	s.mu.Lock()
	if c, ok := s.counts[at]; ok {
		c.rows++
		s.counts[at] = c
	}
	s.mu.Unlock()
	// The collection may have been deleted meanwhile, and begun anew with another kind.
	if err := s.settle(ctx, tenant, at, e.Row); err != nil {
		return e, errors.Join(err, s.store.Delete(context.WithoutCancel(ctx), at+rowsKey+e.ID))
	}
	return e, nil
}

// read makes a row of what was sent.
func read(raw json.RawMessage, known about) (data.Row, error) {
	row, err := data.ParseRow(raw, "")
	if scores(known.Kind) && scores(row.Kind) && row.Kind != known.Kind { // whether 3.5 is a label or a value, one row does not tell
		row, err = data.ParseRow(raw, known.Kind)
	}
	if faults := invalid.Faults(err); len(faults) > 0 {
		all := make([]error, len(faults))
		for i, f := range faults {
			f.Field = strings.TrimSuffix("row."+f.Field, ".")
			all[i] = &f
		}
		return row, errors.Join(all...)
	}
	switch {
	case err != nil:
		return row, err
	case row.Kind == data.Text:
		return row, invalid.Field("row", `has a text and no answer; send the right one with it, as in {"text": …, "label": …}`)
	case row.Kind == data.Chat && row.Messages[len(row.Messages)-1].Role != "assistant":
		return row, invalid.Field("row.messages", "must end with what the assistant should have said")
	}
	b, err := row.MarshalJSON()
	if err == nil && len(b) > MaxRow {
		err = invalid.Field("row", "has %d bytes, at most %d are kept of one", len(b), MaxRow)
	}
	return row, err
}

func scores(k data.Kind) bool { return k == data.Classification || k == data.Regression }

// settle makes a collection known, unless it is, and refuses a row of another kind than
// it has.
func (s *Service) settle(ctx context.Context, tenant, at string, row data.Row) error {
	for {
		known, err := s.about(ctx, at)
		switch {
		case err == nil:
			return known.fits(row)
		case !errors.Is(err, ErrNotFound):
			return err
		}
		all, err := s.store.Children(ctx, folder(tenant))
		if err != nil {
			return fmt.Errorf("feedback: %w", err)
		}
		if len(all) >= MaxCollections {
			return fmt.Errorf("%w: there are %d collections already; delete one", ErrFull, len(all))
		}
		mine := aboutRow(row)
		mine.CreatedAt = time.Now().UTC().Truncate(time.Millisecond)
		b, err := json.Marshal(mine)
		if err != nil {
			return err
		}
		err = s.store.Create(ctx, at+aboutKey, b)
		if !errors.Is(err, store.ErrExists) { // else somebody was faster: look again
			return err
		}
	}
}

// about tells what a collection holds.
func (s *Service) about(ctx context.Context, at string) (a about, err error) {
	b, err := s.store.Get(ctx, at+aboutKey)
	if errors.Is(err, store.ErrNotFound) {
		return a, missing(at)
	}
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err != nil {
		return a, fmt.Errorf("%s: %w", at, err)
	}
	return a, nil
}

func missing(at string) error {
	name := at[strings.LastIndexByte(strings.TrimSuffix(at, "/"), '/')+1:]
	return fmt.Errorf("%w: there is no collection %q; GET /feedback lists them", ErrNotFound, strings.TrimSuffix(name, "/"))
}

// room refuses a row of a collection that is full.
func (s *Service) room(ctx context.Context, at string) error {
	s.mu.Lock()
	c, ok := s.counts[at]
	s.mu.Unlock()
	age := time.Since(c.at)
	if !ok || age > recount || c.rows >= MaxRows && age > time.Second {
		keys, err := s.store.List(ctx, at+rowsKey)
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		c = count{len(keys), time.Now()}
		s.mu.Lock()
		for other, c := range s.counts { // it remembers what is written to, no more
			if time.Since(c.at) > recount {
				delete(s.counts, other)
			}
		}
		s.counts[at] = c
		s.mu.Unlock()
	}
	if c.rows >= MaxRows {
		return fmt.Errorf("%w: the collection has %d rows; make a data set of them with clear, or delete it", ErrFull, c.rows)
	}
	return nil
}

// An id is "fb_", microseconds in hexadecimal, and letters that tell apart what two
// processes give out at once.
const (
	idPrefix  = "fb_"
	timeWidth = 14
	randWidth = 10
)

// next is an id behind all that were given out here.
func (s *Service) next(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(now.UnixMicro(), s.last+1)
	return fmt.Sprintf("%s%0*x%s", idPrefix, timeWidth, s.last, strings.ToLower(rand.Text()[:randWidth]))
}

// validID keeps what is no id away from the store's keys.
func validID(id string) bool {
	rest, ok := strings.CutPrefix(id, idPrefix)
	return ok && len(rest) == timeWidth+randWidth && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// ids are those of a collection's rows, the oldest first.
func (s *Service) ids(ctx context.Context, at string) ([]string, error) {
	keys, err := s.store.List(ctx, at+rowsKey)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	for i, k := range keys {
		keys[i] = k[len(at+rowsKey):]
	}
	return keys, nil
}

// entries reads rows; those that were deleted since are left out.
func (s *Service) entries(ctx context.Context, at string, ids []string) ([]Entry, error) {
	found := make([]*Entry, len(ids))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, id := range ids {
		g.Go(func() error {
			b, err := s.store.Get(ctx, at+rowsKey+id)
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			var e Entry
			if err == nil {
				err = json.Unmarshal(b, &e)
			}
			if err != nil {
				return fmt.Errorf("%s%s: %w", at, id, err)
			}
			found[i] = &e
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all := make([]Entry, 0, len(ids))
	for _, e := range found {
		if e != nil {
			all = append(all, *e)
		}
	}
	return all, nil
}

// atOnce is how many records are read, or deleted, at a time: in a bucket each takes a
// request.
const atOnce = 16

// remove deletes rows.
func (s *Service) remove(ctx context.Context, at string, ids []string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, id := range ids {
		g.Go(func() error { return s.store.Delete(ctx, at+rowsKey+id) })
	}
	err := g.Wait()
	s.mu.Lock()
	delete(s.counts, at) // to be counted anew
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	return nil
}
