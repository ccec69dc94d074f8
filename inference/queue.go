package inference

import (
	"context"
	"sync"
	"time"

	"lorikeet/inference/text"
)

// item is one text that waits for a batch.
type item struct {
	ctx     context.Context
	model   *served
	tokens  text.Encoding
	adapter *Prepared // nil: the bare base
	since   time.Time
	index   int
	answer  chan<- result // has room for every item of its request
}

// result is what became of an item.
type result struct {
	index  int
	logits []float32
	queued time.Duration
	ran    time.Duration // seating the adapters and the device
	device time.Duration // the device alone
	batch  int           // texts in the batch
	err    error
}

// queue is where texts wait. Any goroutine pushes; the owner of the device takes.
type queue struct {
	filled chan struct{} // has a token while items wait

	mu     sync.Mutex
	items  []*item
	limit  int           // texts
	most   time.Duration // that a new text may have to wait; 0: any time
	tokens map[*served]int
	paces  map[*served]*pace // tokens a second, of models that have run
	packs  bool              // padding costs next to nothing
	closed bool

	// Of the owner of the device.
	from time.Time // since when the device works on what waits; zero: nothing waited
	more bool      // texts were left waiting by the batch that runs
}

func newQueue(limit int, most time.Duration) *queue {
	return &queue{filled: make(chan struct{}, 1), limit: limit, most: most, tokens: map[*served]int{}, paces: map[*served]*pace{}}
}

// push adds the texts of one request, all or none.
func (q *queue) push(items []*item) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.items)+len(items) > q.limit && len(q.items) > 0 {
		return ErrBusy
	}
	if err := within(q.wait(), q.most); err != nil {
		return err
	}
	q.items = append(q.items, items...)
	q.count(items)
	q.signal()
	return nil
}

// admits is nil where a request may be added now: who is to be refused is refused
// before any work is done for it.
func (q *queue) admits() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.items) >= q.limit {
		return ErrBusy
	}
	return within(q.wait(), q.most)
}

// wait is how long a new text is going to wait. mu is held.
func (q *queue) wait() time.Duration {
	var all time.Duration
	for m, n := range q.tokens {
		if p := q.paces[m]; p != nil {
			all += p.lasts(float64(n))
		}
	}
	return all
}

// count adds the tokens of texts that wait. mu is held.
func (q *queue) count(items []*item) {
	for _, it := range items {
		q.tokens[it.model] += len(it.tokens.IDs)
	}
}

// ran notes that the device has done with a batch of so many tokens; 0: it failed.
func (q *queue) ran(m *served, tokens int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pace(m).note(float64(tokens), time.Since(q.from), q.more)
	q.from = time.Time{}
	if q.more {
		q.from = time.Now()
	}
}

// pace gives that of a model. mu is held.
func (q *queue) pace(m *served) *pace {
	p := q.paces[m]
	if p == nil {
		p = &pace{}
		q.paces[m] = p
	}
	return p
}

// expect notes what a model was measured to do, before it has any traffic.
func (q *queue) expect(m *served, perSecond float64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pace(m).perSecond = perSecond
}

// forget drops what is known of a model that is gone.
func (q *queue) forget(m *served) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.paces, m)
}

func (q *queue) signal() {
	select {
	case q.filled <- struct{}{}:
	default:
	}
}

// lookahead is how far behind the oldest text a batch may reach for texts of its
// length.
const lookahead = 512

// next takes the oldest text and others that fit beside it: of the same model, no
// longer than its bucket, and as many as the bucket holds. Where padding costs nothing
// longer ones come along too, unless their bucket is too small for all that could. Texts
// whose caller has left are dropped unrun.
func (q *queue) next() []*item {
	q.mu.Lock()
	defer q.mu.Unlock()
	alive := q.items[:0]
	for _, it := range q.items {
		if it.ctx.Err() == nil {
			alive = append(alive, it)
		}
	}
	clear(q.items[len(alive):])
	q.items = alive
	clear(q.tokens)
	if len(alive) == 0 {
		q.from = time.Time{}
		return nil
	}
	head := alive[0]
	length := head.model.programs.smallest(1, len(head.tokens.IDs)).length
	room := head.model.programs.rows(length)
	var batch, rest []*item
	for i, it := range alive {
		n := len(it.tokens.IDs)
		fits := i < lookahead && len(batch) < room && it.model == head.model && (n <= length || q.packs)
		if fits && n > length {
			longer := head.model.programs.smallest(1, n).length
			holds := head.model.programs.rows(longer)
			if fits = holds >= min(room, len(alive)); fits {
				length, room = longer, holds
			}
		}
		if fits {
			batch = append(batch, it)
		} else {
			rest = append(rest, it)
		}
	}
	q.items = rest
	q.count(rest)
	if q.from.IsZero() {
		q.from = time.Now()
	}
	if q.more = len(rest) > 0; q.more {
		q.signal()
	}
	return batch
}

// back returns texts that did not fit to the front of the queue.
func (q *queue) back(items []*item) {
	if len(items) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(append([]*item(nil), items...), q.items...)
	q.count(items)
	q.more = true
	q.signal()
}

// waiting counts the texts in the queue.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

// close refuses what waits and what comes.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, it := range q.items {
		it.answer <- result{index: it.index, err: ErrBusy}
	}
	q.items = nil
	clear(q.tokens)
}
