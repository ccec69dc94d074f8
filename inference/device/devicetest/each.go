// Package devicetest runs a test on every compute backend this machine has: the
// Go backend always, and XLA's CPU plugin where one is installed.
//
// A process has one instance of each backend and all its tests share them, as the
// service does: loading the XLA plugin takes a moment, and its client owns a
// thread pool. Tests must not finalize them.
package devicetest

import (
	"context"
	"os"
	"sync"
	"testing"

	"github.com/gomlx/compute"

	"lorikeet/inference/device"
)

// Each runs f as the subtest "go" on the Go backend, as "xla" on XLA's CPU plugin and
// as "cuda" on an NVIDIA GPU. The others than the first are skipped, by name, where
// there is no plugin or no GPU or the build has no cgo: `go run ./service backend
// install` fetches a plugin.
func Each(t *testing.T, f func(t *testing.T, b compute.Backend)) {
	t.Helper()
	t.Run("go", func(t *testing.T) { f(t, Go(t)) })
	t.Run("xla", func(t *testing.T) { f(t, XLA(t)) })
	t.Run("cuda", func(t *testing.T) { f(t, CUDA(t)) })
}

// Go is the process's Go backend.
func Go(t testing.TB) compute.Backend {
	t.Helper()
	b, err := goBackend()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// XLA is the process's XLA backend on the CPU, or a skip that says what is missing.
func XLA(t testing.TB) compute.Backend {
	t.Helper()
	b, err := xlaBackend()
	if err != nil {
		t.Skipf("no XLA CPU plugin: %v", err)
	}
	return b
}

// CUDA is the process's XLA backend on an NVIDIA GPU, or a skip that says what is
// missing.
func CUDA(t testing.TB) compute.Backend {
	t.Helper()
	b, err := cudaBackend()
	if err != nil {
		t.Skipf("no GPU with an XLA CUDA plugin: %v", err)
	}
	return b
}

var cudaBackend = sync.OnceValues(func() (compute.Backend, error) { return open("xla:cuda") })

var goBackend = sync.OnceValues(func() (compute.Backend, error) { return open("go") })

var xlaBackend = sync.OnceValues(func() (compute.Backend, error) { return open("xla:cpu") })

// Options finds the plugins of this machine and downloads none.
func Options() device.Options { return device.FromEnv(os.Getenv) }

func open(name string) (compute.Backend, error) {
	d, err := device.Open(context.Background(), name, Options())
	if err != nil {
		return nil, err
	}
	return d.Backend, nil
}
