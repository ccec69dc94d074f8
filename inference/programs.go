package inference

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"golang.org/x/sync/errgroup"

	"lorikeet/inference/arch"
	"lorikeet/inference/nn"
)

// bucket is a shape that graphs are compiled for. A batch is padded up to one.
type bucket struct{ batch, length int }

// grid is the buckets of a model: lengths double up to its longest text, batches up to
// the token budget, so that less than half of a graph is padding of either kind.
func grid(maxLength, maxTokens int) []bucket {
	var all []bucket
	for length := 16; ; length *= 2 {
		length = min(length, maxLength)
		most := max(1, min(64, maxTokens/length))
		for batch := 1; batch < most; batch *= 2 {
			all = append(all, bucket{batch, length})
		}
		all = append(all, bucket{most, length})
		if length == maxLength {
			return all
		}
	}
}

// programs are the compiled graphs of one model, for shapes and adapter profiles.
// A few wide ones, compiled before the model serves, answer everything; tighter ones
// follow in the background as traffic asks for them, so that no request ever waits
// for a compiler.
type programs struct {
	backend  compute.Backend
	arch     arch.Classifier
	matrices dtypes.DType // how they are held
	grid     []bucket
	slots    int
	pages    int // of the widest profile
	want     chan<- func()

	mu     sync.Mutex
	ready  []*compiled
	wanted map[string]bool
}

// compiled is one program. profile nil means: bare base, no adapters.
type compiled struct {
	bucket
	profile *nn.Profile
	program *nn.Program
}

// wide is the profile that covers every adapter that can be resident.
func (g *programs) wide() nn.Profile {
	return nn.Profile{Pages: g.pages, Extras: true, Heads: true, Embed: true}
}

// signature tells models apart that cannot share compiled graphs.
func (b *Base) signature() (string, error) {
	var a any
	switch {
	case b.Seq2Seq != nil:
		a = b.Seq2Seq.WithDropout(0)
	case b.Causal != nil:
		a = b.Causal.WithDropout(0)
	default:
		a = b.Arch.WithDropout(0).WithLabels(nil, "")
	}
	config, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	h.Write(config)
	for _, w := range b.weights {
		fmt.Fprintln(h, w.Name, w.Shape)
	}
	return string(h.Sum(nil)), nil
}

// cover compiles what must be there before the model serves: enough wide graphs that
// every batch fits one (variants: bare ones).
func (g *programs) cover(ctx context.Context, report func(done, total int)) error {
	first, _ := g.wideBuckets()
	profile := g.profile()
	first = slices.DeleteFunc(first, func(b bucket) bool { return g.has(b, profile) }) // of a twin
	// A compilation keeps one core busy.
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(max(1, runtime.GOMAXPROCS(0)))
	var done atomic.Int64
	report(0, len(first))
	for _, b := range first {
		workers.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := g.compile(b, profile); err != nil {
				return err
			}
			report(int(done.Add(1)), len(first))
			return nil
		})
	}
	return workers.Wait()
}

// complete asks for the wide graphs that cover leaves for when the model serves.
func (g *programs) complete() {
	_, later := g.wideBuckets()
	profile := g.profile()
	for _, b := range later {
		if !g.has(b, profile) {
			g.mu.Lock()
			g.ask(b, profile)
			g.mu.Unlock()
		}
	}
}

// wideBuckets are the smallest and the largest batch of each length. Those that come
// first fit every batch between them: each largest batch at its longest length, and one
// text of the longest and of a middling length. The others save padding.
func (g *programs) wideBuckets() (first, later []bucket) {
	middling := 0
	for _, b := range g.grid {
		if b.length <= 64 {
			middling = b.length
		}
	}
	last := g.grid[len(g.grid)-1].length
	for i, b := range g.grid {
		most := i+1 == len(g.grid) || g.grid[i+1].length != b.length
		switch {
		case most && !slices.ContainsFunc(g.grid[i+1:], func(o bucket) bool { return o.batch >= b.batch }),
			b.batch == 1 && (b.length == middling || b.length == last):
			first = append(first, b)
		case most, b.batch == 1:
			later = append(later, b)
		}
	}
	return first, later
}

// profile is that of the wide graphs; nil of a variant.
func (g *programs) profile() *nn.Profile {
	if g.slots == 0 {
		return nil
	}
	w := g.wide()
	return &w
}

// has reports whether a graph is compiled.
func (g *programs) has(b bucket, profile *nn.Profile) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.ContainsFunc(g.ready, func(c *compiled) bool { return c.bucket == b && key(c.profile) == key(profile) })
}

