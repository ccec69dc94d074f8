//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// patience is how long a request waits for its answer before it counts as dropped.
const patience = 90 * time.Second

// mix draws requests: mostly scores of one to eight texts, with one adapter or
// several, and a share of texts that are written and streamed.
func mix(p *process, r *rand.Rand, adapters []string, streams float64) vegeta.Targeter {
	var mu sync.Mutex
	header := http.Header{"Content-Type": {"application/json"}}
	return func(t *vegeta.Target) error {
		mu.Lock()
		defer mu.Unlock()
		path, body := "/predict", map[string]any{"model": "bert"}
		if r.Float64() < streams {
			path = "/generate"
			body = map[string]any{"model": "t5", "instruction": "Rate this review.", "input": texts[r.IntN(2)], "stream": true,
				"parameters": map[string]any{"max_new_tokens": 16}}
		} else {
			inputs, with := make([]any, 1+r.IntN(8)), make([]any, 0, 8)
			for i := range inputs {
				inputs[i] = texts[r.IntN(len(texts))]
				with = append(with, adapters[r.IntN(len(adapters))])
			}
			body["inputs"] = inputs
			if r.IntN(2) == 0 {
				body["adapters"] = with
			} else {
				body["adapter"] = with[0]
			}
		}
		payload, err := json.Marshal(body)
		if err != nil {
			return err
		}
		*t = vegeta.Target{Method: http.MethodPost, URL: p.url + path, Body: payload, Header: header}
		return nil
	}
}

// attack sends requests for so long, and waits for their answers: at a rate whatever
// becomes of them (open loop), or with rate 0 as many clients as there are, each when
// its last one is answered (closed loop). ctx ends it.
func attack(ctx context.Context, t vegeta.Targeter, l *ledger, rate, clients int, duration time.Duration) tally {
	options := []func(*vegeta.Attacker){vegeta.Client(&http.Client{Transport: l, Timeout: patience}), vegeta.Workers(uint64(clients))}
	if rate == 0 {
		options = append(options, vegeta.MaxWorkers(uint64(clients)))
	}
	a := vegeta.NewAttacker(options...)
	stop := context.AfterFunc(ctx, func() { a.Stop() })
	defer stop()
	defer l.CloseIdleConnections()
	begin := time.Now()
	for range a.Attack(t, vegeta.Rate{Freq: rate, Per: time.Second}, duration, "soak") {
	} // the ledger has seen it
	if took := time.Since(begin); rate == 0 || took < duration {
		return l.tally(took)
	}
	return l.tally(duration)
}

// sample is a look at the service.
type sample struct {
	at time.Duration
	usage
}

// watch looks at the service twice a second until ctx ends.
func watch(ctx context.Context, p *process) []sample {
	begin := time.Now()
	var all []sample
	for ctx.Err() == nil {
		if u, err := p.usage(ctx); err == nil {
			all = append(all, sample{time.Since(begin), u})
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	return all
}

// memory is how the memory of the service went while it was under load.
type memory struct {
	Begin   float64 `json:"begin_mib"` // before the load
	Warm    float64 `json:"warm_mib"`  // mean of the second quarter of the load
	End     float64 `json:"end_mib"`   // mean of the last quarter
	Max     float64 `json:"max_mib"`
	Slope   float64 `json:"slope_mib_per_minute"` // of the line through all after the first quarter
	HeapMax float64 `json:"go_heap_max_mib"`
	Graphs  [3]int  `json:"graphs"` // compiled, at the same times
	Samples int     `json:"samples"`
}

const mib = 1 << 20

// growth reads it from the samples. The first quarter is left out: buffers, graphs and
// pools are made then.
func growth(begin usage, all []sample) memory {
	m := memory{Begin: begin.Resident / mib, Samples: len(all), Graphs: [3]int{int(begin.Graphs)}}
	for _, s := range all {
		m.Max, m.HeapMax = max(m.Max, s.Resident/mib), max(m.HeapMax, s.Heap/mib)
	}
	if len(all) < 8 {
		return m
	}
	quarter := len(all) / 4
	m.Graphs[1], m.Graphs[2] = int(all[quarter].Graphs), int(all[len(all)-1].Graphs)
	m.Warm, m.End = meanResident(all[quarter:2*quarter]), meanResident(all[3*quarter:])
	m.Slope = slope(all[quarter:])
	return m
}

func meanResident(all []sample) float64 {
	sum := 0.0
	for _, s := range all {
		sum += s.Resident / mib
	}
	return sum / float64(len(all))
}

// slope is that of the least squares line, in MiB a minute.
func slope(all []sample) float64 {
	var x, y, xx, xy float64
	n := float64(len(all))
	for _, s := range all {
		t, r := s.at.Minutes(), s.Resident/mib
		x, y, xx, xy = x+t, y+r, xx+t*t, xy+t*r
	}
	if d := n*xx - x*x; d > 0 {
		return (n*xy - x*y) / d
	}
	return 0
}

func (m memory) String() string {
	return fmt.Sprintf("%.0f MiB when the load began, %.0f MiB in its second quarter, %.0f MiB in the last; at most %.0f MiB (Go heap %.0f MiB); %+.1f MiB a minute; %d, %d and %d graphs compiled",
		m.Begin, m.Warm, m.End, m.Max, m.HeapMax, m.Slope, m.Graphs[0], m.Graphs[1], m.Graphs[2])
}
