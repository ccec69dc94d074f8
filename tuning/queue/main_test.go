package queue

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain also is the worker process of the tests that kill one; see process_test.go.
func TestMain(m *testing.M) {
	if text := os.Getenv(workerVariable); text != "" {
		os.Exit(workerProcess(text))
	}
	// Records are synced to disk one by one; in memory that costs nothing.
	if dir, err := os.MkdirTemp("/dev/shm", "queue-test-"); err == nil {
		os.Setenv("TMPDIR", dir)
	}
	quieten()
	// By the real clock, tests mostly sleep.
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("10")
	}
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("25") // half a second each
	}
	_ = flag.Set("rapid.nofailfile", "true") // it prints what failed, and the seed
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if dir := os.Getenv("TMPDIR"); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}
