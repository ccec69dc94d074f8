package inference

import "time"

// writerLoad is what is known of how long a new text waits for its place. Guarded by
// writer.mu.
type writerLoad struct {
	pace  pace          // tokens a second, of all rows together
	ended float64       // how much of what they may have texts have in the end, 0 to 1, an average that forgets; 0: not known
	rows  int           // at work
	fits  int           // rows that there seems to be room for
	first time.Duration // until a row is free, where all are taken
}

// endedMemory is how much of the average one text is.
const endedMemory = 0.05

// admits is nil where a text of so many candidates may wait for its place now: who is
// to be refused is refused before its prompt is read.
func (w *writer) admits(beams int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.admitted(beams)
}

// admitted says how long a text would wait, if that is too long. Whoever finds a free
// row does not wait. Otherwise all who wait have to be written, at the pace of a full
// batch, after the first row is free. mu is held.
func (w *writer) admitted(beams int) error {
	l := &w.load
	if len(w.waiting) >= w.engine.MaxWaiting {
		return ErrBusy
	}
	rows, work := beams, 0.0
	for _, d := range w.waiting {
		rows += d.beams
		work += l.expected(d, 0)
	}
	fits := l.fits
	if fits == 0 {
		fits = rowSteps[len(rowSteps)-1]
	}
	if l.rows+rows <= fits {
		return nil
	}
	return within(l.first+l.pace.lasts(work), w.engine.MaxWait)
}

// expected is how many tokens are still to be written for a text of which there are so
// many.
func (l *writerLoad) expected(d *draft, written int) float64 {
	share := l.ended
	if share == 0 {
		share = 1
	}
	return max(1, share*float64(d.most)-float64(written)) * float64(d.beams)
}

func (w *writer) rowsAtWork() int {
	n := 0
	for _, d := range w.live {
		n += d.beams
	}
	return n
}

// note takes in a round that wrote a token for so many rows.
func (w *writer) note(rows int) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	l := &w.load
	l.pace.note(float64(rows), now.Sub(w.began), w.tight)
	w.began = now
	l.rows, l.fits, l.first = w.rowsAtWork(), 0, 0
	if !w.tight {
		return
	}
	l.fits = rows // one who waits did not fit beside these
	for i, d := range w.live {
		// A step writes a token for each row.
		if left := l.pace.lasts(l.expected(d, d.written) / float64(d.beams) * float64(rows)); i == 0 || left < l.first {
			l.first = left
		}
	}
}

// over takes in how many tokens a text has in the end.
func (w *writer) over(d *draft) {
	w.mu.Lock()
	defer w.mu.Unlock()
	share := min(1, float64(d.written)/float64(max(1, d.most)))
	if w.load.ended == 0 {
		w.load.ended = 1
	}
	w.load.ended += endedMemory * (share - w.load.ended)
}
