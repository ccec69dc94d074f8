package inference

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/compute"

	"lorikeet/inference/nn"
)

// moveTo takes the rows at work to a room of another size.
func (w *writer) moveTo(now room) error {
	rows := make([]*draft, now.rows)
	from := make([]int32, 0, now.rows)
	token, position, source := make([]int32, now.rows), make([]int32, now.rows), make([]int, now.rows)
	for _, d := range w.live {
		for i, row := range d.rows {
			next := len(from)
			from = append(from, int32(row))
			rows[next], token[next], position[next], source[next] = d, w.token[row], w.position[row], w.source[row]
			d.rows[i] = next
		}
	}
	var err error
	if len(from) == 0 {
		err = w.cache.blank(now)
	} else {
		err = w.cache.move(now, from)
	}
	if err != nil {
		return err
	}
	w.room, w.rows, w.token, w.position, w.source = now, rows, token, position, source
	return nil
}

// read reads prompts of up to length tokens and puts them into free rows.
func (w *writer) read(batch []*draft, length int) error {
	s, err := w.scripts.read(readsFor(len(batch)), length, w.profile(w.live))
	if err != nil {
		return err
	}
	first, part, err := w.reading(s, batch)
	if err != nil {
		return err
	}
	defer func() {
		for _, b := range part {
			_ = b.Finalize() // a copy is in the cache
		}
	}()
	rows := make([]int32, s.rows)
	for i, d := range batch {
		for range d.beams {
			row := slices.Index(w.rows, nil)
			w.rows[row] = d
			d.rows = append(d.rows, row)
			w.token[row], w.position[row], w.source[row] = 0, int32(len(d.prompt)), len(d.prompt)
			if w.reads() {
				w.position[row] = 0
			}
		}
		// What only fills the batch up comes first and is written over.
		rows[s.rows-len(batch)+i] = int32(d.rows[0])
	}
	for i := range s.rows - len(batch) {
		rows[i] = rows[s.rows-len(batch)]
	}
	if err := w.cache.insert(s.room, part, rows); err != nil {
		return err
	}
	if err := w.spread(batch); err != nil {
		return err
	}
	if start, ok := w.scripts.family.starts(); ok {
		for _, d := range batch {
			for _, row := range d.rows {
				w.token[row] = start
			}
		}
		return nil
	}
	return w.choose(batch, first)
}

// outcome is what a graph says of its rows.
type outcome struct {
	best   []int32
	scores []float32 // nil where nobody needs them
	at     func(d *draft, i int) int
}

// reading runs a read. The batch is laid out at the end of the rows, after what only
// fills them up.
func (w *writer) reading(s *script, batch []*draft) (first outcome, part []compute.Buffer, err error) {
	ids, mask := make([]int32, s.rows*s.length), make([]int32, s.rows*s.length)
	fillInt(ids, w.model.base.Text.PadID())
	at := make([]*draft, s.rows)
	for i := range s.rows {
		d := batch[max(0, i-(s.rows-len(batch)))]
		at[i] = d
		copy(ids[i*s.length:], d.prompt)
		fillInt(mask[i*s.length:i*s.length+len(d.prompt)], 1)
	}
	in := map[string]compute.Buffer{}
	defer func() { err = errors.Join(err, free(in)) }()
	put(w.scripts.backend, in, &err, "ids", ids, s.rows, s.length)
	put(w.scripts.backend, in, &err, "mask", mask, s.rows, s.length)
	w.slots(in, &err, s, at, func(row int) []int32 { return at[row].prompt }, s.length)
	if err != nil {
		return first, nil, err
	}
	out, err := s.program.Run(w.feed(in))
	if err != nil {
		return first, nil, err
	}
	if w.reads() {
		return first, out, nil
	}
	first, err = w.outcome(out, batch)
	first.at = func(d *draft, _ int) int { return s.rows - len(batch) + slices.Index(batch, d) }
	return first, out[2:], err
}

// put uploads an input unless something has failed already.
func put(backend compute.Backend, in map[string]compute.Buffer, err *error, name string, v []int32, dims ...int) {
	if *err == nil {
		var b compute.Buffer
		if b, *err = nn.Upload(backend, v, dims...); *err == nil {
			in[name] = b
		}
	}
}

// slots gives each row those of its adapter.
func (w *writer) slots(in map[string]compute.Buffer, err *error, s *script, rows []*draft, ids func(row int) []int32, length int) {
	p := s.profile
	if p == nil || *err != nil {
		return
	}
	slots := make([]int32, len(rows)*p.Pages)
	for i, d := range rows {
		if d != nil && d.adapter != nil {
			copy(slots[i*p.Pages:], w.model.bank.loaded[d.adapter.Ref.Digest].slots)
		}
	}
	put(w.scripts.backend, in, err, "slots", slots, len(rows), p.Pages)
	if !p.Embed || *err != nil {
		return
	}
	rank := p.Pages * nn.PageRank
	v := make([]float32, len(rows)*length*rank)
	for i, d := range rows {
		if d != nil && d.adapter != nil {
			d.adapter.embedded(v[i*length*rank:], ids(i), rank)
		}
	}
	in["token_factors"], *err = nn.Upload(w.scripts.backend, v, len(rows), length, rank)
}

// feed gives a graph the weights, the bank and its inputs.
func (w *writer) feed(in map[string]compute.Buffer) nn.Feed {
	return func(p nn.Param) (compute.Buffer, bool, error) {
		switch p.Role {
		case nn.Weight:
			return w.model.weights[p.Name], false, nil
		case nn.Slots:
			b, err := w.model.bank.buffer(p)
			return b, false, err
		}
		if b, ok := in[p.Name]; ok {
			return b, false, nil
		}
		if i := slices.Index(w.names, p.Name); i >= 0 {
			b, donate := w.cache.feed(i)
			return b, donate, nil
		}
		return nil, false, fmt.Errorf("%s: nothing to feed", p.Name)
	}
}

// spread copies what was read for a text with several candidates to all of their rows.
func (w *writer) spread(batch []*draft) error {
	from, copies := w.still(), false
	for _, d := range batch {
		for _, row := range d.rows[1:] {
			from[row], copies = int32(d.rows[0]), true
		}
	}
	if !copies {
		return nil
	}
	return w.cache.pick(from, len(w.names))
}

// still is the picking that changes nothing.
func (w *writer) still() []int32 {
	from := make([]int32, w.room.rows)
	for i := range from {
		from[i] = int32(i)
	}
	return from
}
