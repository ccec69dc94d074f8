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
)

// rage lets the clients ask while the churners and the spoiler do their work.
func (s *storm) rage(ctx context.Context, o swapsOptions, all []*churner, spoils *spoiler, draw func(uint64) *rand.Rand) {
	begin := time.Now()
	over := make(chan struct{}) // what is being changed then is changed to its end
	var changes, requests sync.WaitGroup
	for _, c := range all {
		changes.Go(func() { c.run(ctx, over) })
	}
	changes.Go(func() { spoils.run(ctx, over) })
	changes.Go(func() { s.show(over, o.requests) })
	for i := range o.clients {
		r := draw(uint64(100 + i))
		requests.Go(func() {
			for ctx.Err() == nil && s.asked.Add(1) <= int64(o.requests) {
				s.ask(ctx, r)
			}
		})
	}
	requests.Wait()
	s.report.Seconds = time.Since(begin).Seconds()
	close(over)
	changes.Wait()
}

// turns are how many requests are sent for each change of a churner, and for each bad
// adapter: the pace does not depend on the machine.
const (
	churnTurns = 20
	spoilTurns = 50
)

// turn waits until so many requests were sent since the last turn, which it gives. It
// is false when it is over.
func (s *storm) turn(ctx context.Context, over <-chan struct{}, last *int64, turns int64) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for s.asked.Load() < *last+turns {
		select {
		case <-ctx.Done():
			return false
		case <-over:
			return false
		case <-tick.C:
		}
	}
	*last += turns
	return true
}

// show tells how far it is.
func (s *storm) show(over <-chan struct{}, total int) {
	for {
		select {
		case <-over:
			return
		case <-time.After(2 * time.Second):
		}
		s.mu.Lock()
		changes := 0
		for _, n := range s.report.Changes {
			changes += n
		}
		s.c.say("%d of %d requests, %d changes, %d wrong, %d failed", min(int(s.asked.Load()), total), total, changes, s.report.Wrong, s.report.Failed)
		s.mu.Unlock()
	}
}

// calm asks for everything that is left, of every replica, and then deletes it: nothing
// may stay on the device.
func (s *storm) calm(ctx context.Context, all []*churner) {
	for _, name := range s.world.names {
		for _, n := range s.world.now(name).live {
			ref := fmt.Sprintf("%s@%d", name, n)
			for i, p := range s.replicas {
				s.asks(ctx, i, p, ref)
			}
		}
	}
	for _, c := range all {
		for _, name := range c.names {
			if now := s.world.now(name); now.current != 0 {
				c.remove(ctx, name, 0, now, 0)
			}
		}
	}
	for i, p := range s.replicas {
		begin := time.Now()
		for {
			slots, free, err := s.slots(ctx, p)
			if err != nil {
				s.failed(ctx, "models of replica %d: %v", i, err)
			}
			if err != nil || slots == free {
				break
			}
			if time.Since(begin) > lag {
				s.wrong("replica %d holds adapters in %d slots after all were deleted", i, slots-free)
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// asks checks the scores of one version for every text.
func (s *storm) asks(ctx context.Context, replica int, p *process, ref string) {
	r, err := call(ctx, s.client, http.MethodPost, p.url+"/predict", map[string]any{"model": baseName, "adapter": ref, "inputs": texts})
	var got prediction
	if err == nil {
		err = json.Unmarshal(r.body, &got)
	}
	if err != nil || got.Adapter == nil || len(got.Results) != len(texts) {
		s.failed(ctx, "at the end replica %d answers for %s: %v %v", replica, ref, r, err)
		return
	}
	if want := s.world.digest[ref]; got.Adapter.Digest != want {
		s.wrong("at the end replica %d answers for %s with %.19s, want %.19s", replica, ref, got.Adapter.Digest, want)
	}
	for i, row := range got.Results {
		if err := s.oracle.check(got.Adapter.Digest, i, row); err != nil {
			s.wrong("at the end replica %d, %s: %v", replica, ref, err)
		}
	}
}

// slots asks how many slots the base has, and how many hold nothing.
func (s *storm) slots(ctx context.Context, p *process) (all, free int, err error) {
	r, err := call(ctx, s.client, http.MethodGet, p.url+"/models", nil)
	var models struct {
		Data []struct {
			Slots int `json:"slots"`
			Free  int `json:"slots_free"`
		} `json:"data"`
	}
	if err == nil {
		err = json.Unmarshal(r.body, &models)
	}
	if err == nil && len(models.Data) != 1 {
		err = refused{r}
	}
	if err != nil {
		return 0, 0, err
	}
	return models.Data[0].Slots, models.Data[0].Free, nil
}
