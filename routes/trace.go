package routes

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/contrib/instrumentation/github.com/gin-gonic/gin/otelgin"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.39.0"
	"go.opentelemetry.io/otel/trace"

	"lorikeet/adapters"
	"lorikeet/inference"
)

// scopeName is who makes the spans of this package.
const scopeName = "lorikeet/routes"

// tracing gives every request a span, a child of the caller's where the caller sends a
// traceparent. What is asked every few seconds by machines has none.
func tracing(p trace.TracerProvider) gin.HandlerFunc {
	return otelgin.Middleware("lorikeet",
		otelgin.WithTracerProvider(p),
		otelgin.WithMeterProvider(metricnoop.NewMeterProvider()), // Prometheus has them
		otelgin.WithPropagators(propagation.TraceContext{}),
		otelgin.WithFilter(func(r *http.Request) bool {
			return r.URL.Path != "/livez" && r.URL.Path != "/readyz" && r.URL.Path != "/metrics"
		}))
}

// follow lets the log know the trace of a request, and the trace the request's id.
func (v *visit) follow(ctx context.Context) {
	span := trace.SpanFromContext(ctx)
	v.trace = span.SpanContext()
	span.SetAttributes(attribute.String("lorikeet.request_id", v.id))
}

// traced names the trace of a request in the log, where there is one.
func (v *visit) traced() []slog.Attr {
	if !v.trace.IsValid() {
		return nil
	}
	return []slog.Attr{slog.String("trace_id", v.trace.TraceID().String()), slog.String("span_id", v.trace.SpanID().String())}
}

// tracedEngine tells how a request fared with the engine in spans: on its way to a batch,
// and on the device. The engine itself measures and knows nothing of traces.
type tracedEngine struct {
	engine
	tracer trace.Tracer
}

// Names of attributes that OpenTelemetry has none for.
const (
	attrDigest  = attribute.Key("lora.adapter.digest")
	attrInputs  = attribute.Key("lorikeet.inputs")
	attrBatch   = attribute.Key("lorikeet.batch.size")
	attrSteps   = attribute.Key("lorikeet.output_tokens")
	attrFirst   = attribute.Key("gen_ai.server.time_to_first_token")
	attrPerNext = attribute.Key("gen_ai.server.time_per_output_token")
)

func (t tracedEngine) begin(ctx context.Context, operation, model string) (context.Context, trace.Span) {
	return t.tracer.Start(ctx, operation+" "+model, trace.WithAttributes(
		semconv.GenAIOperationNameKey.String(operation), semconv.GenAIProviderNameKey.String("lorikeet"), semconv.GenAIRequestModel(model)))
}

// phase is a span of the past.
func (t tracedEngine) phase(ctx context.Context, name string, from time.Time, took time.Duration, attrs ...attribute.KeyValue) context.Context {
	ctx, span := t.tracer.Start(ctx, name, trace.WithTimestamp(from), trace.WithAttributes(attrs...))
	span.End(trace.WithTimestamp(from.Add(took)))
	return ctx
}

// before shows what came from the start of a request to its place on the device, and says
// when it began to wait for that.
func (t tracedEngine) before(ctx context.Context, start, placed time.Time, tokenize, queue time.Duration) (waits time.Time) {
	waits = placed.Add(-queue)
	tokens := waits.Add(-tokenize)
	if found := tokens.Sub(start); found > 0 {
		t.phase(ctx, "adapters", start, found)
	}
	t.phase(ctx, "tokenize", tokens, tokenize)
	t.phase(ctx, "queue", waits, queue)
	return waits
}

func failed(span trace.Span, err error) {
	if errors.Is(err, context.Canceled) {
		span.SetAttributes(attribute.String("error.type", "canceled")) // the caller has left
		return
	}
	span.SetAttributes(attribute.String("error.type", classify(err).code))
	span.SetStatus(codes.Error, err.Error())
}

// used names the weights that answered.
func used(model string, ref *adapters.Ref) []attribute.KeyValue {
	if ref == nil {
		return []attribute.KeyValue{semconv.GenAIResponseModel(model)}
	}
	return []attribute.KeyValue{semconv.GenAIResponseModel(ref.String()), attrDigest.String(ref.Digest)}
}

// Predict is the engine's. Of the texts of a request that shared no batch, the spans show
// the one that waited longest.
func (t tracedEngine) Predict(ctx context.Context, r inference.Request) (inference.Answer, error) {
	ctx, span := t.begin(ctx, "classify", r.Model)
	defer span.End()
	if !span.IsRecording() {
		return t.engine.Predict(ctx, r)
	}
	start := time.Now()
	a, err := t.engine.Predict(ctx, r)
	if err != nil {
		failed(span, err)
		return a, err
	}
	end := time.Now()
	batch := end.Add(-a.Inference)
	t.before(ctx, start, batch, a.Tokenize, a.Queue)
	t.phase(t.phase(ctx, "batch", batch, a.Inference, attrBatch.Int(a.Batch)), "device", end.Add(-a.Device), a.Device)
	span.SetAttributes(semconv.GenAIUsageInputTokens(a.InputTokens), attrInputs.Int(len(r.Inputs)))
	ref := a.Variant
	for _, row := range a.Rows {
		if ref = cmp.Or(ref, row.Adapter); ref != nil {
			break // of a mixed batch the first
		}
	}
	span.SetAttributes(used(a.Model, ref)...)
	return a, nil
}

// Generate is the engine's.
func (t tracedEngine) Generate(ctx context.Context, r inference.GenerateRequest, emit func(string) error) (inference.Generated, error) {
	operation := "text_completion"
	if r.Ask != nil && len(r.Ask.Messages) > 0 {
		operation = "chat"
	}
	ctx, span := t.begin(ctx, operation, r.Model)
	defer span.End()
	if !span.IsRecording() {
		return t.engine.Generate(ctx, r, emit)
	}
	span.SetAttributes(semconv.GenAIRequestMaxTokens(r.MaxNewTokens))
	if r.Sample {
		span.SetAttributes(semconv.GenAIRequestTemperature(r.Temperature), semconv.GenAIRequestTopP(r.TopP), semconv.GenAIRequestTopK(float64(r.TopK)))
	}
	start := time.Now()
	g, err := t.engine.Generate(ctx, r, emit)
	if err != nil {
		failed(span, err)
		return g, err
	}
	end := time.Now()
	place := end.Add(-g.Inference)
	waits := t.before(ctx, start, place, g.Tokenize, g.Queue)
	batch, device := t.tracer.Start(ctx, "batch", trace.WithTimestamp(place))
	if first := waits.Add(g.First); g.First > 0 {
		t.phase(batch, "prefill", place, first.Sub(place))
		t.phase(batch, "decode", first, end.Sub(first), attrSteps.Int(g.OutputTokens))
		span.SetAttributes(attrFirst.Float64(g.First.Seconds()))
		if g.OutputTokens > 1 {
			span.SetAttributes(attrPerNext.Float64(end.Sub(first).Seconds() / float64(g.OutputTokens-1)))
		}
	}
	device.End(trace.WithTimestamp(end))
	span.SetAttributes(semconv.GenAIUsageInputTokens(g.InputTokens), semconv.GenAIUsageOutputTokens(g.OutputTokens),
		semconv.GenAIResponseFinishReasons(g.Finish))
	span.SetAttributes(used(g.Model, cmp.Or(g.Variant, g.Adapter))...)
	return g, nil
}
