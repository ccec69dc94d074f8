package routes

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"lorikeet/inference"
)

// TestRequestsAreTraced asks for what there is to trace and for what there is not.
func TestRequestsAreTraced(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	s := newService(t, func(o *Options) { o.Tracing = provider })
	s.register("imdb")
	const trace = "0af7651916cd43dd8448eb211c80319c"
	parent := []string{"traceparent", "00-" + trace + "-b7ad6b7169203331-01", "X-Request-Id", "ticket-42"}

	s.want(200, "POST", "/predict", `{"model":"bert","adapter":"imdb","inputs":"a secret text"}`, parent...)
	s.want(200, "POST", "/generate", `{"model":"bert","messages":[{"role":"user","content":"hush"}]}`)
	s.engine.fail = inference.ErrBusy
	s.want(503, "POST", "/predict", `{"model":"bert","inputs":"a"}`)
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		s.want(200, "GET", path, nil)
	}
	s.want(404, "GET", "/nothing", nil)

	byName := map[string]tracetest.SpanStub{}
	var names []string
	for _, span := range spans.GetSpans() {
		names = append(names, span.Name)
		if span.Name != "POST /predict" || byName[span.Name].Name == "" { // the first
			byName[span.Name] = span
		}
		for _, a := range span.Attributes {
			if v := a.Value.Emit(); strings.Contains(v, "secret") || strings.Contains(v, "hush") {
				t.Errorf("%s tells what was in the body: %s=%s", span.Name, a.Key, v)
			}
		}
		if span.EndTime.Before(span.StartTime) || span.EndTime.Sub(span.StartTime) > time.Minute {
			t.Errorf("%s lasts from %v to %v", span.Name, span.StartTime, span.EndTime)
		}
	}
	for _, want := range []string{"POST /predict", "classify bert", "tokenize", "queue", "batch", "device", "POST /generate", "chat bert", "prefill", "decode"} {
		if !slices.Contains(names, want) {
			t.Errorf("there is no span %q among %v", want, names)
		}
	}
	for _, name := range names {
		if strings.Contains(name, "livez") || strings.Contains(name, "readyz") || strings.Contains(name, "metrics") {
			t.Errorf("%s is traced", name)
		}
	}
	if got := byName["POST /predict"].SpanContext.TraceID().String(); got != trace {
		t.Errorf("the request is part of trace %s, the caller's is %s", got, trace)
	}
	last := spans.GetSpans()[slices.IndexFunc(spans.GetSpans(), func(s tracetest.SpanStub) bool { return s.Status.Description != "" })]
	if last.Name != "classify bert" || last.Status.Code.String() != "Error" {
		t.Errorf("the failure is told by %s: %v", last.Name, last.Status)
	}

	lines := 0
	for line := range strings.Lines(s.log.String()) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) == nil && entry["request_id"] == "ticket-42" && entry["msg"] == "request" {
			lines++
			if entry["trace_id"] != trace || entry["span_id"] == nil {
				t.Errorf("the line of the log is %s", line)
			}
		}
	}
	if lines != 1 {
		t.Errorf("%d lines of the log have the request's id, want 1", lines)
	}
}

func TestWithoutTracingNothingIsTraced(t *testing.T) {
	s := newService(t, nil)
	s.want(200, "POST", "/predict", `{"model":"bert","inputs":"a"}`, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if strings.Contains(s.log.String(), "trace_id") {
		t.Errorf("the log has a trace: %s", s.log)
	}
}
