package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// bar is a line of progress on standard error. Where that is no terminal it says nothing
// but what note is given: a log has no use for a moving line.
type bar struct {
	w     io.Writer
	width int // of the terminal; 0: it is none

	mu    sync.Mutex
	shown string
	last  time.Time
}

func newBar(w io.Writer) *bar {
	width, _ := terminal(w)
	return &bar{w: w, width: width}
}

const barCells = 24

// draw shows how far it is, from 0 to 1, and what is going on.
func (b *bar) draw(share float64, text string) {
	if b.width == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if share < 1 && time.Since(b.last) < 80*time.Millisecond {
		return
	}
	b.last = time.Now()
	b.put(drawn(share, text, b.width))
}

// drawn is the line for a terminal of that width.
func drawn(share float64, text string, width int) string {
	share = min(max(share, 0), 1)
	n := int(share * barCells)
	return clip(fmt.Sprintf("%s%s %3.0f %%  %s", strings.Repeat("█", n), strings.Repeat("░", barCells-n), 100*share, clean(text)), width-1)
}

// put replaces the line that stands there.
func (b *bar) put(line string) {
	if line == b.shown {
		return
	}
	b.shown = line
	fmt.Fprintf(b.w, "\r\x1b[K%s", line) //nolint:errcheck // a terminal
}

// note writes a line that stays.
func (b *bar) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.width > 0 {
		b.put("")
	}
	fmt.Fprintln(b.w, clean(fmt.Sprintf(format, args...))) //nolint:errcheck // a terminal
}

// done takes the line away.
func (b *bar) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.width > 0 {
		b.put("")
	}
}

// counted tells a bar how much of a file was read.
type counted struct {
	io.Reader
	read, size int64
	bar        *bar
	name       string
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += int64(n)
	if c.size > 0 {
		c.bar.draw(float64(c.read)/float64(c.size), fmt.Sprintf("%s, %s of %s", c.name, size(c.read), size(c.size)))
	}
	return n, err
}
