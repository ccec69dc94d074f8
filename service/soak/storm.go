//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// storm is the requests, and the changes that go on meanwhile.
type storm struct {
	c        *common
	client   *http.Client
	replicas []*process
	oracle   *oracle
	world    *world

	asked atomic.Int64 // requests sent

	mu       sync.Mutex
	report   *swaps
	answered []asked // to be judged when the churners are done
	agree    []time.Duration
	took     []time.Duration
}

// asked is a request with what each of its rows was answered by.
type asked struct {
	sent, done time.Time
	refs       []string // "" for the bare base
	versions   []int    // empty: not found
	digests    []string
}

// kinds of request.
const (
	single  = "one adapter"
	mixed   = "mixed batch"
	asModel = "adapter as model"
	bare    = "bare base"
)

// ask sends one request that is drawn at random and checks the scores.
func (s *storm) ask(ctx context.Context, r *rand.Rand) {
	body := map[string]any{"model": baseName}
	rows := 1 + r.IntN(4)
	var kind string
	var refs []string
	switch x := r.IntN(100); {
	case x < 40:
		kind = mixed
		rows = 2 + r.IntN(11)
		names := make([]any, rows)
		refs = make([]string, rows)
		for i := range rows {
			if r.IntN(6) > 0 {
				refs[i] = s.world.pick(r)
				names[i] = refs[i]
			}
		}
		body["adapters"] = names
	case x < 80:
		kind = single
		ref := s.world.pick(r)
		body["adapter"], refs = ref, slices.Repeat([]string{ref}, rows)
	case x < 90:
		kind = asModel
		ref := s.world.pick(r)
		body["model"], refs = ref, slices.Repeat([]string{ref}, rows)
	default:
		kind = bare
		refs = make([]string, rows)
		if r.IntN(2) == 0 {
			body["adapter"] = nil
		}
	}
	about := make([]int, rows)
	inputs := make([]any, rows)
	for i := range rows {
		about[i] = r.IntN(len(texts))
		inputs[i] = texts[about[i]]
	}
	body["inputs"] = inputs
	p := s.replicas[r.IntN(len(s.replicas))]
	a := asked{sent: time.Now(), refs: refs}
	got, err := call(ctx, s.client, http.MethodPost, p.url+"/predict", body)
	a.done = time.Now()
	if ctx.Err() != nil {
		return
	}
	s.note(kind, a.done.Sub(a.sent))
	problem := got.problem().Code
	switch {
	case err != nil:
		s.failed(ctx, "%s of %q: %v", kind, refs, err)
	case got.status == http.StatusNotFound && (problem == "adapter_not_found" || kind == asModel && problem == "model_not_found"):
		s.judge(a)
	case got.status != http.StatusOK:
		s.failed(ctx, "%s of %q: %v", kind, refs, got)
	default:
		s.read(kind, a, about, got.body)
	}
}

// read checks the scores of an answer against the digests that it names.
func (s *storm) read(kind string, a asked, about []int, body []byte) {
	var got prediction
	if err := json.Unmarshal(body, &got); err != nil || len(got.Results) != len(about) {
		s.wrong("%s of %q is answered with %d results: %.300s", kind, a.refs, len(got.Results), body)
		return
	}
	for i, row := range got.Results {
		number, digest := 0, ""
		if kind != mixed && got.Adapter != nil {
			number, digest = got.Adapter.Version, got.Adapter.Digest
		} else if kind == mixed && row.Adapter != "" {
			_, n, _ := strings.Cut(row.Adapter, "@")
			number, _ = strconv.Atoi(n) // 0 is told below
			digest = row.Digest
		}
		if (digest == "") != (a.refs[i] == "") {
			s.wrong("%s: row %d of %q is answered by %q", kind, i, a.refs, digest)
			return
		}
		if err := s.oracle.check(digest, about[i], row); err != nil {
			s.wrong("%s: row %d of %q %v", kind, i, a.refs, err)
			return
		}
		a.versions, a.digests = append(a.versions, number), append(a.digests, digest)
	}
	s.judge(a)
}

// judge puts an answer aside: what the names meant is known when the changes under way
// are.
func (s *storm) judge(a asked) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered = append(s.answered, a)
}

// verdict judges the versions of all answers.
func (s *storm) verdict() {
	for _, a := range s.answered {
		if len(a.versions) == 0 {
			var why error
			for _, ref := range a.refs {
				if ref == "" {
					continue
				}
				if why = s.world.legal(ref, 0, a.sent, a.done); why == nil {
					break
				}
			}
			if why != nil {
				s.wrong("not found, of %q: %v", a.refs, why)
			} else {
				s.report.Gone++
			}
			continue
		}
		s.report.Right++
		for i, ref := range a.refs {
			s.report.Rows++
			if ref == "" {
				continue
			}
			name, _, _ := strings.Cut(ref, "@")
			if err := s.world.legal(ref, a.versions[i], a.sent, a.done); err != nil {
				s.wrong("%v", err)
			} else if want := s.world.digest[fmt.Sprintf("%s@%d", name, a.versions[i])]; want != a.digests[i] {
				s.wrong("%s@%d is answered with the digest %.19s, registered was %.19s", name, a.versions[i], a.digests[i], want)
			}
		}
	}
}

// mostTold is how many of the things that are wrong are told; all are counted.
const mostTold = 20

func (s *storm) wrong(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Wrong++
	s.tell("WRONG: "+format, args...)
}

// failed counts what was not answered as it should, unless the run is at its end.
func (s *storm) failed(ctx context.Context, format string, args ...any) {
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Failed++
	s.tell("FAILED: "+format, args...)
}

// tell keeps what is wrong. mu is held.
func (s *storm) tell(format string, args ...any) {
	if len(s.report.Violations) < mostTold {
		s.report.Violations = append(s.report.Violations, fmt.Sprintf(format, args...))
		s.c.say(format, args...)
	}
}

func (s *storm) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Changes[what]++
}

func (s *storm) note(kind string, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Kinds[kind]++
	s.took = append(s.took, took)
}

func (s *storm) agreed(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.agree = append(s.agree, took)
	if took > lag {
		s.report.Late++
		s.tell("LATE: a replica agreed after %v", took)
	}
}
