package inference

import (
	"errors"
	"slices"
	"time"

	"github.com/gomlx/compute"

	"lorikeet/inference/nn"
)

// step reads the last token of every row, and lets each text choose how it goes on.
func (w *writer) step() error {
	if _, err := w.seat(nil); err != nil { // an adapter may have been unloaded since
		return err
	}
	if len(w.live) == 0 {
		return nil
	}
	if err := w.fit(); err != nil {
		return err
	}
	s, err := w.scripts.step(w.room, w.profile(w.live))
	if err != nil {
		return err
	}
	out, err := w.run(s)
	if err != nil {
		return err
	}
	position := make([]int32, len(w.rows))
	for i, d := range w.rows {
		position[i] = w.position[i]
		if d == nil {
			position[i] = -1
		}
	}
	if err := w.cache.append(out[2:], position); err != nil {
		return err
	}
	said, err := w.outcome(out, w.live)
	if err != nil {
		return err
	}
	for i, d := range w.rows {
		if d != nil {
			w.position[i]++
		}
	}
	said.at = func(d *draft, i int) int { return d.rows[i] }
	w.engine.countStep(len(w.live), w.room.rows)
	return w.choose(slices.Clone(w.live), said)
}

func (w *writer) run(s *script) (out []compute.Buffer, err error) {
	in := map[string]compute.Buffer{}
	defer func() { err = errors.Join(err, free(in)) }()
	position := slices.Clone(w.position)
	for i, d := range w.rows {
		if d == nil {
			position[i] = 0 // a free row is read with the rest, and looked at by nobody
		}
	}
	put(w.scripts.backend, in, &err, "token", w.token, s.rows)
	put(w.scripts.backend, in, &err, "position", position, s.rows)
	if w.reads() {
		mask := make([]int32, s.rows*s.source)
		for i, n := range w.source {
			fillInt(mask[i*s.source:i*s.source+max(1, min(n, s.source))], 1)
		}
		put(w.scripts.backend, in, &err, "mask", mask, s.rows, s.source)
	}
	w.slots(in, &err, s, w.rows, func(row int) []int32 { return w.token[row : row+1] }, 1)
	if err != nil {
		return nil, err
	}
	return s.program.Run(w.feed(in))
}

// outcome reads what a graph says, and the scores only if some text needs them.
func (w *writer) outcome(out []compute.Buffer, texts []*draft) (o outcome, err error) {
	if o.best, err = nn.DownloadIDs(out[0]); err != nil {
		return o, err
	}
	if slices.ContainsFunc(texts, func(d *draft) bool { return !d.plain }) {
		if o.scores, err = nn.Download(out[1]); err != nil {
			return o, err
		}
	}
	return o, errors.Join(out[0].Finalize(), out[1].Finalize())
}

// choose lets each text take its next token, or end.
func (w *writer) choose(texts []*draft, o outcome) error {
	from, moved := w.still(), false
	now := time.Now()
	for _, d := range texts {
		if d.first.IsZero() {
			d.first = now
		}
		d.written++
		tokens, past, over := d.search.next(o.said(d))
		if stopped := d.tell(); over || stopped {
			d.close(nil, stopped)
			d.leave(w.rows)
			w.live = slices.DeleteFunc(w.live, func(other *draft) bool { return other == d })
			w.engine.countText(d)
			w.over(d)
			continue
		}
		for i, row := range d.rows {
			w.token[row] = tokens[i]
			if source := int32(d.rows[past[i]]); source != int32(row) {
				from[row], moved = source, true
			}
		}
	}
	if !moved {
		return nil
	}
	// What was read for a text is the same for all of its candidates.
	return w.cache.pick(from, written(w.scripts.family))
}

// said picks a text's rows of the outcome.
func (o outcome) said(d *draft) said {
	var s said
	for i := range d.beams {
		row := o.at(d, i)
		s.best = append(s.best, o.best[row])
		if !d.plain {
			width := len(o.scores) / len(o.best)
			s.scores = append(s.scores, slices.Clone(o.scores[row*width:(row+1)*width]))
		}
	}
	return s
}
