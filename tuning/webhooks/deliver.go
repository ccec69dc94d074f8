package webhooks

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// The records of a delivery, below webhooks/deliveries/<endpoint>/<job>/:
//
//	<n>    the n-th attempt has begun
//	done   it was delivered, or given up
const (
	deliveries = "webhooks/deliveries/"
	keyDone    = "done"
)

type attemptRecord struct {
	At time.Time `json:"at"`
}

type doneRecord struct {
	At        time.Time `json:"at"`
	Delivered bool      `json:"delivered"`
	Attempts  int       `json:"attempts"`
}

// kept is how long records of deliveries stay: longer than a delivery may take.
const kept = 7 * 24 * time.Hour

// event is what is sent.
type event struct {
	ID        string    `json:"id"`
	Object    string    `json:"object"`
	Type      string    `json:"type"`
	CreatedAt int64     `json:"created_at"`
	Data      eventData `json:"data"`
}

type eventData struct {
	ID string `json:"id"`
}

// delivery is one event that one endpoint is to be told.
type delivery struct {
	endpoint string
	event    event
	next     time.Time
	running  bool
	tried    int // attempts of this process's own knowledge that failed
}

func (d *delivery) key() string { return d.endpoint + "/" + d.event.Data.ID }

// identify derives an id from what it stands for, the same in every process.
func identify(prefix string, of ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(of, "\x00")))
	return prefix + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:24])
}

func eventOf(j tuning.Job) event {
	e := event{ID: identify("evt_", j.ID, string(j.Status)), Object: "event", Type: "fine_tuning.job." + string(j.Status), Data: eventData{j.ID}}
	if j.FinishedAt != nil {
		e.CreatedAt = j.FinishedAt.Unix()
	}
	return e
}

// Over takes note of a job that is over. It does not wait, and may be called for the same
// job by every process and at every start: who was told is in the store.
func (s *Service) Over(j tuning.Job) {
	if j.FinishedAt == nil || time.Since(*j.FinishedAt) > s.longest() {
		return
	}
	j.Spec = tuning.Spec{Tenant: j.Spec.Tenant}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun { // else this process serves no API, and leaves it to those that do
		s.over = append(s.over, j)
		s.wake()
	}
}

func (s *Service) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// longest is how long a delivery is tried.
func (s *Service) longest() time.Duration {
	var sum time.Duration
	for _, w := range s.o.Waits {
		sum += w + s.o.Timeout
	}
	return sum
}

// turns is how many deliveries are made to one endpoint at once. One that does not answer
// holds up its own alone; how many endpoints there are is bounded, see mostEndpoints.
const turns = 2

