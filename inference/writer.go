package inference

import (
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// writer is the running batch of one model that writes. Texts join and leave it
// between tokens: each round of the owner of the device lets in who fits, reads their
// prompts, and then reads one token more for every row. Rows of different adapters
// share a step.
type writer struct {
	engine  *Engine
	model   *served
	scripts *scripts
	names   []string // of the cache's tensors
	limit   int      // tokens of a text, prompt and answer
	budget  int64    // bytes of the cache

	mu      sync.Mutex
	waiting []*draft
	load    writerLoad

	// Of the owner of the device.
	room     room
	cache    textCache // its tensors in the order of names
	rows     []*draft  // nil: free
	token    []int32   // the last of each row, not yet read
	position []int32   // how many tokens each row holds
	source   []int     // how many tokens were read for each row
	live     []*draft
	tight    bool      // a text was left waiting because there was no room for it
	began    time.Time // when this round did, or the last one ended; zero: nothing is written
}

// push lets a text wait for its place.
func (w *writer) push(d *draft) error {
	w.mu.Lock()
	err := w.admitted(d.beams)
	if err == nil {
		w.waiting = append(w.waiting, d)
	}
	w.mu.Unlock()
	if err != nil {
		return err
	}
	if !w.engine.pen.add(w) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.waiting = slices.DeleteFunc(w.waiting, func(other *draft) bool { return other == d })
		return ErrBusy
	}
	return nil
}

// round does one step for every text, and reports whether there is more to do.
func (w *writer) round() (more bool) {
	defer func() {
		if p := recover(); p != nil {
			w.fail(fmt.Errorf("writing with %s: panic: %v\n%s", w.model.name, p, debug.Stack()))
			more = w.idle()
		}
	}()
	w.dismiss()
	if w.began.IsZero() {
		w.began = time.Now()
	}
	if err := w.admit(); err != nil {
		w.fail(err)
	}
	if len(w.live) == 0 {
		return w.idle()
	}
	rows := w.rowsAtWork()
	if err := w.step(); err != nil {
		w.fail(err)
	}
	w.note(rows)
	if len(w.live) == 0 {
		return w.idle()
	}
	return true
}

// idle frees the cache, and reports whether somebody waits.
func (w *writer) idle() bool {
	w.free()
	w.began = time.Time{}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.load.rows, w.load.fits, w.load.first = 0, 0, 0
	return len(w.waiting) > 0
}

// free gives the cache up.
func (w *writer) free() {
	w.cache.close()
	w.rows, w.room = nil, room{}
}

// fail ends every text of the batch with an error, and nothing else: the next ones
// start anew.
func (w *writer) fail(err error) {
	for _, d := range w.live {
		d.close(err, false)
	}
	w.live = nil
	w.free()
}

// close refuses what waits and ends what is written.
func (w *writer) close() {
	w.mu.Lock()
	waiting := w.waiting
	w.waiting = nil
	w.mu.Unlock()
	w.live = append(w.live, waiting...)
	w.fail(ErrBusy)
}

// dismiss frees the rows of callers who have left.
func (w *writer) dismiss() {
	w.live = slices.DeleteFunc(w.live, func(d *draft) bool {
		if d.ctx.Err() == nil {
			return false
		}
		d.leave(w.rows)
		d.close(d.ctx.Err(), false)
		return true
	})
}
