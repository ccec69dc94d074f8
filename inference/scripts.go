package inference

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"golang.org/x/sync/errgroup"

	"lorikeet/adapters"
	"lorikeet/inference/nn"
)

// scripts are the compiled graphs of a model that writes, for rooms and profiles of
// adapters. Models that differ in their weights alone share them.
type scripts struct {
	backend  compute.Backend
	family   family
	layout   adapters.Layout
	matrices dtypes.DType // how they are held
	slots    int          // of the bank; 0: no adapters
	pages    int          // of the widest profile
	want     chan<- func()
	inGraph  bool // the cache of a text is written by graphs: host and device share no memory

	mu     sync.Mutex
	steps  []*script
	reads  []*script
	others map[string]*nn.Program // insert and move: cheap to compile, and exact
	wanted map[string]bool
	failed map[string]bool // of those that were wanted
}

func newScripts(e *Engine, f family, b *Base, slots int) *scripts {
	return &scripts{backend: e.Backend, family: f, layout: b.Layout, matrices: b.Matrices, slots: slots, pages: e.pages(), want: e.want, inGraph: !e.Backend.HasSharedBuffers(), others: map[string]*nn.Program{}, wanted: map[string]bool{}, failed: map[string]bool{}}
}

// script is a step for a room, or a read of rows prompts of length tokens.
type script struct {
	room
	profile *nn.Profile // nil: bare
	program *nn.Program
}

// wide is the profile that covers every adapter but those that bring an output layer
// of their own, whose stack of slots would be a copy of the vocabulary for each.
func (g *scripts) wide() *nn.Profile {
	if g.slots == 0 {
		return nil
	}
	return &nn.Profile{Pages: g.pages, Extras: true}
}

// cover compiles what the first requests need. The rest follows as the batch grows.
func (g *scripts) cover(ctx context.Context, limit int, report func(done, total int)) error {
	first := g.firstRoom(limit)
	var todo []func() error
	for _, p := range g.profiles() {
		todo = append(todo, func() error { _, err := g.compileStep(first, p); return err },
			func() error { _, err := g.compileRead(1, readable(1, limit), p); return err })
	}
	n := readable(1, limit)
	if g.inGraph {
		todo = append(todo, func() error {
			_, err := g.other(insertName(1, n, first), insert(g.family, 1, n, first))
			return err
		})
	}
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(max(1, runtime.GOMAXPROCS(0)))
	var mu sync.Mutex
	done := 0
	report(0, len(todo))
	for _, job := range todo {
		workers.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := job(); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			done++
			report(done, len(todo))
			return nil
		})
	}
	return workers.Wait()
}

// insertName names the insert of a read into a room.
func insertName(n, length int, r room) string { return fmt.Sprintf("insert_%dx%d_%s", n, length, r) }

// profiles are what is compiled at start: bare, and wide unless its slots for every
// module of the model would take too much memory. Then each set of modules that
// adapters target gets graphs, and slots, when it is first asked for.
func (g *scripts) profiles() []*nn.Profile {
	if w := g.wide(); w != nil && g.bankBytes() <= maxWideBank {
		return []*nn.Profile{nil, w}
	}
	return []*nn.Profile{nil}
}

const maxWideBank = 256 << 20

// bankBytes is what factors for every module take in the bank.
func (g *scripts) bankBytes() int64 {
	var n int64
	for _, m := range g.layout {
		if m.Kind == adapters.Linear {
			n += 4 * int64(g.slots) * nn.PageRank * int64(m.In+m.Out)
		}
	}
	return n
}

func (g *scripts) firstRoom(limit int) room {
	r := room{rows: 1, length: upTo(1, limit)}
	if _, reads := g.family.starts(); reads {
		r.source = r.length
	}
	return r
}

// bank declares what a graph needs of the adapters.
func (g *scripts) bank(p *nn.Pass, rows, length int, profile *nn.Profile) {
	p.Untied, p.Matrices = true, g.matrices
	if profile != nil {
		p.Bank = NewBank(p, rows, length, g.slots, *profile)
	}
}

