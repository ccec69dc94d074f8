package queuetest

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Clock is a clock that is wrong.
type Clock struct {
	Ahead time.Duration // of the right one; behind it when negative
	Rate  float64       // seconds that it tells in one; 0: 1
}

// ErrNoSkew: this system's clock cannot be made wrong for one process.
var ErrNoSkew = errors.New("no wrong clocks")

func (c Clock) rate() float64 {
	if c.Rate == 0 {
		return 1
	}
	return c.Rate
}

// String is the clock in libfaketime's notation, and "right" for nil.
func (c *Clock) String() string {
	if c == nil {
		return "right"
	}
	return fmt.Sprintf("%+.0fs x%g", c.Ahead.Seconds(), c.rate())
}

// Environ is what makes libfaketime give this clock to a program that asks the C library
// for the time, as Redis does. Programs written in Go do not: see [Clock.Set].
func (c Clock) Environ() ([]string, error) {
	path, err := exec.LookPath("faketime")
	if err != nil {
		return nil, fmt.Errorf("%w: missing faketime", ErrNoSkew)
	}
	// The wrapper stays as the parent of what it runs, and a signal meant for that ends
	// the wrapper; so it is only asked where the library is.
	out, err := exec.Command(path, "-m", "-f", "+0", "env").Output() //nolint:gosec // found on the path
	if err != nil {
		return nil, fmt.Errorf("%w: faketime: %w", ErrNoSkew, err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "LD_PRELOAD=") {
			// Debian's Redis allocates with jemalloc, which asks for the time before
			// libfaketime can tell it; the C library's malloc does not.
			return []string{strings.TrimSpace(line) + " libc.so.6", "FAKETIME=" + c.String()}, nil
		}
	}
	return nil, fmt.Errorf("%w: faketime names no library", ErrNoSkew)
}