func (g *programs) compile(b bucket, profile *nn.Profile) error {
	name := fmt.Sprintf("%s_%dx%d", g.arch.Facts().Family, b.batch, b.length)
	program, err := nn.Compile(g.backend, name, func(p *nn.Pass) []*graph.Node {
		p.Matrices = g.matrices
		in := Inputs(p, b.batch, b.length)
		if profile != nil {
			p.Bank = NewBank(p, b.batch, b.length, g.slots, *profile)
		}
		return []*graph.Node{g.arch.Logits(p.Root(), in)}
	})
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ready = append(g.ready, &compiled{b, profile, program})
	return nil
}

// pick chooses the cheapest program that can run rows of this length now, and asks
// for the fitting one where there is none yet.
func (g *programs) pick(rows, length int, profile *nn.Profile) *compiled {
	exact := g.smallest(rows, length)
	g.mu.Lock()
	defer g.mu.Unlock()
	var best *compiled
	for _, c := range g.ready {
		if c.batch < rows || c.length < length || !covers(c.profile, profile) {
			continue
		}
		if best == nil || c.cost() < best.cost() {
			best = c
		}
	}
	if best == nil || best.bucket != exact || key(best.profile) != key(profile) {
		g.ask(exact, profile)
	}
	return best
}

// maxTight is how many tighter graphs a model may have. Each takes some megabytes, and
// the sets of modules that the adapters of a batch may target have no other bound; the
// wide graphs answer what is beyond.
const maxTight = 256

// ask queues a compilation; mu is held.
func (g *programs) ask(b bucket, profile *nn.Profile) {
	k := fmt.Sprint(b, key(profile))
	if g.wanted[k] || len(g.wanted) >= maxTight {
		return
	}
	job := func() {
		// A failure leaves the wide program in use; it compiled, so this is no
		// more than a lost improvement.
		_ = g.compile(b, profile)
	}
	select {
	case g.want <- job:
		g.wanted[k] = true
	default: // the compiler is far behind: ask again with the next batch
	}
}

// smallest is the tightest bucket of the grid.
func (g *programs) smallest(rows, length int) bucket {
	best := bucket{}
	for _, b := range g.grid {
		if b.batch >= rows && b.length >= length && (best.batch == 0 || b.length < best.length || b.length == best.length && b.batch < best.batch) {
			best = b
		}
	}
	return best
}

// rows is the largest batch of texts of this length.
func (g *programs) rows(length int) int {
	most, at := 0, 0
	for _, b := range g.grid {
		if b.length >= length && (at == 0 || b.length <= at) {
			at = b.length
			most = max(most, b.batch)
		}
	}
	return most
}

func covers(have, need *nn.Profile) bool {
	switch {
	case need == nil:
		return true // slot 0 is the bare base
	case have == nil:
		return false
	}
	return have.Covers(*need)
}

// cost orders programs by the work they do; only the order matters.
func (c *compiled) cost() int {
	per := 100
	if p := c.profile; p != nil {
		modules := 8
		if p.Targets != nil {
			modules = len(p.Targets)/4 + 1
		}
		per += modules * (1 + p.Pages)
		for _, extra := range []bool{p.Extras, p.Heads, p.Embed} {
			if extra {
				per += 4
			}
		}
	}
	return c.batch * c.length * per
}

// key names a profile.
func key(p *nn.Profile) string {
	if p == nil {
		return "bare"
	}
	targets := "all"
	if p.Targets != nil {
		names := make([]string, 0, len(p.Targets))
		for t := range p.Targets {
			names = append(names, t)
		}
		sort.Strings(names)
		targets = strings.Join(names, ",")
	}
	return fmt.Sprint(p.Pages, p.Extras, p.Heads, p.Embed, targets)
}

// union is the narrowest profile that covers all of these, with the pages rounded
// up so that few different ones are compiled.
func union(all []*Prepared, heads bool, pages int) *nn.Profile {
	if len(all) == 0 && !heads {
		return nil
	}
	u := nn.Profile{Pages: 1, Heads: heads, Targets: map[string]bool{}}
	for _, a := range all {
		p := a.Profile
		u.Pages = max(u.Pages, p.Pages)
		u.Extras = u.Extras || p.Extras
		u.Heads = u.Heads || p.Heads
		u.Embed = u.Embed || p.Embed
		for t := range p.Targets {
			u.Targets[t] = true
		}
	}
	steps := []int{1, 2, 4, 8, 16, 32}
	u.Pages = min(pages, steps[slices.IndexFunc(steps, func(s int) bool { return s >= u.Pages })])
	return &u
}
