package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.39.0"
)

// scopeName is who makes the spans of this package.
const scopeName = "lorikeet/service"

// traces sends spans where OpenTelemetry's environment variables say: to
// OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT), by OTLP over HTTP, as
// OTEL_SERVICE_NAME. Sampling, headers, certificates and batching have their standard
// variables too, which the SDK reads. It is nil, and nothing is traced, without one.
func traces(ctx context.Context, env func(string) string, log *slog.Logger) (*sdktrace.TracerProvider, error) {
	endpoint := env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if endpoint == "" {
		endpoint = env("OTEL_EXPORTER_OTLP_ENDPOINT")
	}
	if endpoint == "" || strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") || env("OTEL_TRACES_EXPORTER") == "none" {
		return nil, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if p := env(name); p != "" && p != "http/protobuf" {
			return nil, fmt.Errorf("%s is %q: traces are sent by http/protobuf alone", name, p)
		}
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName("lorikeet"), semconv.ServiceVersion(version()), semconv.ServiceInstanceID(fmt.Sprintf("%s-%d", host, os.Getpid()))),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv()) // last: what it says stands
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	otel.SetErrorHandler(seldom(log, time.Minute))
	log.Info("tracing", "endpoint", masked(endpoint))
	return sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about)), nil
}

// seldom logs the first error of each while: a collector that is away must not fill the
// log.
func seldom(log *slog.Logger, while time.Duration) otel.ErrorHandlerFunc {
	var next atomic.Int64
	return func(err error) {
		now := time.Now()
		if due := next.Load(); now.UnixNano() >= due && next.CompareAndSwap(due, now.Add(while).UnixNano()) {
			log.Warn("traces are lost", "error", err)
		}
	}
}
