package device

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// meter shows how far a download is: a bar that redraws itself on a terminal, else a
// line for every quarter.
type meter struct {
	w     io.Writer
	title string
	total int64 // bytes; 0 or less if unknown
	tty   bool

	drawn   time.Time
	quarter int64
	done    int64
}

func (o Options) meter(title string, total int64) *meter {
	m := &meter{w: o.Progress, title: title, total: total, quarter: -1}
	if f, ok := o.Progress.(*os.File); ok {
		m.tty = term.IsTerminal(int(f.Fd()))
	}
	return m
}

// set shows that done bytes have come.
func (m *meter) set(done int64) {
	m.done = done
	if m.tty {
		if time.Since(m.drawn) >= 100*time.Millisecond {
			m.draw()
		}
		return
	}
	if m.total <= 0 {
		return
	}
	if q := 4 * done / m.total; q > m.quarter && q < 4 {
		m.quarter = q
		_, _ = fmt.Fprintf(m.w, "%s: %d%% of %s\n", m.title, 100*done/m.total, mebibytes(m.total))
	}
}

// finish shows that all has come, and ends the line.
func (m *meter) finish() {
	if m.tty {
		m.draw()
	}
	_, _ = fmt.Fprintf(m.w, "%s: %s, done%s\n", m.start(), mebibytes(m.done), m.clear())
}

func (m *meter) draw() {
	m.drawn = time.Now()
	if m.total <= 0 {
		_, _ = fmt.Fprintf(m.w, "%s: %s%s", m.start(), mebibytes(m.done), m.clear())
		return
	}
	const width = 24
	part := min(float64(m.done)/float64(m.total), 1)
	full := int(part * width)
	_, _ = fmt.Fprintf(m.w, "%s [%s%s] %3.0f%% of %s%s", m.start(), strings.Repeat("=", full), strings.Repeat(" ", width-full),
		100*part, mebibytes(m.total), m.clear())
}

// start returns to the line's start on a terminal.
func (m *meter) start() string {
	if m.tty {
		return "\r" + m.title
	}
	return m.title
}

// clear erases what a longer line left.
func (m *meter) clear() string {
	if m.tty {
		return "\x1b[K"
	}
	return ""
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
