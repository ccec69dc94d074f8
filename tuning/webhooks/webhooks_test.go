package webhooks

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// receiver is an endpoint that answers with the statuses it is given, then with 204.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	got      []received
	news     chan struct{}
}

type received struct {
	body   string
	header http.Header
}

func listen(t *testing.T, statuses ...int) *receiver {
	r := &receiver{statuses: statuses, news: make(chan struct{}, 100)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		status := http.StatusNoContent
		if n := len(r.got); n < len(r.statuses) {
			status = r.statuses[n]
		}
		r.got = append(r.got, received{string(body), q.Header})
		w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
		w.WriteHeader(status)
		r.news <- struct{}{}
	}))
	t.Cleanup(r.Close)
	return r
}

// next waits for a request.
func (r *receiver) next(t *testing.T) received {
	t.Helper()
	select {
	case <-r.news:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[len(r.got)-1]
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

func folder(t *testing.T) *store.Dir {
	t.Helper()
	dir, err := store.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	return dir
}

// start runs a service until the test ends or stop is called.
func start(t *testing.T, o Options) (s *Service, stop func()) {
	t.Helper()
	o.Log, o.Local, o.Client = slog.New(slog.DiscardHandler), true, http.DefaultClient
	if o.Waits == nil {
		o.Waits = []time.Duration{10 * time.Millisecond, 10 * time.Millisecond, 10 * time.Millisecond}
	}
	s = New(o)
	if err := s.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

func (s *Service) endpoint(t *testing.T, url, tenant string) Endpoint {
	t.Helper()
	e, err := s.Create(t.Context(), Endpoint{Name: "test", URL: url, Events: EventTypes, Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// over is a job that has just ended.
func over(id string, status tuning.Status, tenant string) tuning.Job {
	return tuning.Job{ID: id, Status: status, FinishedAt: new(time.Now().Add(time.Millisecond)), Spec: tuning.Spec{Tenant: tenant}}
}

// settled waits until nothing is to be delivered.
func (s *Service) settled(t *testing.T) {
	t.Helper()
	for range 1000 {
		s.mu.Lock()
		n := len(s.due) + len(s.over)
		s.mu.Unlock()
		if n == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("deliveries do not end")
}

// signed checks a request as the specification says.
func signed(t *testing.T, r received, secret string) bool {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(sha256.New, key)
	fmt.Fprintf(h, "%s.%s.%s", r.header.Get("webhook-id"), r.header.Get("webhook-timestamp"), r.body)
	want := "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
	for _, got := range strings.Fields(r.header.Get("webhook-signature")) {
		if got == want {
			return true
		}
	}
	return false
}

func TestAnEndpointIsToldOfItsTenantsJobs(t *testing.T) {
	r := listen(t)
	s, _ := start(t, Options{Store: folder(t)})
	early := over("job_early", tuning.Succeeded, "acme")
	early.FinishedAt = new(time.Now().Add(-time.Second))
	e := s.endpoint(t, r.URL, "acme")
	for _, j := range []tuning.Job{early, over("job_other", tuning.Succeeded, "other"), over("job_mine", tuning.Failed, "acme")} {
		s.Over(j)
		s.Over(j)
	}
	got := r.next(t)
	s.settled(t)
	var told event
	if err := json.Unmarshal([]byte(got.body), &told); err != nil {
		t.Fatal(err)
	}
	if r.count() != 1 || told.Type != "fine_tuning.job.failed" || told.Data.ID != "job_mine" || told.Object != "event" || told.ID == "" || told.CreatedAt == 0 {
		t.Errorf("%d requests, the last says %s", r.count(), got.body)
	}
	if !signed(t, got, e.Secrets[0].Value) {
		t.Error("the signature is wrong")
	}
	if got.body += " "; signed(t, got, e.Secrets[0].Value) {
		t.Error("a changed body passes")
	}
}

// Endpoints that do not answer hold up their own deliveries, each a few at a time.
func TestSilentEndpointsHoldUpNoOther(t *testing.T) {
	s, stop := start(t, Options{Store: folder(t), Timeout: time.Minute})
	var mu sync.Mutex
	held := map[string]int{} // by path
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body) // else it does not see the caller go
		mu.Lock()
		held[q.URL.Path]++
		mu.Unlock()
		<-q.Context().Done()
	}))
	t.Cleanup(silent.Close)
	const many = 10
	for i := range many {
		s.endpoint(t, fmt.Sprintf("%s/%d", silent.URL, i), "dead")
	}
	for i := range 3 {
		s.Over(over(fmt.Sprint("job_dead", i), tuning.Succeeded, "dead"))
	}
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		mu.Lock()
		n := 0
		for path, k := range held {
			if n += k; k > turns {
				t.Errorf("%d deliveries to %s at once", k, path)
			}
		}
		mu.Unlock()
		if n == many*turns {
			break
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("%d deliveries are under way, want %d", n, many*turns)
		}
	}
	good := listen(t)
	s.endpoint(t, good.URL, "alive")
	for i := range 3 {
		s.Over(over(fmt.Sprint("job_alive", i), tuning.Succeeded, "alive"))
		good.next(t)
	}
	stop()
}

func TestWhatFailsIsTriedAgainAndGivenUp(t *testing.T) {
	dir := folder(t)
	s, _ := start(t, Options{Store: dir})
	r := listen(t, 500, 302, 200)
	s.endpoint(t, r.URL, "")
	s.Over(over("job_a", tuning.Succeeded, ""))
	first := r.next(t)
	r.next(t)
	third := r.next(t)
	s.settled(t)
	if first.header.Get("webhook-id") != third.header.Get("webhook-id") || first.body != third.body {
		t.Error("a delivery that is tried again is another")
	}
	never := listen(t, 500, 500, 500, 500, 500, 500)
	if _, err := s.Update(t.Context(), func() string { all, _ := s.List(t.Context()); return all[0].ID }(), func(e *Endpoint) { e.URL = never.URL }); err != nil {
		t.Fatal(err)
	}
	s.Over(over("job_b", tuning.Cancelled, ""))
	s.settled(t)
	if got := s.Stats(); never.count() != 4 || got != (Stats{Delivered: 1, Failed: 6, GivenUp: 1}) {
		t.Errorf("%d attempts, %+v", never.count(), got)
	}
}

// A process that ends before an endpoint could be told leaves it to the next.
func TestADeliveryOutlivesItsProcess(t *testing.T) {
	dir := folder(t)
	r := listen(t, 503)
	a, stop := start(t, Options{Store: dir, Waits: []time.Duration{time.Hour, time.Hour}})
	a.endpoint(t, r.URL, "")
	job := over("job_a", tuning.Succeeded, "")
	a.Over(job)
	first := r.next(t)
	stop()
	// The queue of the next process says at its start that the job is over.
	b, stop := start(t, Options{Store: dir, Timeout: 2 * time.Second})
	b.Over(job)
	second := r.next(t)
	b.settled(t)
	if first.header.Get("webhook-id") != second.header.Get("webhook-id") {
		t.Error("it is told of another event")
	}
	stop()
	told := r.count()
	c, _ := start(t, Options{Store: dir})
	c.Over(job)
	c.settled(t)
	if r.count() != told {
		t.Errorf("told %d times, once after it was delivered", r.count())
	}
}

func TestSeveralProcessesTellOnce(t *testing.T) {
	dir := folder(t)
	r := listen(t)
	var all []*Service
	for range 4 {
		s, _ := start(t, Options{Store: dir, Timeout: time.Minute}) // however slow the machine is, an attempt is not taken for lost
		all = append(all, s)
	}
	all[0].endpoint(t, r.URL, "")
	const n = 20
	for i := range n {
		for _, s := range all {
			s.Over(over(fmt.Sprintf("job_%d", i), tuning.Succeeded, ""))
		}
	}
	for range n {
		r.next(t)
	}
	for range 1000 { // who lost a race looks again in a minute: by then it is done
		keys, err := dir.List(t.Context(), deliveries)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(strings.Join(keys, " "), keyDone) == n {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	ids := map[string]bool{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.got {
		ids[g.header.Get("webhook-id")] = true
	}
	if len(r.got) != n || len(ids) != n {
		t.Errorf("%d requests of %d events, want %d", len(r.got), len(ids), n)
	}
}

func TestTheOperatorsOwnEndpoint(t *testing.T) {
	r := listen(t)
	dir := folder(t)
	o := Options{Store: dir, Own: r.URL, OwnSecret: "a secret of thirty-two bytes....", OwnClient: http.DefaultClient}
	s, stop := start(t, o)
	s.Over(over("job_a", tuning.Succeeded, "acme"))
	got := r.next(t)
	s.settled(t)
	h := hmac.New(sha256.New, []byte(o.OwnSecret))
	fmt.Fprintf(h, "%s.%s.%s", got.header.Get("webhook-id"), got.header.Get("webhook-timestamp"), got.body)
	if got.header.Get("webhook-signature") != "v1,"+base64.StdEncoding.EncodeToString(h.Sum(nil)) {
		t.Error("the signature is wrong")
	}
	if all, err := s.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("it is listed: %v, %v", all, err)
	}
	stop()
	between := over("job_b", tuning.Failed, "") // while no process ran
	s, _ = start(t, o)
	s.Over(between)
	r.next(t)
	s.settled(t)
}

func TestEndpointsAreChangedAndChecked(t *testing.T) {
	s, _ := start(t, Options{Store: folder(t)})
	e := s.endpoint(t, "https://hooks.example/a", "")
	rotated, err := s.Rotate(t.Context(), e.ID, time.Hour)
	if err != nil || len(rotated.Secrets) != 2 || rotated.Secrets[1].Value != e.Secrets[0].Value || rotated.Secrets[0].Value == e.Secrets[0].Value {
		t.Errorf("rotated to %+v, %v", rotated, err)
	}
	if at := rotated.Secrets[1].Until; len(strings.Fields(signatures(rotated.Secrets, "id", at.Add(-time.Second), nil))) != 2 || len(strings.Fields(signatures(rotated.Secrets, "id", at.Add(time.Second), nil))) != 1 {
		t.Error("the old secret signs for the wrong time")
	}
	var calls sync.WaitGroup
	for i := range 8 {
		calls.Go(func() {
			if _, err := s.Update(t.Context(), e.ID, func(e *Endpoint) { e.Name += fmt.Sprint(i) }); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if got, err := s.Get(t.Context(), e.ID); err != nil || len(got.Name) != len("test")+8 {
		t.Errorf("eight changes make %+v, %v", got, err)
	}
	old := time.Now().Add(-2 * slowest)
	if err := s.put(t.Context(), Endpoint{ID: e.ID, Name: "old", URL: e.URL, Events: EventTypes, UpdatedAt: old, Secrets: e.Secrets}, 20); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Update(t.Context(), e.ID, func(e *Endpoint) { e.Name = "new" }); err != nil || got.Name != "new" {
		t.Errorf("changed to %+v, %v", got, err)
	}
	if keys, err := s.o.Store.List(t.Context(), endpoints+e.ID+"/"); err != nil || slices.Contains(keys, endpoints+e.ID+"/000020") || !slices.Contains(keys, endpoints+e.ID+"/000021") {
		t.Errorf("of old records there are %v, %v", keys, err)
	}
	if _, err := s.Update(t.Context(), e.ID, func(e *Endpoint) { e.URL = "http://hooks.example" }); !invalid.Is(err) {
		t.Errorf("an address without TLS: %v", err)
	}
	for _, id := range []string{"", "we_", "we_../../../../../../../..", "we_" + strings.Repeat("A", 20)} {
		if _, err := s.Get(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if err := s.Delete(t.Context(), e.ID); err != nil {
		t.Error(err)
	}
	for i := range mostEndpoints {
		s.endpoint(t, fmt.Sprintf("https://hooks.example/%d", i), "")
	}
	if _, err := s.Create(t.Context(), Endpoint{Name: "more", URL: "https://hooks.example", Events: EventTypes}); !invalid.Is(err) {
		t.Errorf("one more than there may be: %v", err)
	}
	s.endpoint(t, "https://hooks.example", "another tenant")
}

func FuzzURL(f *testing.F) {
	for _, u := range []string{"https://hooks.example/a?b=c", "http://127.0.0.1:1", "http://localhost", "https://[::1]:8/", "https://u:p@x/", "//x", "https://x#y", "https://:"} {
		f.Add(u)
	}
	s := New(Options{Local: true})
	f.Fuzz(func(t *testing.T, u string) {
		if s.checkURL(u) != nil {
			return
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u, nil)
		if err != nil || r.URL.Hostname() == "" || r.URL.User != nil || r.URL.Scheme == "http" && !here(r.URL.Hostname()) {
			t.Errorf("%q is taken: %v", u, err)
		}
	})
}