// Run tells endpoints of jobs until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { s.tidyHourly(ctx) }) // for which no delivery is to wait
	for ctx.Err() == nil {
		wait := time.Hour
		if err := s.match(ctx); err != nil && ctx.Err() == nil {
			s.o.Log.Warn("webhooks wait for the store", "error", err)
			wait = time.Second
		}
		ready, next := s.ready(time.Now())
		for _, d := range ready {
			running.Go(func() {
				s.attempt(ctx, d)
				s.wake() // it may be another's turn
			})
		}
		t := time.NewTimer(min(wait, next))
		select {
		case <-s.woken:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
	return nil
}

// ready takes the deliveries whose time and turn it is, and says when it is the time of
// the next.
func (s *Service) ready(now time.Time) (ready []*delivery, next time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next = time.Hour
	busy := map[string]int{} // deliveries under way, by endpoint
	var waiting []*delivery
	for _, d := range s.due {
		switch {
		case d.running:
			busy[d.endpoint]++
		case d.next.After(now):
			next = min(next, d.next.Sub(now))
		default:
			waiting = append(waiting, d)
		}
	}
	slices.SortFunc(waiting, func(a, b *delivery) int { // what happened first is told first
		return cmp.Or(cmp.Compare(a.event.CreatedAt, b.event.CreatedAt), cmp.Compare(a.key(), b.key()))
	})
	for _, d := range waiting {
		if busy[d.endpoint] < turns {
			busy[d.endpoint]++
			d.running = true
			ready = append(ready, d)
		}
	}
	return ready, next
}

// match finds the endpoints that are to be told of jobs that are over.
func (s *Service) match(ctx context.Context) error {
	s.mu.Lock()
	over := s.over
	s.mu.Unlock()
	if len(over) == 0 {
		return nil
	}
	all, err := s.told(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = s.over[len(over):]
	for _, j := range over {
		e := eventOf(j)
		for _, to := range all {
			d := &delivery{endpoint: to.ID, event: e}
			wanted := slices.Contains(to.Events, e.Type) && (to.all || to.Tenant == j.Spec.Tenant) && j.FinishedAt.After(to.CreatedAt)
			if _, known := s.due[d.key()]; wanted && !known {
				s.due[d.key()] = d
			}
		}
	}
	return nil
}

// told are all endpoints, the operator's too.
func (s *Service) told(ctx context.Context) ([]Endpoint, error) {
	all, err := s.List(ctx)
	if err != nil || s.o.Own == "" {
		return all, err
	}
	own, err := s.own(ctx)
	return append(all, own), err
}

// own is the operator's endpoint. When it was first named is recorded, so that it is not
// told of what was over by then.
func (s *Service) own(ctx context.Context) (Endpoint, error) {
	e := Endpoint{ID: identify("own_", s.o.Own), Name: "--webhook", URL: s.o.Own, Events: EventTypes, Secrets: []Secret{{Value: s.o.OwnSecret}},
		all: true, client: s.o.OwnClient}
	since := attemptRecord{At: time.Now().UTC()}
	b, _ := json.Marshal(since) // a time: cannot fail
	b, err := store.Once(ctx, s.o.Store, "webhooks/own/"+e.ID, b)
	if err == nil {
		err = json.Unmarshal(b, &since)
	}
	e.CreatedAt = since.At
	return e, err
}

// Begin is to be called before Run, and before jobs end: it records when the operator's
// endpoint was first named. Before it Over does nothing.
func (s *Service) Begin(ctx context.Context) error {
	s.mu.Lock()
	s.begun = true
	s.mu.Unlock()
	if s.o.Own == "" {
		return nil
	}
	_, err := s.own(ctx)
	return err
}

// attempt tells an endpoint of an event, unless another process does or did.
func (s *Service) attempt(ctx context.Context, d *delivery) {
	over, next, err := s.try(ctx, d)
	if err != nil && ctx.Err() == nil {
		s.o.Log.Warn("webhook", "endpoint", d.endpoint, "job", d.event.Data.ID, "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.running, d.next = false, next; over {
		delete(s.due, d.key())
	}
}

// try makes the next attempt if it is time for it, and says when the one after is.
func (s *Service) try(ctx context.Context, d *delivery) (over bool, next time.Time, err error) {
	soon := time.Now().Add(5 * time.Second) // when the store is out of reach
	to, err := s.find(ctx, d.endpoint)
	if errors.Is(err, ErrNotFound) {
		return true, soon, nil // deleted since
	}
	if err != nil {
		return false, soon, err
	}
	folder := deliveries + d.key() + "/"
	keys, err := s.o.Store.List(ctx, folder)
	if err != nil {
		return false, soon, err
	}
	if slices.Contains(keys, folder+keyDone) {
		return true, soon, nil
	}
	n := len(keys)
	if n > 0 && n != d.tried { // another process's, which may still be at it; or one before a crash
		b, err := s.o.Store.Get(ctx, slices.Max(keys))
		var last attemptRecord
		if err == nil {
			err = json.Unmarshal(b, &last)
		}
		if err != nil {
			return false, soon, err
		}
		if at := last.At.Add(s.o.Timeout + s.wait(n)); time.Now().Before(at) {
			return false, at, nil
		}
	}
	if n > len(s.o.Waits) {
		return true, soon, s.done(ctx, d, false, n)
	}
	record, _ := json.Marshal(attemptRecord{time.Now().UTC()}) // a time: cannot fail
	err = s.o.Store.Create(ctx, store.NumberedKey(folder, n+1), record)
	if errors.Is(err, store.ErrExists) {
		return false, soon, nil
	}
	if err != nil {
		return false, soon, err
	}
	status, err := s.send(ctx, to, d.event)
	if err == nil && (status < 200 || status > 299) {
		err = fmt.Errorf("%s answers %d", to.URL, status)
	}
	if err == nil {
		s.count(func(st *Stats) { st.Delivered++ })
		return true, soon, s.done(ctx, d, true, n+1)
	}
	if ctx.Err() != nil {
		return false, soon, nil
	}
	d.tried = n + 1
	s.count(func(st *Stats) { st.Failed++ })
	if n+1 > len(s.o.Waits) {
		return true, soon, errors.Join(err, s.done(ctx, d, false, n+1))
	}
	return false, time.Now().Add(s.wait(n + 1)), err
}

// wait is the time after the n-th attempt.
func (s *Service) wait(n int) time.Duration {
	if n < 1 || n > len(s.o.Waits) {
		return 0
	}
	return s.o.Waits[n-1]
}

func (s *Service) count(change func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stats)
}

func (s *Service) done(ctx context.Context, d *delivery, delivered bool, attempts int) error {
	if !delivered {
		s.count(func(st *Stats) { st.GivenUp++ })
		s.o.Log.Error("webhook given up", "endpoint", d.endpoint, "job", d.event.Data.ID, "attempts", attempts)
	}
	b, _ := json.Marshal(doneRecord{time.Now().UTC(), delivered, attempts}) // cannot fail
	err := s.o.Store.Create(ctx, deliveries+d.key()+"/"+keyDone, b)
	if errors.Is(err, store.ErrExists) {
		return nil
	}
	return err
}

func (s *Service) find(ctx context.Context, id string) (Endpoint, error) {
	if s.o.Own != "" && id == identify("own_", s.o.Own) {
		return s.own(ctx)
	}
	return s.Get(ctx, id)
}

// Test sends an endpoint an event of a job that never was, and gives the status that it
// answers with. ErrRefused: it cannot be reached.
func (s *Service) Test(ctx context.Context, id, kind string) (status int, err error) {
	to, err := s.Get(ctx, id)
	if err != nil {
		return 0, err
	}
	status, err = s.send(ctx, to, event{ID: identify("evt_", "test", time.Now().String()), Object: "event", Type: kind, CreatedAt: time.Now().Unix(), Data: eventData{"job_test"}})
	if err != nil {
		s.o.Log.Info("webhook test", "endpoint", id, "error", err)
		err = fmt.Errorf("%w: %s", ErrRefused, why(err))
	}
	return status, err
}

// why says it without what a resolver or a firewall of ours would tell.
func why(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "it does not answer in time"
	case refuses(err):
		return "no connection to it is made"
	}
	return "the connection to it fails"
}

// send posts an event, signed, and gives the status of the answer.
func (s *Service) send(ctx context.Context, to Endpoint, e event) (int, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return 0, err
	}
	ctx, stop := context.WithTimeout(ctx, s.o.Timeout)
	defer stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	id, now := identify("wh_", to.ID, e.ID), time.Now()
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "lorikeet-webhooks")
	for name, value := range map[string]string{"webhook-id": id, "webhook-timestamp": strconv.FormatInt(now.Unix(), 10),
		"webhook-signature": signatures(to.Secrets, id, now, body)} {
		r.Header[name] = []string{value} // as the specification spells them, for receivers that mind
	}
	client := to.client
	if client == nil {
		client = s.o.Client
	}
	once := *client
	// Where a redirect leads nobody has agreed to.
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := once.Do(r)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection serves again
	return res.StatusCode, res.Body.Close()
}

