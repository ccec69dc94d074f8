//go:build unix

package main

import (
	"errors"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"lorikeet/tuning/queue/queuetest"
)

var seed = flag.Uint64("seed", 1, "of the run")

// TestMain also is a worker process, and a child of one.
func TestMain(m *testing.M) {
	if code, other := role(); other {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

func TestNoPromiseIsBroken(t *testing.T) {
	if testing.Short() {
		t.Skip("by the real clock")
	}
	c := config{jobs: 60, seed: *seed, duration: 15 * time.Second, workers: 3, slots: 3, pace: 1.5, lease: 1500 * time.Millisecond, out: testLog{t}, dir: t.TempDir()}
	rep, err := run(t.Context(), c)
	if errors.Is(err, queuetest.ErrNoRedis) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if rep.Accepted != c.jobs || rep.Finished != c.jobs || len(rep.Faults) < 8 {
		t.Errorf("%d jobs accepted, %d finished, of %d; faults %v", rep.Accepted, rep.Finished, c.jobs, rep.Faults)
	}
}

func TestASeedIsAPlan(t *testing.T) {
	c := config{jobs: 200, seed: 7, duration: time.Minute, pace: 2, lease: time.Second}
	a, err := newPlan(c)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newPlan(c)
	if err != nil || !reflect.DeepEqual(a, b) {
		t.Error("one seed made two plans", err)
	}
	c.seed++
	if b, err = newPlan(c); err != nil || reflect.DeepEqual(a, b) {
		t.Error("two seeds made one plan", err)
	}
	if len(a.orders) != 200 || len(a.acts) != 120 {
		t.Errorf("%d jobs, %d faults", len(a.orders), len(a.acts))
	}
	c.only = "flood"
	if _, err := newPlan(c); err == nil || !strings.Contains(err.Error(), "flood") {
		t.Errorf("an unknown fault: %v", err)
	}
}
