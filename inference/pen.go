package inference

import (
	"slices"
	"sync"
	"time"

	"lorikeet/inference/text"
)

// pen is the writers that have something to do.
type pen struct {
	filled chan struct{} // has a token when there is a new one

	mu     sync.Mutex
	active []*writer
	shut   bool
}

func newPen() *pen { return &pen{filled: make(chan struct{}, 1)} }

// closed is a channel that never makes anyone wait.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// add says that texts wait for a writer. It is false when nothing is written any more.
func (p *pen) add(w *writer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut {
		return false
	}
	if !slices.Contains(p.active, w) {
		p.active = append(p.active, w)
	}
	select {
	case p.filled <- struct{}{}:
	default:
	}
	return true
}

func (p *pen) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.active) > 0
}

// round lets each writer do a step.
func (p *pen) round() {
	p.mu.Lock()
	all := slices.Clone(p.active)
	p.mu.Unlock()
	for _, w := range all {
		if w.round() {
			continue
		}
		p.mu.Lock()
		if w.queued() == 0 { // else a text came since
			p.active = slices.DeleteFunc(p.active, func(other *writer) bool { return other == w })
		}
		p.mu.Unlock()
	}
}

// drop forgets a writer.
func (p *pen) drop(w *writer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active = slices.DeleteFunc(p.active, func(other *writer) bool { return other == w })
}

// close ends everything that is written.
func (p *pen) close() {
	p.mu.Lock()
	all := p.active
	p.active, p.shut = nil, true
	p.mu.Unlock()
	for _, w := range all {
		w.close()
	}
}

// waiting counts the texts that wait for a place.
func (p *pen) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, w := range p.active {
		n += w.queued()
	}
	return n
}

func (w *writer) queued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting)
}

// defaultCacheBytes holds 32 texts of 512 tokens of a 135 M LLaMA twice over.
const defaultCacheBytes = 1 << 30

// newWriter finds the graphs of a model that writes.
func (e *Engine) newWriter(s *served, slots int, sig string) (*writer, error) {
	f, err := s.base.family()
	if err != nil {
		return nil, err
	}
	w := &writer{engine: e, model: s, names: cacheNames(f), limit: s.base.Facts().MaxLength, budget: e.CacheBytes}
	if w.budget == 0 {
		w.budget = defaultCacheBytes
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	w.scripts = e.scripts[sig]
	if w.scripts == nil {
		w.scripts = newScripts(e, f, s.base, slots)
		e.scripts[sig] = w.scripts
	}
	w.cache = newTextCache(w.scripts)
	return w, nil
}

// measure reads a prompt twice and gives tokens a second.
func (w *writer) measure() (float64, error) {
	length := readable(1, w.limit)
	s, err := w.scripts.read(1, length, nil)
	if err != nil {
		return 0, err
	}
	d := &draft{prompt: make([]int32, length), plain: true, beams: 1}
	var took time.Duration
	for range 2 {
		start := time.Now()
		_, part, err := w.reading(s, []*draft{d})
		if err != nil {
			return 0, err
		}
		for _, b := range part {
			_ = b.Finalize()
		}
		took = time.Since(start)
	}
	return float64(length) / max(took.Seconds(), 1e-6), nil
}

func (e *Engine) countStep(texts, rows int) {
	e.stats.steps.Add(1)
	e.stats.stepRows.Add(int64(texts))
	e.stats.stepPadded.Add(int64(rows))
}

func (e *Engine) countText(d *draft) {
	e.stats.prompts.Add(int64(len(d.prompt)))
	e.stats.written.Add(int64(d.written))
}

// newVoice speaks the tokens of a text.
func newVoice(t *text.Tokenizer, stops []string) voice {
	return voice{stream: t.Stream(true), stops: stops}
}