// signatures sign "id.timestamp.body" with each secret that counts.
func signatures(secrets []Secret, id string, at time.Time, body []byte) string {
	var all []string
	for _, s := range secrets {
		if s.Until == nil || at.Before(*s.Until) {
			key, err := s.key()
			if err != nil {
				continue // CheckSecret refuses it; ours are whole
			}
			h := hmac.New(sha256.New, key)
			fmt.Fprintf(h, "%s.%d.%s", id, at.Unix(), body)
			all = append(all, "v1,"+base64.StdEncoding.EncodeToString(h.Sum(nil)))
		}
	}
	return strings.Join(all, " ")
}

// key is the bytes that sign: what follows whsec_ is base64, anything else is itself, as
// OpenAI's clients take it.
func (s Secret) key() ([]byte, error) {
	if rest, ok := strings.CutPrefix(s.Value, secretPrefix); ok {
		return base64.StdEncoding.DecodeString(rest)
	}
	return []byte(s.Value), nil
}

// tidyHourly forgets old deliveries, at once and every hour, until ctx ends.
func (s *Service) tidyHourly(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := s.forget(ctx); err != nil && ctx.Err() == nil {
			s.o.Log.Warn("records of webhooks cannot be tidied", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// forget deletes the records of old deliveries.
func (s *Service) forget(ctx context.Context) error {
	keys, err := s.o.Store.List(ctx, deliveries)
	if err != nil {
		return err
	}
	for _, key := range keys {
		b, err := s.o.Store.Get(ctx, key)
		var r attemptRecord
		if err == nil {
			err = json.Unmarshal(b, &r)
		}
		if err == nil && time.Since(r.At) > kept {
			s.tidy(ctx, key)
		}
	}
	return nil
}
