package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
)

// newRegistry makes the registry of a process, with what is known of any process in it.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo())
	return r
}

// buildInfo says which program the other metrics are of.
func buildInfo() prometheus.Collector {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "lorikeet_build_info", Help: "1, with the version of this program and of Go as labels."}, []string{"version", "go"})
	g.WithLabelValues(version(), goVersion()).Set(1)
	return g
}

// measure adds metrics to those of this process.
func (p *parts) measure(cs ...prometheus.Collector) error {
	var errs []error
	for _, c := range cs {
		errs = append(errs, p.metrics.Register(c))
	}
	return errors.Join(errs...)
}

// observe answers on the ports that operators use, until ctx ends: --metrics-addr, which
// asks for no key, and --debug-addr.
func (p *parts) observe(ctx context.Context, c *config) error {
	g, ctx := errgroup.WithContext(ctx)
	if c.metricsAddr != "" {
		g.Go(func() error { return side(ctx, "--metrics-addr", c.metricsAddr, p.metricsMux(), p.log) })
	}
	if c.debugAddr != "" {
		g.Go(func() error { return side(ctx, "--debug-addr", c.debugAddr, debugMux(), p.log) })
	}
	return g.Wait()
}

// metricsMux has the metrics, and for a worker, which has no other port, its health.
func (p *parts) metricsMux() http.Handler {
	m := http.NewServeMux()
	m.Handle("GET /metrics", promhttp.HandlerFor(p.metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4, EnableOpenMetrics: true}))
	m.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	m.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, stop := context.WithTimeout(r.Context(), 2*time.Second)
		defer stop()
		if err := p.queue.Ping(ctx); err != nil {
			http.Error(w, "Redis does not answer", http.StatusServiceUnavailable) // why is in the log, the address may be a secret
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	return m
}

// debugMux has Go's profiles. They show what is in memory: only this machine may ask.
func debugMux() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /debug/pprof/", pprof.Index)
	m.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	m.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	m.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	m.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	m.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return m
}

// side serves h on a port of its own until ctx ends. Nobody there is worth waiting for
// long.
func side(ctx context.Context, flag, addr string, h http.Handler, log *slog.Logger) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	server := &http.Server{Handler: localOnly(l.Addr(), h), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	log.Info("listening", "flag", flag, "url", "http://"+l.Addr().String())
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = errors.Join(server.Shutdown(end), server.Close()) // a profile may still be taken
	})
	err = server.Serve(l)
	if stop() {
		return fmt.Errorf("%s: %w", flag, err) // it was not told to end
	}
	<-stopped
	return nil
}

// localOnly refuses, on a loopback address, what a web page had this machine's browser
// ask under a name of its own (DNS rebinding).
func localOnly(at net.Addr, h http.Handler) http.Handler {
	if !loopback(at.String()) {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.Host) && !loopback(net.JoinHostPort(r.Host, "80")) {
			http.Error(w, "ask for localhost", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}
