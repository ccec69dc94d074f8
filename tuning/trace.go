package tuning

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Trace is a W3C trace context, by the names of its headers. A job carries that of the
// request that submitted it, so that what workers do is part of the same trace, days and
// machines later.
type Trace map[string]string

// TraceOf is the trace that ctx is part of; nil when there is none.
func TraceOf(ctx context.Context) Trace {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return nil
	}
	t := Trace{}
	propagation.TraceContext{}.Inject(ctx, propagation.MapCarrier(t))
	return t
}

// Continue makes ctx part of the trace.
func (t Trace) Continue(ctx context.Context) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier(t))
}

// ID is the trace's id in hexadecimal, as logs have it; "" when there is none.
func (t Trace) ID() string {
	s := trace.SpanContextFromContext(t.Continue(context.Background()))
	if !s.HasTraceID() {
		return ""
	}
	return s.TraceID().String()
}
