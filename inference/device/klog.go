package device

import (
	"context"
	"log/slog"
	"sync"

	"k8s.io/klog/v2"
)

var klogOnce sync.Once

// routeKlog sends what GoMLX writes through klog, by default to standard error in a
// format of its own, to log instead. Klog is global and must not be set while it is in
// use: the first log of the process keeps it.
func routeKlog(log *slog.Logger) {
	klogOnce.Do(func() { klog.SetSlogLogger(slog.New(demote{log.Handler()})) })
}

// demote lowers every record by a level: what is an error inside GoMLX comes back to
// us as an error value too, and is reported there.
type demote struct{ slog.Handler }

func lower(l slog.Level) slog.Level { return l - (slog.LevelWarn - slog.LevelInfo) }

func (d demote) Enabled(ctx context.Context, l slog.Level) bool {
	return d.Handler.Enabled(ctx, lower(l))
}

func (d demote) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lower(r.Level)
	r.AddAttrs(slog.String("from", "gomlx"))
	return d.Handler.Handle(ctx, r)
}

func (d demote) WithAttrs(a []slog.Attr) slog.Handler { return demote{d.Handler.WithAttrs(a)} }

func (d demote) WithGroup(name string) slog.Handler { return demote{d.Handler.WithGroup(name)} }
