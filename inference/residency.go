package inference

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"lorikeet/adapters"
	"lorikeet/inference/prompt"
)

// Model describes a base, or a variant that is on the device.
type Model struct {
	Name       string        `json:"name"`
	Kind       string        `json:"kind"` // base | variant
	Source     string        `json:"source"`
	Base       string        `json:"base,omitempty"` // of a variant
	Ref        *adapters.Ref `json:"version,omitempty"`
	Family     string        `json:"family"`
	Task       string        `json:"task"`
	Problem    string        `json:"problem_type,omitempty"`
	Labels     []string      `json:"labels,omitempty"` // empty: a bare encoder
	Digest     string        `json:"digest"`
	MaxLength  int           `json:"max_length"`
	Parameters int64         `json:"parameters"`
	Dtype      string        `json:"dtype"`
	Targets    []string      `json:"target_modules"` // what LoRA targets unless told otherwise
	Templates  []string      `json:"templates"`      // of a base that generates, the one it uses unless told otherwise first
	Slots      int           `json:"slots,omitempty"`
	SlotsFree  int           `json:"slots_free"`
}

// Models lists the bases, then the variants on the device.
func (e *Engine) Models(context.Context) ([]Model, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var all []Model
	for _, s := range e.bases {
		m := s.model()
		m.Slots, m.SlotsFree = e.Slots-1, s.bank.room()
		all = append(all, m)
	}
	for _, s := range e.tuned {
		all = append(all, s.model())
	}
	slices.SortFunc(all, func(a, b Model) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return all, nil
}

// room counts the slots that hold nothing.
func (b *bank) room() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.free)
}

func (s *served) model() Model {
	f := s.base.Facts()
	m := Model{Name: s.name, Kind: "base", Source: s.base.Source, Family: f.Family, Task: s.base.Task(), Problem: string(f.Problem),
		Labels: f.Labels, Digest: s.base.Digest, MaxLength: f.MaxLength, Parameters: s.base.Parameters(), Dtype: s.base.dtype(), Targets: f.Targets}
	if s.base.Generates() {
		m.Templates = s.templates()
	}
	if s.version != nil {
		m.Name, m.Kind, m.Base, m.Ref = s.version.Name, "variant", s.version.Base, &s.version.Ref
	}
	return m
}

// templates are those that a base that generates knows, first the one it uses unless
// told otherwise.
func (s *served) templates() []string {
	names := []string{""}
	if s.version != nil {
		names[0] = s.version.Template
	}
	var known []string
	for _, name := range append(names, prompt.Names...) {
		t, err := prompt.Named(name, s.base.Chat)
		if err == nil && !slices.Contains(known, t.Name()) {
			known = append(known, t.Name())
		}
	}
	return known
}

// base gives a loaded base, or nil.
func (e *Engine) base(name string) *served {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.bases[name]
}

// Base gives a loaded base by name.
func (e *Engine) Base(name string) (*Base, bool) {
	if s := e.base(name); s != nil {
		return s.base, true
	}
	return nil, false
}

