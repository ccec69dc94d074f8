// Package safetensorstest opens safetensors files for tests.
package safetensorstest

import (
	"os"
	"testing"

	"lorikeet/adapters/safetensors"
)

// Open opens a file until the test ends.
func Open(t testing.TB, path string) *safetensors.File {
	t.Helper()
	f, err := os.Open(path) // #nosec G304 -- the test names it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s, err := safetensors.Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return s
}
