package inference

import (
	"fmt"
	"slices"
	"time"
)

// take picks the waiting texts that fit beside those at work: rows, memory, and slots
// for their adapters. They are taken in order; one that does not fit holds up those
// behind it, or it might wait for ever.
func (w *writer) take() []*draft {
	if len(w.live) == 0 && w.queued() > 0 {
		time.Sleep(gather)
	}
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
	w.tight = false
	n := 0
	for n < len(w.waiting) && n < maxJoin {
		with := need.joined(w.waiting[n].room(w.reads()))
		if with.rows > rowSteps[len(rowSteps)-1] || w.scripts.bytes(w.rounded(with)) > w.budget && with.rows > w.waiting[n].beams {
			w.tight = true
			break
		}
		if len(w.live)+n > 0 && !w.compiled(slices.Concat(w.live, w.waiting[:n+1])) {
			break
		}
		need = with
		n++
	}
	joining := slices.Clone(w.waiting[:n])
	w.waiting = slices.Delete(w.waiting, 0, n)
	return joining
}

// gather is how long the first text of a burst is held for the others: a prompt that is
// read with seven more costs an eighth of one that is read alone.
const gather = 500 * time.Microsecond

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
	w.tight = w.tight || len(back) > 0
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