// names lists the loaded bases, for messages.
func (e *Engine) names() string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var names []string
	for n := range e.bases {
		names = append(names, n)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// Residency tells where a version is: "device", "host" or "disk", and whether it is
// pinned there; used counts the batches it took part in since it came.
type Residency struct {
	Tier   string  `json:"tier"`
	Pinned bool    `json:"pinned"`
	Slots  []int32 `json:"slots,omitempty"`
	Hits   int64   `json:"hits"`
}

// Residency looks up where a version is. It does not wait for the device.
func (e *Engine) Residency(_ context.Context, v adapters.Version) (Residency, error) {
	if v.Kind == adapters.KindVariant {
		e.mu.RLock()
		defer e.mu.RUnlock()
		if s := e.tuned[v.Digest]; s != nil {
			return Residency{Tier: "device", Pinned: s.pinned}, nil
		}
		return Residency{Tier: "disk"}, nil
	}
	if s := e.base(v.Base); s != nil {
		s.bank.mu.Lock()
		defer s.bank.mu.Unlock()
		if l := s.bank.loaded[v.Digest]; l != nil {
			return Residency{Tier: "device", Pinned: l.pinned, Slots: slices.Clone(l.slots), Hits: l.hits}, nil
		}
	}
	if e.host.has(hostKey(v)) {
		return Residency{Tier: "host"}, nil
	}
	return Residency{Tier: "disk"}, nil
}

// Place puts a version on the device before anybody asks for it, pinned there or not.
func (e *Engine) Place(ctx context.Context, v adapters.Version, pin bool) error {
	if v.Kind == adapters.KindVariant {
		s, release, err := e.variant(ctx, v)
		if err != nil {
			return err
		}
		defer release()
		e.mu.Lock()
		defer e.mu.Unlock()
		s.pinned = s.pinned || pin
		return nil
	}
	s, a, err := e.find(ctx, v)
	if err != nil {
		return err
	}
	var failed error
	if err := e.do(ctx, func() {
		n, err := s.bank.fit([]*Prepared{a})
		switch {
		case err != nil:
			failed = err
		case n == 0:
			failed = fmt.Errorf("%w: adapter %s needs %d", ErrFull, v.Ref, a.Pages)
		default:
			s.bank.mu.Lock()
			defer s.bank.mu.Unlock()
			l := s.bank.loaded[v.Digest]
			l.pinned = l.pinned || pin
		}
	}); err != nil {
		return err
	}
	return failed
}

// Unpin lets a version be evicted again.
func (e *Engine) Unpin(ctx context.Context, v adapters.Version) error {
	return e.resident(ctx, v, func(s *served, l *resident) {
		if l != nil {
			l.pinned = false
		} else {
			s.pinned = false
		}
	})
}

// Unload takes a version off the device and out of memory; the files stay, and the
// next request brings it back.
func (e *Engine) Unload(ctx context.Context, v adapters.Version) error {
	err := e.resident(ctx, v, func(s *served, l *resident) {
		if l != nil {
			s.bank.evict(l)
		} else {
			e.dismiss(s)
		}
	})
	e.host.drop(hostKey(v))
	return err
}

// Prune takes off the device and out of memory what is not registered any more, pinned
// or not: nobody can name it to unpin it. What requests in flight use they keep.
func (e *Engine) Prune(ctx context.Context) error {
	live := e.Registry.Digests()
	e.host.retain(live)
	e.mu.Lock()
	for digest, s := range e.tuned {
		if !live[digest] {
			e.dismiss(s)
		}
	}
	bases := slices.Collect(maps.Values(e.bases))
	e.mu.Unlock()
	for _, s := range bases {
		if len(s.bank.beside(live)) == 0 { // do not wait for the device for nothing
			continue
		}
		if err := e.do(ctx, func() {
			for _, l := range s.bank.beside(live) {
				s.bank.mu.Lock()
				s.bank.evict(l)
				s.bank.mu.Unlock()
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// dismiss drops a variant, or has it go when the requests that hold it are done. mu is
// held.
func (e *Engine) dismiss(s *served) {
	if s.refs == 0 {
		e.drop(s)
	} else {
		s.pinned, s.unload = false, true
	}
}

// resident calls f with what holds the version, if anything does.
func (e *Engine) resident(ctx context.Context, v adapters.Version, f func(*served, *resident)) error {
	if v.Kind == adapters.KindVariant {
		e.mu.Lock()
		defer e.mu.Unlock()
		if s := e.tuned[v.Digest]; s != nil {
			f(s, nil)
		}
		return nil
	}
	s := e.base(v.Base)
	if s == nil {
		return nil
	}
	return e.do(ctx, func() {
		s.bank.mu.Lock()
		defer s.bank.mu.Unlock()
		if l := s.bank.loaded[v.Digest]; l != nil {
			f(s, l)
		}
	})
}

// baseOf gives the base that a version was made for.
func (e *Engine) baseOf(v adapters.Version) (*served, error) {
	if s := e.base(v.Base); s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%w: %s was made for base %q, which is not loaded; bases: %s", ErrWrongBase, v.Ref, v.Base, e.names())
}

func (e *Engine) find(ctx context.Context, v adapters.Version) (*served, *Prepared, error) {
	s, err := e.baseOf(v)
	if err != nil {
		return nil, nil, err
	}
	a, err := e.prepared(ctx, s, v)
	return s, a, err
}

// Stats are counts since the engine was made.
type Stats struct {
	Batches, Rows, Tokens, PaddedTokens int64 // of what is scored
	Steps, StepRows, StepPadded         int64 // of what is written: steps, their texts, and their rows
	Prompts, Written                    int64 // tokens read and written
	Waiting                             int
}

// Stats gives the counts.
func (e *Engine) Stats() Stats {
	return Stats{Batches: e.stats.batches.Load(), Rows: e.stats.rows.Load(), Tokens: e.stats.tokens.Load(),
		PaddedTokens: e.stats.padded.Load(), Steps: e.stats.steps.Load(), StepRows: e.stats.stepRows.Load(), StepPadded: e.stats.stepPadded.Load(),
		Prompts: e.stats.prompts.Load(), Written: e.stats.written.Load(), Waiting: e.queue.waiting() + e.pen.waiting()}
}
