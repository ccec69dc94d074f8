package routes

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"lorikeet/routes/access"
)

// visit is one HTTP request as the log and the metrics see it. It is also the
// ResponseWriter that everything below writes to.
type visit struct {
	http.ResponseWriter
	id      string
	route   string // the path of the table; "" when nothing matched
	status  int
	bytes   int64
	written bool
	err     error
	attrs   []slog.Attr
	began   time.Time
	caller  caller                      // who asks, once that is known
	use     *access.Use                 // of the caller's key; nil: none was needed
	last    *atomic.Bool                // the service stops: no request comes after this one
	valid   func(context.Context) error // whether the key still is
	trace   trace.SpanContext           // zero: nothing is traced
}

type visitKey struct{}

func visitOf(r *http.Request) *visit { return visitIn(r.Context()) }

func visitIn(ctx context.Context) *visit {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return v
	}
	return &visit{} // a handler called in a test, without HTTP
}

// note adds to the access log line of the request that ctx belongs to.
func note(ctx context.Context, attrs ...slog.Attr) {
	v := visitIn(ctx)
	v.attrs = append(v.attrs, attrs...)
}

// writeTimeout is how long one write to the caller may take. Every write moves it
// on; a caller who stops reading is let go.
const writeTimeout = 60 * time.Second

func (v *visit) WriteHeader(status int) {
	if v.written {
		return
	}
	if status >= http.StatusOK {
		v.written, v.status = true, status
	}
	if v.last != nil && v.last.Load() {
		v.Header().Set("Connection", "close") // the next request is for another replica
	}
	v.patience()
	v.ResponseWriter.WriteHeader(status)
}

func (v *visit) Write(p []byte) (int, error) {
	if !v.written {
		v.WriteHeader(http.StatusOK)
	}
	v.patience()
	n, err := v.ResponseWriter.Write(p)
	v.bytes += int64(n)
	return n, err
}

func (v *visit) patience() {
	_ = http.NewResponseController(v.ResponseWriter).SetWriteDeadline(time.Now().Add(writeTimeout))
}

// Unwrap lets http.ResponseController reach the connection.
func (v *visit) Unwrap() http.ResponseWriter { return v.ResponseWriter }

// Flush is asked for by gin, which knows no Unwrap.
func (v *visit) Flush() {
	if !v.written {
		v.WriteHeader(http.StatusOK)
	}
	v.patience()
	_ = http.NewResponseController(v.ResponseWriter).Flush()
}

// ServeHTTP gives every request its id, its security headers, its log line and its
// place in the metrics, and turns a panic into a 500.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	v := &visit{ResponseWriter: w, id: requestID(r.Header.Get("X-Request-Id")), began: start, last: &h.draining}
	r = r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
	h.metrics.inFlight.Inc()
	defer func() {
		h.metrics.inFlight.Dec()
		h.record(v, r, time.Since(start))
	}()
	defer h.recovered(v, r)

	head := v.Header()
	head.Set("X-Request-Id", v.id)
	secure(head)
	if h.access.Local && !h.access.Required && !fromHere(r.Host) {
		h.fail(v, r, fmt.Errorf("%w: %s", errHost, brief(r.Host)))
		return
	}
	if h.cors(v, r) {
		return
	}
	if err := h.csrf.Check(r); err != nil {
		h.fail(v, r, fmt.Errorf("%w: %w", errCrossOrigin, err))
		return
	}
	h.gin.ServeHTTP(v, r)
}

// secure sets what a browser needs to be told about an API that is no web page.
// The few pages set their own policy over this one.
func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
}

// recovered is deferred around a request.
func (h *Handler) recovered(v *visit, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	v.err = fmt.Errorf("panic: %v", p)
	h.log.LogAttrs(r.Context(), slog.LevelError, "panic in a handler", append(v.traced(),
		slog.String("request_id", v.id), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))...)
	if v.written {
		panic(http.ErrAbortHandler)
	}
	fail(v, v.id, v.err)
}

// record writes the access log line and counts the request.
func (h *Handler) record(v *visit, r *http.Request, took time.Duration) {
	status := v.status
	if v.err != nil && r.Context().Err() != nil && status >= http.StatusInternalServerError {
		status = statusClientGone
	}
	if status == 0 {
		status = statusClientGone
	}
	route := v.route
	if route == "" {
		route = "other" // whatever callers make up must not become labels
	}
	h.metrics.requests.WithLabelValues(route, method(r.Method), strconv.Itoa(status)).Inc()
	h.metrics.duration.WithLabelValues(route).Observe(took.Seconds())

	level := slog.LevelInfo
	switch {
	case status >= http.StatusInternalServerError && status != http.StatusServiceUnavailable:
		level = slog.LevelError
	case route == "/livez", route == "/readyz", route == "/metrics":
		level = slog.LevelDebug // asked every few seconds, for ever
	}
	attrs := []slog.Attr{
		slog.String("request_id", v.id),
		slog.String("method", method(r.Method)),
		slog.String("path", brief(r.URL.Path)),
		slog.String("route", route),
		slog.Int("status", status),
		slog.Int64("bytes", v.bytes),
		slog.Float64("ms", float64(took.Microseconds())/1000),
		slog.String("remote", r.RemoteAddr),
	}
	if v.err != nil {
		attrs = append(attrs, slog.String("error", v.err.Error()))
	}
	attrs = append(attrs, v.traced()...)
	h.log.LogAttrs(r.Context(), level, "request", append(attrs, v.attrs...)...)
}

// method keeps the label and the log to the methods there are.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return m
	}
	return "other"
}

// validRequestID reports whether an id is safe to write into logs and headers.
func validRequestID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.', c == ':':
		default:
			return false
		}
	}
	return true
}

// requestID is the caller's id where it is valid, or a new one.
func requestID(given string) string {
	if validRequestID(given) {
		return given
	}
	var id [12]byte
	_, _ = rand.Read(id[:]) // never fails
	return "req_" + hex.EncodeToString(id[:])
}
