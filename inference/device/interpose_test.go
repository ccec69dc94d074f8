//go:build cgo && unix

package device

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
)

// openXLA opens the plugin for the CPU, or skips the test where there is none.
func openXLA(t *testing.T, o Options) *Device {
	t.Helper()
	d, err := Open(context.Background(), "xla:cpu", o)
	if errors.Is(err, ErrNotInstalled) || errors.Is(err, ErrNoCgo) {
		t.Skipf("no XLA plugin for the CPU: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestWhatWasCompiledIsLoaded compiles one graph four times: anew, from the cache, from a
// damaged cache, and from one whose file is whole but no program of the plugin's.
func TestWhatWasCompiledIsLoaded(t *testing.T) {
	o := FromEnv(os.Getenv)
	o.CompileCache = t.TempDir()
	d := openXLA(t, o)
	run := func() {
		t.Helper()
		exec, err := graph.NewExec(d.Backend, func(x *graph.Node) *graph.Node { return graph.AddScalar(graph.MulScalar(x, 3), 4) })
		if err != nil {
			t.Fatal(err)
		}
		defer exec.Finalize()
		if got := exec.MustCall1([]float32{1, 2}).Value().([]float32); got[0] != 7 || got[1] != 10 {
			t.Errorf("gives %v", got)
		}
	}
	counts := func(hits, misses int) {
		t.Helper()
		if h, m := interposed.cache.Stats(); h != hits || m != misses {
			t.Errorf("%d hits and %d misses, want %d and %d", h, m, hits, misses)
		}
	}
	run()
	counts(0, 1)
	run()
	counts(1, 1)
	files, err := filepath.Glob(filepath.Join(o.CompileCache, "*.program"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	if err := os.Truncate(files[0], 100); err != nil {
		t.Fatal(err)
	}
	run()
	counts(1, 2)
	run()
	counts(2, 2)
	key := filepath.Base(files[0][:len(files[0])-len(".program")])
	if err := interposed.cache.Put(key, []byte("no program of any plugin")); err != nil {
		t.Fatal(err)
	}
	run()
	counts(3, 2)
	run() // was put anew
	counts(4, 2)
}
