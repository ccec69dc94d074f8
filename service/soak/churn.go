//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

// churner changes names, each of its own, through one replica or the other, and waits
// each time until all agree.
type churner struct {
	*storm
	r      *rand.Rand
	names  []string
	pinned []pin
}

type pin struct {
	at      int // replica
	version string
	name    string
}

// mostLive is how many versions of a name are kept.
const mostLive = 6

// run changes names until it is over.
func (c *churner) run(ctx context.Context, over <-chan struct{}) {
	var last int64
	for c.turn(ctx, over, &last, churnTurns) {
		name, at := c.names[c.r.IntN(len(c.names))], c.r.IntN(len(c.replicas))
		c.step(ctx, name, at, c.r.IntN(100))
	}
}

func (c *churner) step(ctx context.Context, name string, at, dice int) {
	s := c.world.now(name)
	switch {
	case s.current == 0, dice < 25 && len(s.live) < mostLive:
		c.register(ctx, name, at)
	case dice < 30 && len(s.live) < mostLive:
		c.registerTwice(ctx, name, at)
	case dice < 50:
		c.rollback(ctx, name, at, s)
	case dice < 65 || len(s.live) >= mostLive:
		c.remove(ctx, name, at, s, s.live[c.r.IntN(len(s.live))])
	case dice < 70:
		c.remove(ctx, name, at, s, 0)
	default:
		c.move(ctx, name, at, s)
	}
}

// adapter picks one of the pool.
func (c *churner) adapter() files { return c.oracle.pool[c.r.IntN(len(c.oracle.pool))] }

func (c *churner) register(ctx context.Context, name string, at int) {
	begin, s := time.Now(), c.world.now(name)
	v, err := register(ctx, c.client, c.replicas[at], name, c.adapter())
	if err != nil {
		c.failed(ctx, "register %s: %v", name, err)
		return
	}
	c.world.registered(name, v)
	c.settle(ctx, "register", name, at, begin, state{live: append(slices.Clone(s.live), v.Version), current: v.Version})
}

// registerTwice registers two versions of a name at once, through different replicas.
func (c *churner) registerTwice(ctx context.Context, name string, at int) {
	begin, s := time.Now(), c.world.now(name)
	type outcome struct {
		v   version
		err error
	}
	other := make(chan outcome, 1)
	first, second := c.adapter(), c.adapter()
	go func() {
		v, err := register(ctx, c.client, c.replicas[(at+1)%len(c.replicas)], name, second)
		other <- outcome{v, err}
	}()
	a, err := register(ctx, c.client, c.replicas[at], name, first)
	b := <-other
	if err != nil || b.err != nil {
		c.failed(ctx, "register %s twice at once: %v, %v", name, err, b.err)
		c.lost(ctx, name)
		return
	}
	if a.Version == b.v.Version {
		c.wrong("%s: two registrations at once are both version %d", name, a.Version)
		return
	}
	c.world.registered(name, a)
	c.world.registered(name, b.v)
	n := []int{min(a.Version, b.v.Version), max(a.Version, b.v.Version)}
	c.settle(ctx, "register twice", name, at, begin,
		state{live: append(slices.Clone(s.live), n[0]), current: n[0]},
		state{live: append(slices.Clone(s.live), n[1]), current: n[1]}, // the higher number may be known first
		state{live: append(slices.Clone(s.live), n...), current: n[1]})
}

func (c *churner) rollback(ctx context.Context, name string, at int, s state) {
	to, begin := s.live[c.r.IntN(len(s.live))], time.Now()
	r, err := call(ctx, c.client, http.MethodPost, c.replicas[at].url+"/adapters/"+name+"/rollback", map[string]int{"version": to})
	if err != nil || r.status != http.StatusOK {
		c.failed(ctx, "roll %s back to %d: %v %v", name, to, r, err)
		return
	}
	c.settle(ctx, "rollback", name, at, begin, state{live: s.live, current: to})
}

