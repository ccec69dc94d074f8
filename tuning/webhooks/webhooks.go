// Package webhooks tells others that a job is over, by a signed POST in the manner of
// Standard Webhooks (https://www.standardwebhooks.com), as OpenAI's API does: the unwrap
// of its clients verifies it.
//
// What is true is in the record store: the endpoints, and below deliveries/ one record
// for each attempt, made by create-if-absent, so that of several processes one makes it.
// A delivery is therefore made at least once, also after a crash, and seldom twice; the
// header webhook-id stays the same, for the receiver to tell.
package webhooks

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// EventTypes are the types of event there are.
var EventTypes = []string{"fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled"}

// Errors that callers act on.
var (
	ErrNotFound = errors.New("no such webhook endpoint")
	ErrRefused  = errors.New("the webhook endpoint cannot be reached")
)

// Store is what is needed of the record store; see [store.Dir].
type Store interface {
	Create(ctx context.Context, key string, data []byte) error
	Get(ctx context.Context, key string) ([]byte, error)
	List(ctx context.Context, prefix string) ([]string, error)
	Children(ctx context.Context, prefix string) ([]string, error)
	Delete(ctx context.Context, key string) error
}

// Endpoint is an address that is told.
type Endpoint struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	URL       string    `json:"url"`
	Events    []string  `json:"event_types"`
	Tenant    string    `json:"tenant,omitempty"` // whose jobs it is told of
	CreatedAt time.Time `json:"created_at"`       // jobs that ended before are not told of
	UpdatedAt time.Time `json:"updated_at"`
	Secrets   []Secret  `json:"secrets"` // the newest first

	all    bool         // told of every tenant's jobs: the operator's own
	client *http.Client // nil: the guarded one
}

// Secret signs until it ends.
type Secret struct {
	Value string     `json:"value"` // "whsec_" and base64
	Until *time.Time `json:"until,omitempty"`
}

// Options of a Service. Store and Client are required.
type Options struct {
	Store  Store
	Client *http.Client // dials no address that callers must not reach
	Local  bool         // who can reach the API is on this machine: so may endpoints be, without TLS
	Log    *slog.Logger // nil: slog.Default()

	// Own is an endpoint that the operator named, with the secret, and a client that may
	// reach it. It is told of every tenant's jobs.
	Own       string
	OwnSecret string
	OwnClient *http.Client

	Timeout time.Duration   // of one attempt; 10 s
	Waits   []time.Duration // after the first failed attempt, the second, …; the last one ends it. Three days
}

// defaultWaits add up to three days.
var defaultWaits = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 12 * time.Hour, 12 * time.Hour, 16 * time.Hour, 16 * time.Hour}

// Service keeps the endpoints and tells them. It is safe for concurrent use, and several
// processes may share a store.
type Service struct {
	o Options

	mu    sync.Mutex
	begun bool
	over  []tuning.Job         // ended, not looked at yet
	due   map[string]*delivery // by endpoint and job
	stats Stats
	woken chan struct{} // has a token when there is something new
}

// Stats count deliveries.
type Stats struct {
	Delivered, Failed, GivenUp int64 // attempts that were answered well, and not; deliveries given up
	Pending                    int   // deliveries that wait for an attempt
}

// New makes a service. Run does its work.
func New(o Options) *Service {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Waits == nil {
		o.Waits = defaultWaits
	}
	return &Service{o: o, due: map[string]*delivery{}, woken: make(chan struct{}, 1)}
}

// Stats tells what was done so far.
func (s *Service) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Pending = len(s.due)
	return out
}

const endpoints = "webhooks/endpoints/"

// mostEndpoints is how many a tenant may have.
const mostEndpoints = 16

// Create adds an endpoint; its name, URL, events and tenant count.
func (s *Service) Create(ctx context.Context, e Endpoint) (Endpoint, error) {
	if err := s.check(e); err != nil {
		return e, err
	}
	all, err := s.List(ctx)
	if err != nil {
		return e, err
	}
	n := 0
	for _, other := range all {
		if other.Tenant == e.Tenant {
			n++
		}
	}
	if n >= mostEndpoints {
		return e, invalid.Field("url", "there are %d webhook endpoints already; delete one", n)
	}
	e.ID = "we_" + strings.ToLower(rand.Text()[:20])
	e.CreatedAt = time.Now().UTC().Truncate(time.Millisecond)
	e.UpdatedAt = e.CreatedAt
	e.Secrets = []Secret{newSecret()}
	return e, s.put(ctx, e, 1)
}

func newSecret() Secret {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return Secret{Value: secretPrefix + base64.StdEncoding.EncodeToString(b[:])}
}

const secretPrefix = "whsec_"

// shortestSecret is in bytes that sign.
const shortestSecret = 16

// CheckSecret reports what is wrong with a secret that somebody made up.
func CheckSecret(value string) error {
	key, err := Secret{Value: value}.key()
	switch {
	case err != nil:
		return fmt.Errorf("after %s must come base64: %w", secretPrefix, err)
	case len(key) < shortestSecret:
		return fmt.Errorf("must have at least %d bytes, or be %s and as many in base64", shortestSecret, secretPrefix)
	}
	return nil
}

func (s *Service) put(ctx context.Context, e Endpoint, n int) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := s.o.Store.Create(ctx, store.NumberedKey(endpoints+e.ID+"/", n), b); err != nil {
		return fmt.Errorf("webhook endpoint %s: %w", e.ID, err)
	}
	return nil
}

