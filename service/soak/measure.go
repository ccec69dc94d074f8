//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// latency sums times up, in milliseconds.
type latency struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

func (l latency) String() string {
	if l.Count == 0 {
		return "none"
	}
	return fmt.Sprintf("p50 %.3g ms, p99 %.3g ms, max %.3g ms of %d", l.P50, l.P99, l.Max, l.Count)
}

// summary sorts the times.
func summary(took []time.Duration) latency {
	n := len(took)
	if n == 0 {
		return latency{}
	}
	slices.Sort(took)
	at := func(q float64) float64 { // the nearest rank
		return milliseconds(took[max(0, int(math.Ceil(q*float64(n)))-1)])
	}
	return latency{Count: n, P50: at(0.5), P99: at(0.99), Max: at(1)}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// usage is what a service says of itself in /metrics.
type usage struct {
	Resident   float64 `json:"resident_bytes"`
	Heap       float64 `json:"heap_bytes"` // of Go, in use
	Goroutines float64 `json:"goroutines"`
	Loads      float64 `json:"adapter_loads"`
	Evictions  float64 `json:"adapter_evictions"`
	Waiting    float64 `json:"waiting"`
	Graphs     float64 `json:"graphs"` // compiled
}

var scrapes = newClient(4)

// usage reads /metrics.
func (p *process) usage(ctx context.Context) (usage, error) {
	r, err := call(ctx, scrapes, http.MethodGet, p.url+"/metrics", nil)
	if err != nil {
		return usage{}, err
	}
	var u usage
	fields := map[string]*float64{"process_resident_memory_bytes": &u.Resident, "go_memstats_heap_inuse_bytes": &u.Heap, "go_goroutines": &u.Goroutines,
		`lorikeet_adapter_load_duration_seconds_count{source="host"}`: &u.Loads, `lorikeet_adapter_evictions_total{tier="device"}`: &u.Evictions, "lorikeet_inference_waiting": &u.Waiting, "lorikeet_graphs": &u.Graphs}
	for lines := bufio.NewScanner(bytes.NewReader(r.body)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if field := fields[name]; field != nil {
			if *field, err = strconv.ParseFloat(value, 64); err != nil {
				return u, fmt.Errorf("metrics: %s: %w", name, err)
			}
			delete(fields, name)
		}
	}
	if len(fields) > 0 {
		return u, fmt.Errorf("metrics: %d of them are missing: %v", len(fields), r)
	}
	return u, nil
}