func (g *scripts) compileStep(r room, profile *nn.Profile) (*script, error) {
	program, err := nn.Compile(g.backend, "step_"+r.String(), func(p *nn.Pass) []*graph.Node {
		g.bank(p, r.rows, 1, profile)
		return stepGraph(g.family, p, r, g.inGraph)
	})
	if err != nil {
		return nil, err
	}
	s := &script{r, profile, program}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.steps = append(g.steps, s)
	return s, nil
}

func (g *scripts) compileRead(n, length int, profile *nn.Profile) (*script, error) {
	program, err := nn.Compile(g.backend, fmt.Sprintf("read_%dx%d", n, length), func(p *nn.Pass) []*graph.Node {
		g.bank(p, n, length, profile)
		return g.family.read(p, n, length)
	})
	if err != nil {
		return nil, err
	}
	s := &script{room{rows: n, length: length}, profile, program}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reads = append(g.reads, s)
	return s, nil
}

// other gives an insert or a move, compiled when it is first asked for: they are copies
// and nothing else.
func (g *scripts) other(name string, build func(*nn.Pass) []*graph.Node) (*nn.Program, error) {
	g.mu.Lock()
	program := g.others[name]
	g.mu.Unlock()
	if program != nil {
		return program, nil
	}
	program, err := nn.Compile(g.backend, name, build)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.others[name] = program
	return program, nil
}

// find gives the cheapest ready script that fits and covers the profile.
func (g *scripts) find(all *[]*script, fits func(room) bool, profile *nn.Profile) *script {
	g.mu.Lock()
	defer g.mu.Unlock()
	var best *script
	for _, s := range *all {
		if fits(s.room) && covers(s.profile, profile) && (best == nil || s.cost() < best.cost()) {
			best = s
		}
	}
	return best
}

func (s *script) cost() int {
	c := compiled{profile: s.profile, bucket: bucket{1, 1}}
	return s.size() * c.cost()
}

// step gives the script for a room: one that is ready, else it is compiled now.
func (g *scripts) step(r room, profile *nn.Profile) (*script, error) {
	best := g.find(&g.steps, func(have room) bool { return have == r }, profile)
	if best == nil {
		return g.compileStep(r, profile)
	}
	if key(best.profile) != key(profile) {
		g.ask(fmt.Sprint("step", r, key(profile)), func() error { _, err := g.compileStep(r, profile); return err })
	}
	return best, nil
}

// read gives a script for n prompts of up to length tokens.
func (g *scripts) read(n, length int, profile *nn.Profile) (*script, error) {
	best := g.find(&g.reads, func(have room) bool { return have.rows >= n && have.length >= length }, profile)
	if best == nil {
		return g.compileRead(n, length, profile)
	}
	if best.rows != n || best.length != length || key(best.profile) != key(profile) {
		g.ask(fmt.Sprint("read", n, length, key(profile)), func() error { _, err := g.compileRead(n, length, profile); return err })
	}
	return best, nil
}

// prepare asks for a step before it is needed, and reports whether it will come.
func (g *scripts) prepare(r room, profile *nn.Profile) bool {
	if g.find(&g.steps, func(have room) bool { return have == r }, profile) != nil {
		return true
	}
	return g.ask(fmt.Sprint("step", r, key(profile)), func() error { _, err := g.compileStep(r, profile); return err })
}

// ready gives the cheapest room of which a step is compiled.
func (g *scripts) ready(need room, profile *nn.Profile) (room, bool) {
	best := g.find(&g.steps, func(have room) bool { return have.holds(need) }, profile)
	if best == nil {
		return room{}, false
	}
	return best.room, true
}

// ask queues a compilation, and reports whether it is coming.
func (g *scripts) ask(name string, compile func() error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wanted[name] || len(g.wanted) >= maxTight {
		return g.wanted[name] && !g.failed[name]
	}
	select {
	case g.want <- func() {
		if err := compile(); err != nil { // whoever cannot do without it compiles again, and tells
			g.mu.Lock()
			defer g.mu.Unlock()
			g.failed[name] = true
		}
	}:
		g.wanted[name] = true
		return true
	default:
		return false
	}
}

// bytes is what the cache of a room takes.
func (g *scripts) bytes(r room) int64 {
	var n int64
	for _, s := range g.family.cache(r) {
		n += int64(s.Size()) * int64(dtypes.Float32.Size())
	}
	return n
}
