package inference

import (
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/gomlx/compute"

	"lorikeet/inference/nn"
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

	// Of the owner of the device.
	room     room
	cache    []compute.Buffer // in the order of names
	rows     []*draft         // nil: free
	token    []int32          // the last of each row, not yet read
	position []int32          // how many tokens each row holds
	source   []int            // how many tokens were read for each row
	live     []*draft
}

// push lets a text wait for its place.
func (w *writer) push(d *draft) error {
	w.mu.Lock()
	full := len(w.waiting) >= w.engine.MaxWaiting
	if !full {
		w.waiting = append(w.waiting, d)
	}
	w.mu.Unlock()
	if full {
		return ErrBusy
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
	if err := w.admit(); err != nil {
		w.fail(err)
	}
	if len(w.live) == 0 {
		return w.idle()
	}
	if err := w.step(); err != nil {
		w.fail(err)
	}
	if len(w.live) == 0 {
		return w.idle()
	}
	return true
}

// idle frees the cache, and reports whether somebody waits.
func (w *writer) idle() bool {
	w.free()
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting) > 0
}

// free gives the cache up.
func (w *writer) free() {
	for _, b := range w.cache {
		if b != nil {
			_ = b.Finalize()
		}
	}
	w.cache, w.rows, w.room = nil, nil, room{}
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

// take picks the waiting texts that fit beside those at work: rows, memory, and slots
// for their adapters. They are taken in order; one that does not fit holds up those
// behind it, or it might wait for ever.
func (w *writer) take() []*draft {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = slices.DeleteFunc(w.waiting, func(d *draft) bool {
		if d.ctx.Err() != nil {
			d.close(d.ctx.Err(), false)
			return true
		}
		return false
	})
	need := w.lifetime(w.live)
	n := 0
	for n < len(w.waiting) && n < maxJoin {
		with := need.joined(w.waiting[n].room(w.reads()))
		if with.rows > rowSteps[len(rowSteps)-1] || w.scripts.bytes(w.rounded(with)) > w.budget && with.rows > w.waiting[n].beams {
			break
		}
		if len(w.live) > 0 && !w.compiled(slices.Concat(w.live, w.waiting[:n+1])) {
			break
		}
		need = with
		n++
	}
	joining := slices.Clone(w.waiting[:n])
	w.waiting = slices.Delete(w.waiting, 0, n)
	return joining
}

// compiled reports whether there is a step for these texts together, and asks for it
// where there is none: those at work do not stand still for a compiler, it is the new
// one that waits.
func (w *writer) compiled(texts []*draft) bool {
	if w.engine.Eager {
		return true
	}
	need, profile := w.rounded(w.need(texts)), w.profile(texts)
	if _, ok := w.scripts.ready(need, profile); ok {
		return true
	}
	return !w.scripts.prepare(need, profile)
}

// maxJoin is how many prompts are read in one round, so that texts at work do not
// stand still for long.
const maxJoin = 8

// joined is the room for one text more.
func (r room) joined(s room) room {
	return room{r.rows + s.rows, max(r.length, s.length), max(r.source, s.source)}
}

// lifetime is the room that texts need to their ends.
func (w *writer) lifetime(texts []*draft) room {
	var need room
	for _, d := range texts {
		need = need.joined(d.room(w.reads()))
	}
	return need
}

func (w *writer) reads() bool {
	_, ok := w.scripts.family.starts()
	return ok
}

// rounded is the room there is a graph for.
func (w *writer) rounded(r room) room {
	r.rows, r.length = rowsFor(r.rows), upTo(r.length, w.limit)
	if w.reads() {
		r.source = upTo(r.source, w.limit)
	}
	return r
}

// seat makes the adapters of all texts resident, those at work first. Texts that find
// no slots go back to the queue, or are refused where waiting would not help.
func (w *writer) seat(joining []*draft) ([]*draft, error) {
	var wanted []*Prepared
	place := map[string]int{}
	for _, d := range slices.Concat(w.live, joining) {
		if a := d.adapter; a != nil {
			if _, ok := place[a.Ref.Digest]; !ok {
				place[a.Ref.Digest] = len(wanted)
				wanted = append(wanted, a)
			}
		}
	}
	if len(wanted) == 0 {
		return joining, nil
	}
	n, err := w.model.bank.fit(wanted)
	if err != nil || n == len(wanted) {
		return joining, err
	}
	seated := func(d *draft) bool { return d.adapter == nil || place[d.adapter.Ref.Digest] < n }
	var back []*draft
	stay := func(texts []*draft, otherwise func(*draft)) []*draft {
		return slices.DeleteFunc(texts, func(d *draft) bool {
			if !seated(d) {
				otherwise(d)
			}
			return !seated(d)
		})
	}
	refuse := func(d *draft) {
		d.leave(w.rows)
		d.close(fmt.Errorf("%w: adapter %s needs %d", ErrFull, d.adapter.Ref, d.adapter.Pages), false)
	}
	w.live = stay(w.live, refuse) // their slots were pinned away
	alone := len(w.live) == 0
	joining = stay(joining, func(d *draft) {
		if alone && n == 0 {
			refuse(d)
		} else {
			back = append(back, d)
		}
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(back, w.waiting...)
	return joining, nil
}

// admit lets in who fits, reads their prompts and gives them rows.
func (w *writer) admit() error {
	joining, err := w.seat(w.take())
	if err != nil {
		for _, d := range joining {
			d.close(err, false)
		}
		return err
	}
	if len(joining) == 0 {
		return nil
	}
	now := time.Now()
	for _, d := range joining {
		d.begun = now
	}
	w.live = append(w.live, joining...) // from here on a failure is theirs too
	if err := w.fit(); err != nil {
		return err
	}
	// Prompts of like length are read together.
	for len(joining) > 0 {
		length := readable(len(joining[0].prompt), w.limit)
		var batch, rest []*draft
		for _, d := range joining {
			if readable(len(d.prompt), w.limit) == length && len(batch) < readSteps[len(readSteps)-1] {
				batch = append(batch, d)
			} else {
				rest = append(rest, d)
			}
		}
		if err := w.read(batch, length); err != nil {
			return err
		}
		joining = rest
	}
	return nil
}

// need is the room for texts and their next token.
func (w *writer) need(texts []*draft) room {
	var r room
	for _, d := range texts {
		r.rows += d.beams
		if w.reads() {
			r.source = max(r.source, readable(len(d.prompt), w.limit))
		}
		switch {
		case len(d.rows) > 0:
			for _, row := range d.rows {
				r.length = max(r.length, int(w.position[row])+1)
			}
		case w.reads():
			r.length = max(r.length, 1)
		default: // the prompt is read in a padded shape
			r.length = max(r.length, readable(len(d.prompt), w.limit), min(len(d.prompt)+1, w.limit))
		}
	}
	return r
}

// fit grows the room where it is too small for the texts at work, and leaves one that
// has become far too large.
func (w *writer) fit() error {
	need := w.rounded(w.need(w.live))
	if w.room.holds(need) && w.room.size() <= 4*need.size() {
		return nil
	}
	goal := need
	if ready, ok := w.scripts.ready(need, w.profile(w.live)); ok && ready.size() <= 4*need.size() {
		goal = ready
	}
	if goal == w.room {
		return nil
	}
	if err := w.moveTo(goal); err != nil {
		return err
	}
	if w.engine.Eager {
		return nil
	}
	// The sizes that come next, before somebody waits for them.
	taller, longer := goal, goal
	taller.rows, longer.length = rowsFor(min(goal.rows+1, rowSteps[len(rowSteps)-1])), upTo(goal.length+1, w.limit)
	for _, r := range []room{need, taller, longer} {
		if w.scripts.bytes(r) <= w.budget {
			w.scripts.prepare(r, w.profile(w.live))
		}
	}
	return nil
}

// profile is what the adapters of texts need.
func (w *writer) profile(texts []*draft) *nn.Profile {
	var all []*Prepared
	for _, d := range texts {
		if d.adapter != nil {
			all = append(all, d.adapter)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return union(all, false, w.engine.pages())
}