// remove deletes a version, or the whole name with 0.
func (c *churner) remove(ctx context.Context, name string, at int, s state, n int) {
	path, left := "/adapters/"+name, []int(nil)
	if n != 0 {
		path += fmt.Sprintf("/versions/%d", n)
		left = slices.DeleteFunc(slices.Clone(s.live), func(v int) bool { return v == n })
	}
	begin := time.Now()
	r, err := call(ctx, c.client, http.MethodDelete, c.replicas[at].url+path, nil)
	if err != nil || r.status != http.StatusNoContent {
		c.failed(ctx, "delete %s: %v %v", path, r, err)
		return
	}
	c.pinned = slices.DeleteFunc(c.pinned, func(p pin) bool { // what is gone is pinned no more
		return p.name == name && !slices.Contains(left, p.number())
	})
	// What is left is current by the rules of roll backs; the service says which.
	current := 0
	if len(left) > 0 {
		v, err := c.series(ctx, at, name)
		if err != nil {
			c.failed(ctx, "after the deletion of %s: %v", path, err)
			return
		}
		current = v.Version
	}
	if n != s.current && n != 0 && current != s.current {
		c.wrong("the deletion of %s made version %d current; it was %d", path, current, s.current)
	}
	what := "delete a version"
	if n == 0 {
		what = "delete a name"
	}
	// Versions of a name go one after the other.
	states := []state{{live: left, current: current}}
	if n == 0 {
		for i := range s.live {
			states = slices.Insert(states, 0, state{live: s.live[len(s.live)-1-i:], current: s.current})
		}
	}
	c.settle(ctx, what, name, at, begin, states...)
}

func (p pin) number() (n int) {
	_, _ = fmt.Sscanf(p.version, "/adapters/"+p.name+"/versions/%d", &n) // we made it
	return n
}

// move loads, unloads, pins or unpins a version. One version is pinned at a time.
func (c *churner) move(ctx context.Context, name string, at int, s state) {
	path := fmt.Sprintf("/adapters/%s/versions/%d", name, s.live[c.r.IntN(len(s.live))])
	what := []string{"load", "unload", "pin"}[c.r.IntN(3)]
	if what == "pin" && len(c.pinned) > 0 {
		p := c.pinned[0]
		what, path, at, c.pinned = "unpin", p.version, p.at, nil
	} else if what == "pin" {
		c.pinned = append(c.pinned, pin{at, path, name})
	}
	r, err := call(ctx, c.client, http.MethodPost, c.replicas[at].url+path+"/"+what, nil)
	if err != nil || r.status != http.StatusOK {
		c.failed(ctx, "%s %s: %v %v", what, path, r, err)
		return
	}
	c.count(what)
}

// series asks a replica for a name; no version at all is a zero version.
func (s *storm) series(ctx context.Context, at int, name string) (version, error) {
	var v version
	r, err := call(ctx, s.client, http.MethodGet, s.replicas[at].url+"/adapters/"+name, nil)
	switch {
	case err != nil:
		return v, err
	case r.status == http.StatusNotFound && r.problem().Code == "adapter_not_found":
		return v, nil
	case r.status != http.StatusOK:
		return v, refused{r}
	}
	return v, json.Unmarshal(r.body, &v)
}

// settle notes a change that was made through a replica, and waits until every replica
// agrees. The one that made it must do so at once.
func (c *churner) settle(ctx context.Context, what, name string, at int, begin time.Time, states ...state) {
	c.world.change(name, begin, states...)
	c.count(what)
	want, answered := states[len(states)-1], time.Now()
	for i := range c.replicas {
		for {
			v, err := c.series(ctx, i, name)
			took := time.Since(answered)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				c.failed(ctx, "after %s of %s replica %d: %v", what, name, i, err)
				return
			case v.Version == want.current && slices.Equal(v.Versions, want.live):
				if i != at {
					c.agreed(took)
				}
			case i == at && len(states) == 1:
				c.wrong("after %s of %s the replica that did it says %d of %v, want %d of %v", what, name, v.Version, v.Versions, want.current, want.live)
				return
			case took > 10*lag:
				c.wrong("%v after %s of %s replica %d says %d of %v, want %d of %v", took, what, name, i, v.Version, v.Versions, want.current, want.live)
				return
			default:
				time.Sleep(2 * time.Millisecond)
				continue
			}
			break
		}
	}
}

// lost finds out what a name means after a change of which that is not known.
func (c *churner) lost(ctx context.Context, name string) {
	if v, err := c.series(ctx, 0, name); err == nil {
		c.world.change(name, time.Now(), state{live: v.Versions, current: v.Version})
	}
}
