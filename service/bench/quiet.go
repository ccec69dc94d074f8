package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// What other programs compute meanwhile is in every figure. So it is measured, from the
// kernel's counts of the time that the cores were busy and that our processes had, and
// told beside each case; with --patience a case waits until the machine is quiet, and
// is measured again if it did not stay so.

// disturbed is the share of the machine that others may take without a case counting as
// disturbed.
const disturbed = 0.1

// attempts is how often a disturbed case is measured; the quietest counts.
const attempts = 3

// ticks is how long the cores were busy so far, all and those of this process and of its
// descendants, in ticks of the kernel.
type ticks struct {
	busy, ours, all float64
}

// tick reads the counts; zero where there is no /proc.
func tick() ticks {
	var t ticks
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, f := range strings.Fields(line)[1:] {
		v, _ := strconv.ParseFloat(f, 64)
		if i >= 8 { // guests are in user already
			break
		}
		t.all += v
		if i != 3 && i != 4 { // idle, waiting for a disk
			t.busy += v
		}
	}
	parents, spent := map[int]int{}, map[int]float64{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file) // #nosec G304 -- of the kernel
		if err != nil {                // it has ended
			continue
		}
		pid, parent, time, ok := parseStat(string(text))
		if ok {
			parents[pid], spent[pid] = parent, time
		}
	}
	for pid := range parents {
		for at := pid; at > 1; at = parents[at] {
			if at == os.Getpid() {
				t.ours += spent[pid]
				break
			}
		}
	}
	return t
}

// parseStat reads a line of /proc/PID/stat: whose child the process is and the time that
// it and its children that have ended had.
func parseStat(line string) (pid, parent int, time float64, ok bool) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')') // the name may hold anything
	if open < 0 || end < open {
		return 0, 0, 0, false
	}
	f := strings.Fields(line[end+1:]) // the state is the third field of all
	if len(f) < 15 {
		return 0, 0, 0, false
	}
	pid, err1 := strconv.Atoi(strings.TrimSpace(line[:open]))
	parent, err2 := strconv.Atoi(f[1])
	for _, i := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime
		v, err := strconv.ParseFloat(f[i], 64)
		if err != nil {
			return 0, 0, 0, false
		}
		time += v
	}
	return pid, parent, time, err1 == nil && err2 == nil
}

// others is the share of all cores that other programs had between two readings.
func others(from, to ticks) float64 {
	all := to.all - from.all
	if all <= 0 {
		return 0
	}
	return min(max((to.busy-from.busy-(to.ours-from.ours))/all, 0), 1)
}

// calm waits until others leave the machine alone, for as long as --patience says.
func (b *bench) calm(ctx context.Context) error {
	for end := time.Now().Add(b.patience); time.Now().Before(end); {
		from := tick()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Second):
		}
		if others(from, tick()) <= disturbed {
			return nil
		}
	}
	return nil
}

// undisturbed measures until others left the machine alone meanwhile, or often enough,
// and keeps the quietest. It returns what others took.
func (b *bench) undisturbed(what string, measure func() (keep func(), err error)) (float64, error) {
	best := 2.0
	var kept func()
	for i := range attempts {
		if err := b.calm(b.ctx); err != nil {
			return 0, err
		}
		from := tick()
		keep, err := measure()
		if err != nil {
			return 0, err
		}
		took := others(from, tick())
		if took < best {
			best, kept = took, keep
		}
		if took <= disturbed || b.patience == 0 {
			break
		}
		if i+1 < attempts {
			fmt.Printf("%s: others took %.0f %% of the machine; again\n", what, 100*took)
		}
	}
	kept()
	return best, nil
}
