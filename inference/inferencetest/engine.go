package inferencetest

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/gomlx/compute"

	"lorikeet/adapters"
	"lorikeet/adapters/store"
	"lorikeet/inference"
)

// Engine runs an engine that serves the bases, with an empty registry, until stop is
// called.
func Engine(t testing.TB, backend compute.Backend, bases ...*inference.Base) (e *inference.Engine, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s, err := store.OpenDir(t.TempDir())
	must(t, err)
	registry, err := adapters.OpenRegistry(ctx, s)
	must(t, err)
	e = inference.New(inference.Options{Backend: backend, Registry: registry, Log: slog.New(slog.DiscardHandler), Slots: 16, MaxRank: 16,
		MaxBatchTokens: 256, MaxWaiting: 100, HostBytes: 1 << 20, Variants: 1, Eager: true})
	for _, b := range bases {
		must(t, e.Load(ctx, b))
	}
	e.Open()
	var run sync.WaitGroup
	run.Go(func() { _ = e.Run(ctx) })
	return e, func() { cancel(); run.Wait(); _ = s.Close() }
}
