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
	limit  int
	closed bool
}

func newQueue(limit int) *queue { return &queue{filled: make(chan struct{}, 1), limit: limit} }

// push adds the texts of one request, all or none.
func (q *queue) push(items []*item) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.items)+len(items) > q.limit && len(q.items) > 0 {
		return ErrBusy
	}
	q.items = append(q.items, items...)
	q.signal()
	return nil
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
// longer than its bucket, and as many as the bucket holds. Texts whose caller has
// left are dropped unrun.
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
	if len(alive) == 0 {
		return nil
	}
	head := alive[0]
	length := head.model.programs.smallest(1, len(head.tokens.IDs)).length
	room := head.model.programs.rows(length)
	var batch, rest []*item
	for i, it := range alive {
		if i < lookahead && len(batch) < room && it.model == head.model && len(it.tokens.IDs) <= length {
			batch = append(batch, it)
		} else {
			rest = append(rest, it)
		}
	}
	q.items = rest
	if len(rest) > 0 {
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
}
