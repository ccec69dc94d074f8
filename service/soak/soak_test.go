//go:build unix

package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// What the checks must find is put to them here; that a service passes is for the runs.

func TestVersionsAreJudgedByWhatANameMeant(t *testing.T) {
	w := newWorld([]string{"n"})
	begin := time.Now()
	at := func(seconds float64) time.Time { return begin.Add(time.Duration(seconds * float64(time.Second))) }
	w.history["n"] = []state{
		{until: at(1)},
		{from: at(0.9), until: at(10), live: []int{1}, current: 1},
		{from: at(9), until: at(20), live: []int{1, 2}, current: 2},
		{from: at(19), until: at(30), live: []int{1, 2}, current: 1}, // rolled back
		{from: at(29), live: []int{1}, current: 1},
	}
	for name, c := range map[string]struct {
		ref        string
		version    int
		sent, done float64
		legal      bool
	}{
		"the current version":                            {"n", 1, 5, 5.1, true},
		"a version that comes later":                     {"n", 2, 5, 5.1, false},
		"the new one while the change is under way":      {"n", 2, 9, 9.1, true},
		"the old one while the change is under way":      {"n", 1, 9.5, 9.6, true},
		"the old one within a second of it":              {"n", 1, 10.9, 11, true},
		"the old one too late":                           {"n", 1, 11.1, 11.2, false},
		"what was rolled back from":                      {"n", 2, 22, 22.1, false},
		"not found, of what is there":                    {"n", 0, 15, 15.1, false},
		"not found, before it was there":                 {"n", 0, 0.1, 0.2, true},
		"another version than was asked for":             {"n@1", 2, 15, 15.1, false},
		"the version that was asked for":                 {"n@1", 1, 15, 15.1, true},
		"a version that was deleted":                     {"n@2", 2, 32, 32.1, false},
		"not found, of a version that was deleted":       {"n@2", 0, 32, 32.1, true},
		"not found, of a version that is there":          {"n@2", 0, 25, 25.1, false},
		"not found, of a version that never was":         {"n@7", 0, 25, 25.1, true},
		"a request that lasted over the change, before":  {"n", 1, 8, 12, true},
		"a request that lasted over the change, after":   {"n", 2, 8, 12, true},
		"a request that ended before the change is sent": {"n", 2, 5, 8.9, false},
	} {
		if err := w.legal(c.ref, c.version, at(c.sent), at(c.done)); (err == nil) != c.legal {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestScoresAreJudgedByTheDigestTheyName(t *testing.T) {
	o := &oracle{scores: map[string][]answer{"": {{[]string{"no", "yes"}, []float64{0.4, 0.6}}}, "sha256:a": {{[]string{"x", "y"}, []float64{0.1, 0.9}}}, "sha256:b": {{[]string{"x", "y"}, []float64{0.3, 0.7}}}}}
	row := func(labels string, scores ...float64) scored {
		var s scored
		for i, l := range strings.Fields(labels) {
			s.Scores = append(s.Scores, struct {
				Label string  `json:"label"`
				Score float64 `json:"score"`
			}{l, scores[i]})
		}
		return s
	}
	for name, c := range map[string]struct {
		digest string
		row    scored
		right  bool
	}{
		"its own":                 {"sha256:a", row("x y", 0.1, 0.90005), true},
		"those of another":        {"sha256:a", row("x y", 0.3, 0.7), false},
		"a little off":            {"sha256:a", row("x y", 0.1, 0.9002), false},
		"of other labels":         {"sha256:a", row("no yes", 0.1, 0.9), false},
		"too few":                 {"sha256:a", row("x", 0.1), false},
		"a digest nobody knows":   {"sha256:c", row("x y", 0.1, 0.9), false},
		"of the bare base":        {"", row("no yes", 0.4, 0.6), true},
		"the base's for adapters": {"sha256:a", row("no yes", 0.4, 0.6), false},
	} {
		if err := o.check(c.digest, 0, c.row); (err == nil) != c.right {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !o.unlike([]answer{{[]string{"x", "y"}, []float64{0.2, 0.8}}}) || o.unlike([]answer{{[]string{"x", "y"}, []float64{0.305, 0.695}}}) {
		t.Error("adapters that answer alike are told apart wrongly")
	}
}

func TestTheLedgerTellsRefusedFromDropped(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch strings.TrimPrefix(r.URL.Path, "/") {
		case "ok":
		case "busy":
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		case "rude":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "cut":
			panic(http.ErrAbortHandler)
		case "half":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		case "stream", "torn":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: {}\n\n")
			if r.URL.Path == "/stream" {
				_, _ = io.WriteString(w, "data: [DONE]\n\n")
			}
		}
	}))
	defer server.Close()
	l := newLedger(1)
	ask := func(url string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = l.RoundTrip(r)
	}
	for _, path := range []string{"ok", "busy", "rude", "broken", "cut", "half", "stream", "torn"} {
		ask(server.URL + "/" + path)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	ask("http://" + free.Addr().String())
	got := l.tally(time.Second)
	got.Latency, got.First, got.Refusal = latency{}, latency{}, latency{}
	if want := (tally{Seconds: 1, Rate: 9, Answered: 2, Streams: 1, Refused: 1, Nobody: 1, Dropped: 2, Strange: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestSummaries(t *testing.T) {
	var took []time.Duration
	for i := range 100 {
		took = append(took, time.Duration(100-i)*time.Millisecond)
	}
	if got := summary(took); got != (latency{100, 50, 99, 100}) {
		t.Errorf("%v", got)
	}
	var all []sample
	for i := range 40 {
		all = append(all, sample{time.Duration(i) * time.Second, usage{Resident: (500 + 2*float64(i)) * mib}})
	}
	if m := growth(usage{Resident: 100 * mib}, all); m.Slope < 119.9 || m.Slope > 120.1 || m.Max != 578 || m.End-m.Warm != 40 || m.Begin != 100 {
		t.Errorf("%+v", m)
	}
	if status(refused{reply{status: 422}}) != 422 || status(errors.New("x")) != 0 {
		t.Error("statuses of refusals")
	}
}
