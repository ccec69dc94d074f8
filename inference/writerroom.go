package inference

import "lorikeet/inference/nn"

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
