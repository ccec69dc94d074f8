package main

import (
	"errors"
	"sync"
	"time"
)

// traffic runs clients that send one request after the other for a while. client makes
// what a client does once.
func traffic(clients int, span time.Duration, client func(n int) (send func() error, err error)) (r reply, err error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	var all []float64
	start := time.Now()
	end := start.Add(span)
	for n := range clients {
		send, failed := client(n)
		if failed != nil {
			err = errors.Join(err, failed)
			break
		}
		group.Go(func() {
			var mine []float64
			var failed error
			for failed == nil && time.Now().Before(end) {
				begin := time.Now()
				failed = send()
				mine = append(mine, time.Since(begin).Seconds()*1000)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
			err = errors.Join(err, failed)
		})
	}
	group.Wait()
	r.Seconds = time.Since(start).Seconds()
	r.PerSec = float64(len(all)) / r.Seconds
	r.P50, r.P99 = percentile(all, 0.5), percentile(all, 0.99)
	return r, err
}
