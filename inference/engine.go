package inference

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gomlx/compute"

	"lorikeet/adapters"
	"lorikeet/inference/nn"
	"lorikeet/inference/text"
)

// Errors that callers act on.
var (
	ErrUnknownModel = errors.New("no such model")
	ErrNoHead       = errors.New("no classification head")
	ErrWrongBase    = errors.New("the adapter was made for another base")
	ErrTooLong      = errors.New("the prompt is too long")
	ErrBusy         = errors.New("too many requests are waiting")
	ErrLoading      = errors.New("the model is still loading")
	ErrFull         = errors.New("every slot is pinned")
)

// Options of an Engine.
type Options struct {
	Backend        compute.Backend
	Registry       *adapters.Registry
	Log            *slog.Logger
	Slots          int           // slots of rank 8 in a base's bank; one adapter of rank r takes ⌈r/8⌉
	MaxRank        int           // highest rank served
	MaxBatchTokens int           // padded tokens in a batch
	MaxWaiting     int           // texts that may wait; more are refused with ErrBusy
	MaxWait        time.Duration // that a text may have to wait for the device; more that would are refused with ErrBusy; 0: any time
	HostBytes      int64         // memory for adapters that are ready but not on the device
	Variants       int           // full fine-tunes held on the device
	CacheBytes     int64         // memory for the keys and values of texts that are written, for each base; 0: 1 GiB
	Packs          bool          // the device leaves padding out, so that texts of all lengths may share a batch
	Compiled       func()        // called when there is nothing more to compile for now; nil: nothing is done then
	Eager          bool          // compile only on demand (tests)
}

// Engine answers requests. Any goroutine may call it; the goroutine in Run owns the
// device.
type Engine struct {
	Options
	queue  *queue
	pen    *pen
	orders chan func()
	want   chan func()
	over   chan struct{} // closed when Run returns
	host   *hostCache

	placing flight[*served]
	dropped chan struct{} // has a token while gone is not empty

	mu      sync.RWMutex // guards the maps; the models in them belong to the owner
	bases   map[string]*served
	tuned   map[string]*served // variants on the device, by digest
	gone    []*served          // variants to be freed
	shared  map[string]*programs
	scripts map[string]*scripts
	turn    int64
	ready   atomic.Pointer[string] // nil: ready; else what is going on
	stats   stats
	meters  *meters
}

// served is a model on the device.
type served struct {
	name     string
	version  *adapters.Version // of a variant; nil: a base
	base     *Base
	weights  map[string]compute.Buffer
	bank     *bank     // nil for a variant
	programs *programs // nil where the base generates
	writer   *writer   // nil where it does not

	speed float64 // tokens a second of a full batch, measured when it was loaded
	// Of a variant, guarded by Engine.mu: requests that hold it, and the turn it
	// was last asked for.
	refs   int
	used   int64
	pinned bool
	unload bool // it is to go when nobody holds it any more
}

// New makes an engine; bases are added with Load, and nothing is answered before Run.
func New(o Options) *Engine {
	e := &Engine{Options: o, queue: newQueue(o.MaxWaiting, o.MaxWait), pen: newPen(), orders: make(chan func()), want: make(chan func(), 256), over: make(chan struct{}), dropped: make(chan struct{}, 1),
		bases: map[string]*served{}, tuned: map[string]*served{}, shared: map[string]*programs{}, scripts: map[string]*scripts{}, host: newHostCache(o.HostBytes), meters: newMeters()}
	e.host.meters, e.queue.packs = e.meters, o.Packs
	e.loading("starting")
	return e
}

func (e *Engine) loading(what string) { e.ready.Store(&what) }

// Ready tells why requests cannot be answered yet, or nil.
func (e *Engine) Ready() error {
	if what := e.ready.Load(); what != nil {
		return fmt.Errorf("%w: %s", ErrLoading, *what)
	}
	return nil
}

// pages is how many slots the widest adapter takes.
func (e *Engine) pages() int { return (e.MaxRank + nn.PageRank - 1) / nn.PageRank }

