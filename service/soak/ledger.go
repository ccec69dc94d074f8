//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// ledger is an http.RoundTripper that keeps what became of each request, as its sender
// saw it. It reads every answer to its end.
type ledger struct {
	next http.RoundTripper

	mu       sync.Mutex
	Answered int // with 200, and streams to their end
	Streams  int // of those
	Refused  int // with 429 or 503 and Retry-After
	Nobody   int // nobody listened any more
	Dropped  int // sent, and not answered to the end
	Strange  int // answered otherwise
	told     []string
	took     []time.Duration // of those answered
	first    []time.Duration // of streams: until they began
	away     []time.Duration // of those refused
}

func newLedger(connections int) *ledger {
	return &ledger{next: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext}}
}

// CloseIdleConnections closes what the service would keep a goroutine for.
func (l *ledger) CloseIdleConnections() {
	if t, ok := l.next.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// RoundTrip implements http.RoundTripper.
func (l *ledger) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	res, err := l.next.RoundTrip(r)
	began := time.Since(start)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(res.Body)
		err = errors.Join(err, res.Body.Close())
	}
	took := time.Since(start)
	l.mu.Lock()
	defer l.mu.Unlock()
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial":
		l.Nobody++
		return nil, err
	case err != nil:
		l.Dropped++
		l.tell("%s was not answered after %v: %v", r.URL.Path, took.Round(time.Millisecond), err)
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(nil)) // nobody else reads it
	streamed := strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream")
	switch {
	case (res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable) && res.Header.Get("Retry-After") != "":
		l.Refused++
		l.away = append(l.away, took)
	case res.StatusCode != http.StatusOK, streamed && !bytes.HasSuffix(body, []byte("data: [DONE]\n\n")):
		l.Strange++
		l.tell("%s was answered %s, Retry-After %q: …%s", r.URL.Path, res.Status, res.Header.Get("Retry-After"), body[max(0, len(body)-300):])
	case streamed:
		l.Streams++
		l.first = append(l.first, began)
		fallthrough
	default:
		l.Answered++
		l.took = append(l.took, took)
	}
	return res, nil
}

// tell keeps what went wrong. mu is held.
func (l *ledger) tell(format string, args ...any) {
	if len(l.told) < mostTold {
		l.told = append(l.told, fmt.Sprintf(format, args...))
	}
}

// tally is what a ledger came to.
type tally struct {
	Seconds  float64 `json:"seconds"`
	Rate     float64 `json:"rate"` // requests sent in a second
	Answered int     `json:"answered"`
	Streams  int     `json:"streams"` // of those answered
	Refused  int     `json:"refused"`
	Nobody   int     `json:"nobody_listened"`
	Dropped  int     `json:"dropped"`
	Strange  int     `json:"strange"`
	Latency  latency `json:"latency"`       // of those answered
	First    latency `json:"stream_begins"` // after
	Refusal  latency `json:"refusal"`       // after
}

func (l *ledger) tally(took time.Duration) tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	sent := l.Answered + l.Refused + l.Nobody + l.Dropped + l.Strange
	return tally{Seconds: took.Seconds(), Rate: float64(sent) / took.Seconds(), Answered: l.Answered, Streams: l.Streams, Refused: l.Refused, Nobody: l.Nobody,
		Dropped: l.Dropped, Strange: l.Strange, Latency: summary(l.took), First: summary(l.first), Refusal: summary(l.away)}
}

func (t tally) String() string {
	return fmt.Sprintf("%.0f requests/s for %.0f s: %d answered (%d of them streams), %d refused, %d found nobody listening, %d dropped, %d answered otherwise",
		t.Rate, t.Seconds, t.Answered, t.Streams, t.Refused, t.Nobody, t.Dropped, t.Strange)
}
