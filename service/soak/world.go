//go:build unix

package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// lag is how long a replica may go on answering as before a change.
const lag = time.Second

// world is what the names mean, and have meant. Each name is changed by one churner
// alone.
type world struct {
	mu      sync.Mutex
	names   []string
	history map[string][]state
	digest  map[string]string // by name@version
}

// state is what a name meant for a while.
type state struct {
	from    time.Time // the change that led here was sent
	until   time.Time // the change that ended it was answered; zero: it holds
	live    []int     // versions, ascending
	current int       // 0: the name is free
}

func newWorld(names []string) *world {
	w := &world{names: names, history: map[string][]state{}, digest: map[string]string{}}
	for _, n := range names {
		w.history[n] = []state{{}}
	}
	return w
}

// now is what a name means.
func (w *world) now(name string) state {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.history[name]
	return h[len(h)-1]
}

// change notes that a change was sent at begin and is answered now: the name meant
// these things one after the other, the last of which holds.
func (w *world) change(name string, begin time.Time, states ...state) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, end := w.history[name], time.Now()
	h[len(h)-1].until = end
	for i, s := range states {
		s.from, s.until = begin, end
		if i == len(states)-1 {
			s.until = time.Time{}
		}
		h = append(h, s)
	}
	w.history[name] = h
}

func (w *world) registered(name string, v version) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.digest[fmt.Sprintf("%s@%d", name, v.Version)] = v.Digest
}

// possible lists what a name may have meant to a request sent and answered at these
// times.
func (w *world) possible(name string, sent, done time.Time) []state {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []state
	for _, s := range w.history[name] {
		if !s.from.After(done) && (s.until.IsZero() || !s.until.Add(lag).Before(sent)) {
			all = append(all, s)
		}
	}
	return all
}

// legal says what is wrong with a reference having been answered by a version, 0: as
// not found.
func (w *world) legal(ref string, version int, sent, done time.Time) error {
	name, number, numbered := strings.Cut(ref, "@")
	n, _ := strconv.Atoi(number) // we made it
	states := w.possible(name, sent, done)
	for _, s := range states {
		switch {
		case !numbered && s.current == version,
			numbered && version == 0 && !slices.Contains(s.live, n),
			numbered && version == n && slices.Contains(s.live, n):
			return nil
		}
	}
	meant := make([]string, len(states))
	for i, s := range states {
		meant[i] = fmt.Sprintf("%d of %v", s.current, s.live)
	}
	answered := "as not found"
	if version != 0 {
		answered = fmt.Sprintf("by version %d", version)
	}
	return fmt.Errorf("%s was answered %s; it meant %s", ref, answered, strings.Join(meant, ", then "))
}

// pick names an adapter as a client would: mostly what is there, now and then what is
// not, or not any more.
func (w *world) pick(r *rand.Rand) string {
	name := w.names[r.IntN(len(w.names))]
	s := w.now(name)
	switch x := r.IntN(100); {
	case x < 2:
		return fmt.Sprintf("%s@%d", name, 1+r.IntN(20))
	case s.current == 0 && x < 90: // not too many are gone
		return w.pick(r)
	case x < 60 || len(s.live) == 0:
		return name
	}
	return fmt.Sprintf("%s@%d", name, s.live[r.IntN(len(s.live))])
}
