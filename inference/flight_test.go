package inference

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

func TestAPanicIsAnErrorOfWhoAskedForIt(t *testing.T) {
	var f flight[int]
	if _, err := f.do(t.Context(), "a", func() (int, error) { panic("oops") }); err == nil || !strings.Contains(err.Error(), "oops") {
		t.Errorf("work that panics ends with %v", err)
	}
	if v, err := f.do(t.Context(), "a", func() (int, error) { return 7, nil }); v != 7 || err != nil {
		t.Errorf("the next work gives %d, %v", v, err)
	}
	e := New(Options{Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { _ = e.Run(ctx) })
	if err := e.do(t.Context(), func() { panic("oops") }); err == nil || !strings.Contains(err.Error(), "oops") {
		t.Errorf("an order that panics ends with %v", err)
	}
	if err := e.do(t.Context(), func() {}); err != nil {
		t.Errorf("the next order ends with %v", err)
	}
	stop()
	run.Wait()
}