// check reports everything that is wrong with an endpoint.
func (s *Service) check(e Endpoint) error {
	var errs []error
	bad := func(field, format string, args ...any) { errs = append(errs, invalid.Field(field, format, args...)) }
	if strings.TrimSpace(e.Name) == "" || len(e.Name) > 255 {
		bad("name", "must have 1 to 255 bytes")
	}
	if len(e.Events) == 0 {
		bad("event_types", "is empty; there are %s", strings.Join(EventTypes, ", "))
	}
	for i, t := range e.Events {
		if !slices.Contains(EventTypes, t) {
			bad(fmt.Sprintf("event_types[%d]", i), "%.80q is none of %s", t, strings.Join(EventTypes, ", "))
		}
	}
	errs = append(errs, s.checkURL(e.URL))
	return errors.Join(errs...)
}

func (s *Service) checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > 2048 || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return invalid.Field("url", "must be an address such as https://hooks.example/lorikeet, without a user")
	case u.Scheme == "https", u.Scheme == "http" && s.o.Local && here(u.Hostname()):
		return nil
	case s.o.Local:
		return invalid.Field("url", "must begin with https://, or with http:// on this machine")
	}
	return invalid.Field("url", "must begin with https://")
}

func here(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// load reads the newest record of an endpoint.
func (s *Service) load(ctx context.Context, id string) (e Endpoint, n int, err error) {
	if rest, ok := strings.CutPrefix(id, "we_"); !ok || len(rest) != 20 || strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return e, 0, fmt.Errorf("%w: %.80q", ErrNotFound, id)
	}
	n, b, err := store.Newest(ctx, s.o.Store, endpoints+id+"/")
	switch {
	case err != nil:
		return e, 0, fmt.Errorf("webhook endpoint %s: %w", id, err)
	case n == 0:
		return e, 0, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return e, 0, fmt.Errorf("webhook endpoint %s: %w", id, err)
	}
	return e, n, nil
}

// Get finds an endpoint.
func (s *Service) Get(ctx context.Context, id string) (Endpoint, error) {
	e, _, err := s.load(ctx, id)
	return e, err
}

// List gives all endpoints, the newest first.
func (s *Service) List(ctx context.Context) ([]Endpoint, error) {
	ids, err := s.o.Store.Children(ctx, endpoints)
	if err != nil {
		return nil, fmt.Errorf("webhook endpoints: %w", err)
	}
	var all []Endpoint
	for _, id := range ids {
		e, err := s.Get(ctx, id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Endpoint) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, nil
}

// Update changes an endpoint. change is called with it as it is, perhaps again when
// somebody else changes it at the same time.
func (s *Service) Update(ctx context.Context, id string, change func(*Endpoint)) (Endpoint, error) {
	for {
		e, n, err := s.load(ctx, id)
		if err != nil {
			return e, err
		}
		before, _ := json.Marshal(e) // it was read from JSON
		was := e.UpdatedAt
		change(&e)
		if after, _ := json.Marshal(e); string(after) == string(before) {
			return e, nil
		}
		if err := s.check(e); err != nil {
			return e, err
		}
		e.UpdatedAt = time.Now().UTC().Truncate(time.Millisecond)
		err = s.put(ctx, e, n+1)
		if errors.Is(err, store.ErrExists) {
			continue
		}
		if err == nil && time.Since(was) > slowest {
			s.tidyBefore(ctx, id, n)
		}
		return e, err
	}
}

// slowest is longer than a change takes. A record may go only when nobody can still be
// about to make it anew, out of what was there before it: that change would be lost.
const slowest = 10 * time.Minute

// tidyBefore deletes the records of an endpoint up to the n-th.
func (s *Service) tidyBefore(ctx context.Context, id string, n int) {
	for ; n > 0; n-- {
		key := store.NumberedKey(endpoints+id+"/", n)
		if _, err := s.o.Store.Get(ctx, key); errors.Is(err, store.ErrNotFound) {
			return // tidied before
		}
		s.tidy(ctx, key)
	}
}

// Rotate gives an endpoint a new secret; the old one signs too for so long.
func (s *Service) Rotate(ctx context.Context, id string, keep time.Duration) (Endpoint, error) {
	next := newSecret()
	return s.Update(ctx, id, func(e *Endpoint) {
		old := e.Secrets
		e.Secrets = []Secret{next}
		if keep > 0 && len(old) > 0 {
			e.Secrets = append(e.Secrets, Secret{old[0].Value, new(time.Now().UTC().Add(keep))})
		}
	})
}

// Delete forgets an endpoint, and what it was to be told.
func (s *Service) Delete(ctx context.Context, id string) error {
	if _, _, err := s.load(ctx, id); err != nil {
		return err
	}
	for _, prefix := range []string{endpoints + id + "/", deliveries + id + "/"} {
		keys, err := s.o.Store.List(ctx, prefix)
		if err != nil {
			return fmt.Errorf("webhook endpoint %s: %w", id, err)
		}
		for _, key := range keys {
			if err := s.o.Store.Delete(ctx, key); err != nil && !errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("webhook endpoint %s: %w", id, err)
			}
		}
	}
	return nil
}

func (s *Service) tidy(ctx context.Context, key string) {
	if err := s.o.Store.Delete(ctx, key); err != nil && !errors.Is(err, store.ErrNotFound) {
		s.o.Log.Warn("webhook record cannot be tidied", "record", key, "error", err)
	}
}

// refuses reports whether err says that a connection was not made because of where it
// would lead, or for want of an address.
func refuses(err error) bool {
	var dial *net.OpError
	return errors.As(err, &dial) && dial.Op == "dial"
}