// Load puts a base on the device and compiles what it needs to answer. It may run
// before or beside Run.
func (e *Engine) Load(ctx context.Context, b *Base) error {
	start := time.Now()
	if n := len(b.Facts().Labels); n > nn.MaxLabels {
		return fmt.Errorf("base %s: its head has %d labels, at most %d are served", b.Name, n, nn.MaxLabels)
	}
	e.loading(fmt.Sprintf("loading %s", b.Name))
	s, err := e.place(b.Name, b, e.Slots)
	if err != nil {
		return err
	}
	if !e.Eager {
		err := s.cover(ctx, func(done, total int) {
			e.loading(fmt.Sprintf("compiling %s: %d of %d graphs", b.Name, done, total))
		})
		e.compiled()
		if err == nil {
			err = e.measure(s)
		}
		if err != nil {
			return fmt.Errorf("base %s: %w", b.Name, err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, twice := e.bases[b.Name]; twice {
		return fmt.Errorf("base %s is loaded already", b.Name)
	}
	e.bases[b.Name] = s
	e.Log.Info("base ready", "base", b.Name, "family", b.Facts().Family, "parameters", b.Parameters(),
		"seconds", time.Since(start).Seconds())
	return nil
}

// cover compiles what the first requests need.
func (s *served) cover(ctx context.Context, report func(done, total int)) error {
	if s.writer != nil {
		return s.writer.scripts.cover(ctx, s.writer.limit, report)
	}
	return s.programs.cover(ctx, report)
}

// measure runs a full batch of middling length, which also warms the device up.
func (e *Engine) measure(s *served) (err error) {
	if s.writer != nil {
		s.speed, err = s.writer.measure()
		return err
	}
	length := min(64, s.base.Facts().MaxLength)
	tokens := text.Encoding{IDs: make([]int32, length), TypeIDs: make([]int32, length)}
	n := s.programs.rows(length)
	answers := make(chan result, n)
	batch := make([]*item, n)
	for i := range batch {
		batch[i] = &item{ctx: context.Background(), model: s, tokens: tokens, index: i, since: time.Now(), answer: answers}
	}
	e.execute(batch)
	r := <-answers
	s.speed = float64(n*length) / max(r.ran.Seconds(), 1e-6)
	e.queue.expect(s, s.speed)
	return r.err
}

// Speed is how many tokens a second a base takes in, 0 if it is not loaded.
func (e *Engine) Speed(name string) float64 {
	if s := e.base(name); s != nil {
		return s.speed
	}
	return 0
}

// Open says that every base is loaded: from now on the engine is ready.
func (e *Engine) Open() {
	e.ready.Store(nil)
	if e.Eager {
		return
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, s := range e.bases {
		if s.programs != nil {
			s.programs.complete()
		}
	}
}

// place uploads a model and finds its programs.
func (e *Engine) place(name string, b *Base, slots int) (*served, error) {
	weights, err := b.Upload(e.Backend)
	if err != nil {
		return nil, err
	}
	s := &served{name: name, base: b, weights: weights}
	if slots > 0 {
		s.bank = newBank(e.Backend, b, slots)
		s.bank.meters = e.meters
	}
	sig, err := b.signature()
	if err != nil {
		return nil, err
	}
	sig = fmt.Sprint(slots > 0, b.Matrices, sig)
	if b.Generates() {
		s.writer, err = e.newWriter(s, slots, sig)
		return s, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s.programs = e.shared[sig]
	if s.programs == nil {
		s.programs = &programs{backend: e.Backend, arch: b.Arch, matrices: b.Matrices, slots: slots, pages: e.pages(), want: e.want,
			grid: grid(b.Facts().MaxLength, e.MaxBatchTokens), wanted: map[string]bool{}}
		e.shared[sig] = s.programs
	}
	return s, nil
}

// Run owns the device until ctx ends: it runs batches, and between them what other
// goroutines ask of the device. Requests that still wait then are refused.
func (e *Engine) Run(ctx context.Context) error {
	defer close(e.over)
	defer e.sweep()
	var compiler sync.WaitGroup
	compiler.Go(func() { e.compile(ctx) })
	defer compiler.Wait()
	for {
		// While texts are written nothing is waited for: a round of theirs follows
		// whatever else there is to do.
		written := e.pen.filled
		if e.pen.busy() && len(e.queue.filled) == 0 {
			written = closed
		}
		select {
		case <-ctx.Done():
			e.queue.close()
			e.pen.close()
			return nil
		case order := <-e.orders:
			order()
		case <-e.dropped:
			e.sweep()
		case <-e.queue.filled:
			if batch := e.queue.next(); batch != nil {
				model := batch[0].model
				e.queue.ran(model, e.execute(batch))
			}
		case <-written:
		}
		e.pen.round()
	}
}

// compile makes the graphs that traffic asks for, one at a time.
func (e *Engine) compile(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-e.want:
			job()
			if len(e.want) == 0 {
				e.compiled()
			}
		}
	}
}

// compiled is called when there is nothing more to compile for now.
func (e *Engine) compiled() {
	if e.Compiled != nil {
		e.Compiled()
	}
}

// Settle waits until the graphs that traffic has asked for so far are compiled.
func (e *Engine) Settle(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case e.want <- func() { close(done) }:
	case <-e.over:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-e.over:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

// do runs f on the goroutine that owns the device.
func (e *Engine) do(ctx context.Context, f func()) error {
	done := make(chan error, 1)
	select {
	case e.orders <- func() { done <- caught(f) }:
		return <-done
	case <-e.over:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stats are counted for /metrics.
type stats struct {
	batches, rows, tokens, padded atomic.Int64
	steps, stepRows, stepPadded   atomic.Int64
	prompts, written              atomic.Int64
}
