package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"lorikeet/adapters"
	"lorikeet/inference"
	"lorikeet/inference/device"
	"lorikeet/routes"
	"lorikeet/tuning/datasets"
	"lorikeet/tuning/feedback"
	"lorikeet/tuning/queue"
	"lorikeet/tuning/webhooks"
)

// parts are what API and worker share.
type parts struct {
	log      *slog.Logger
	shelf    *shelf
	store    recordStore
	metrics  *prometheus.Registry
	traces   trace.TracerProvider // nil: nothing is traced
	registry *adapters.Registry
	queue    *queue.Queue
	hooks    *webhooks.Service
	place    func(adapters.Version) // puts a new variant on the device; nil where nothing is served
	prune    func()                 // lets go of what is not registered any more; nil where nothing is served
	close    []func() error
}

// open makes the shared parts.
func open(ctx context.Context, c *config) (*parts, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	p := &parts{log: c.logger(), metrics: newRegistry()}
	c.print(p.log)
	spans, err := traces(ctx, os.Getenv, p.log)
	if err != nil {
		return nil, err
	}
	if spans != nil {
		p.traces = spans
		p.close = append(p.close, func() error {
			ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer stop()
			if err := spans.Shutdown(ctx); err != nil {
				p.log.Warn("the last traces are lost", "error", err)
			}
			return nil
		})
	}
	if p.shelf, err = newShelf(c, p.log); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(c.data, "tmp"), 0o700); err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	opened, err := openStore(ctx, c, os.Getenv)
	if err != nil {
		return nil, fmt.Errorf("--store: %w", err)
	}
	counted := newMetered(opened)
	p.store = counted
	p.close = append(p.close, p.store.Close)
	if p.registry, err = adapters.OpenRegistry(ctx, p.store); err != nil {
		return nil, errors.Join(err, p.shut())
	}
	for _, err := range p.registry.Broken() {
		p.log.Error("not served", "error", err)
	}
	if c.redis == "" && strings.HasPrefix(c.store, s3Scheme) {
		p.log.Warn("no other process may use this store: its Redis is inside this one; give all of them one --redis")
	}
	p.hooks = c.webhooks(p)
	o := queue.Options{Store: p.store, Log: p.log, Register: p.register, Over: p.hooks.Over, Keep: c.keepJobs}
	if c.needsKeys() { // without keys there is one tenant, and the queue's own bound
		o.JobsPerTenant = c.jobsPerTenant
	}
	if c.redis != "" {
		client, err := queue.Connect(c.redis)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("--redis: %w", err), p.shut())
		}
		p.close = append(p.close, client.Close)
		o.Redis = client
	}
	if p.queue, err = queue.Open(ctx, o); err != nil {
		return nil, errors.Join(err, p.shut())
	}
	p.close = append(p.close, p.queue.Close)
	if err := p.measure(append(p.queue.Collectors(), counted.took)...); err != nil {
		return nil, errors.Join(err, p.shut())
	}
	p.registry.Changed = p.announce
	return p, nil
}

// shut closes what open made, last first.
func (p *parts) shut() error {
	var errs []error
	for i := len(p.close) - 1; i >= 0; i-- {
		errs = append(errs, p.close[i]())
	}
	return errors.Join(errs...)
}

// serve runs the API, and with worker also a worker, until ctx ends.
func serve(ctx context.Context, c *config, worker bool) (err error) {
	if c.jobs > 0 || c.idle > 0 {
		return errors.New("--jobs and --idle are for a worker alone: the API goes on")
	}
	p, err := open(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.shut()) }()
	guard, err := c.access(ctx, p.store)
	if err != nil {
		return err
	}
	cert, secure, err := c.tls(p)
	if err != nil {
		return err
	}
	dev, err := openDevice(ctx, c, p.log)
	if err != nil {
		return err
	}
	// The device is not closed: the process ends, and a graph may still be compiling.
	engine := inference.New(inference.Options{Backend: dev.Backend, Registry: p.registry, Log: p.log,
		Slots: c.slots, MaxRank: c.maxRank, MaxBatchTokens: c.maxBatchTokens, MaxWaiting: maxWaiting, MaxWait: c.maxWait,
		HostBytes: 1 << 30, Variants: c.variants, Packs: dev.Info().Kernels != "", Compiled: device.Trim})
	if err := p.measure(engine.Collectors()...); err != nil {
		return err
	}
	rows := datasets.New(datasets.Options{Store: p.store, Hub: &p.shelf.hub, TempDir: filepath.Join(c.data, "tmp")})
	handler, err := routes.New(routes.Options{Engine: engine, Adapters: p.registry, Sources: newFolders(c, p.shelf),
		Jobs: p.queue, Datasets: rows, Feedback: feedback.New(p.store, rows, p.log), Access: guard, Webhooks: p.hooks, Planner: &planner{engine: engine, store: p.store, maxRank: c.maxRank},
		Info: routes.Info{Name: "lorikeet", Version: version(), Go: goVersion(), GoMLX: moduleVersion("github.com/gomlx/gomlx"),
			Backend: dev.Info().String(), Started: time.Now().UTC()}, Log: p.log, Metrics: p.metrics, Tracing: p.traces, Limits: routes.Limits{TempDir: filepath.Join(c.data, "tmp")}})
	if err != nil {
		return err
	}
	if err := p.hooks.Begin(ctx); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return fmt.Errorf("--addr: %w", err)
	}
	address := map[bool]string{true: "https://", false: "http://"}[secure != nil] + listener.Addr().String()
	p.log.Info("listening", "url", address, "docs", address+"/docs", "keys", guard.Required)

	// The API drains first; then what it stands on stops.
	below, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, below := errgroup.WithContext(below)
	front, failed := context.WithCancelCause(ctx)
	context.AfterFunc(below, func() { failed(errors.New("a part of the service failed")) })
	g.Go(func() error {
		defer stop()
		return routes.Serve(front, listener, handler, routes.Serving{TLS: secure, Delay: c.drainDelay})
	})
	if cert != nil {
		g.Go(func() error { return cert.obey(below) })
	}
	g.Go(func() error { return engine.Run(below) })
	g.Go(func() error { return p.observe(below, c) })
	g.Go(func() error { return p.queue.Run(below) })
	g.Go(func() error { return p.hooks.Run(below) })
	p.place = func(v adapters.Version) { // a full fine-tune takes seconds to compile: before somebody asks
		if err := engine.Place(below, v, false); err != nil && below.Err() == nil {
			p.log.Warn("variant not placed ahead", "variant", v.String(), "error", err)
		}
	}
	p.prune = func() {
		if err := engine.Prune(below); err != nil && below.Err() == nil {
			p.log.Error("deleted adapters not let go", "error", err)
		}
	}
	g.Go(func() error { return p.refresh(below) })
	g.Go(func() error { return p.collect(below, rows) })
	g.Go(func() error { return load(front, c, p, engine) })
	if worker && c.workers > 0 {
		g.Go(func() error { return p.work(front, c, dev.Info().Backend) })
	}
	return g.Wait()
}

// maxWaiting texts may wait, however soon they are done: half of what routes takes in
// connections, so that whoever comes then can be told.
const maxWaiting = 2048

// load opens the bases, then registers the adapters that the flags name.
func load(ctx context.Context, c *config, p *parts, engine *inference.Engine) error {
	for _, name := range p.shelf.names {
		b, err := p.shelf.open(ctx, name)
		if err != nil {
			return stopping(ctx, err)
		}
		if err := engine.Load(ctx, b); err != nil {
			return stopping(ctx, err)
		}
	}
	for _, a := range c.adapters {
		if err := registerFolder(ctx, p, engine, a); err != nil {
			return stopping(ctx, err)
		}
	}
	engine.Open()
	p.log.Info("ready", "bases", strings.Join(p.shelf.names, ", "))
	return nil
}

// stopping is nil when err only says that the service was told to stop.
func stopping(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// topic is what processes announce a changed name of the registry under.
const topic = "adapters"

// refresh takes in what other processes register: when they say so, and now and then
// in case that was missed.
func (p *parts) refresh(ctx context.Context) error {
	news, stop := p.queue.Hear(topic)
	defer stop()
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	var placing sync.WaitGroup
	defer placing.Wait()
	for {
		var names []string
		select {
		case <-ctx.Done():
			return nil
		case name := <-news:
			names = changed(name, news)
		case <-tick.C:
		}
		if err := p.registry.Refresh(ctx, names...); err != nil && ctx.Err() == nil {
			p.log.Error("adapters not refreshed", "error", err)
		}
		if p.prune != nil {
			p.prune()
		}
		for _, name := range names {
			if v, err := p.registry.Resolve(ctx, name); err == nil && v.Kind == adapters.KindVariant && p.place != nil {
				placing.Go(func() { p.place(v) })
			}
		}
	}
}

// changed takes the news that has come, each name once. Without a name everything is to
// be looked at: when the queue says so, and when there was so much news that some may
// have been dropped.
func changed(name string, news <-chan string) []string {
	names := []string{name}
	for {
		select {
		case name = <-news:
			names = append(names, name)
		default:
			if len(names) >= cap(news) || slices.Contains(names, "") {
				return nil
			}
			slices.Sort(names)
			return slices.Compact(names)
		}
	}
}

// announce tells other processes that a name has changed. It is a hint: they look for
// themselves too.
func (p *parts) announce(name string) {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	if err := p.queue.Announce(ctx, topic, name); err != nil {
		p.log.Debug("change not announced", "name", name, "error", err)
	}
}

// collect removes, a day after they were written, the blobs that nothing refers to:
// what was deleted, and what half-done work left; and the jobs that ended --keep-jobs ago.
func (p *parts) collect(ctx context.Context, rows *datasets.Service) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		used, err := p.used(ctx, rows)
		if err == nil {
			var done queue.Collected
			if done, err = p.queue.Collect(ctx, func(digest string) bool { return used[digest] }, 24*time.Hour); err == nil {
				p.log.Info("collected", "blobs", done.Blobs, "bytes", done.Bytes, "jobs", done.Jobs)
			}
		}
		if err != nil && ctx.Err() == nil {
			p.log.Error("blobs not collected", "error", err)
		}
	}
}

// used lists the blobs that adapters, variants and datasets consist of.
func (p *parts) used(ctx context.Context, rows *datasets.Service) (map[string]bool, error) {
	if err := p.registry.Refresh(ctx); err != nil {
		return nil, err
	}
	if broken := p.registry.Broken(); len(broken) > 0 { // what they refer to is not known
		return nil, errors.Join(broken...)
	}
	used, err := rows.Digests(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range p.registry.List(ctx) {
		for _, v := range s.Versions {
			for _, f := range v.Files {
				used[f.Digest] = true
			}
		}
	}
	return used, nil
}

// openDevice opens the backend, downloading a plugin once where auto needs one.
func openDevice(ctx context.Context, c *config, log *slog.Logger) (*device.Device, error) {
	d, err := device.Open(ctx, c.backend, c.deviceOptions(log))
	if err != nil {
		return nil, fmt.Errorf("--backend: %w", err)
	}
	log.Info("backend", "backend", d.Info().String())
	if n := d.Backend.NumDevices(); c.devices > n {
		d.Close()
		return nil, fmt.Errorf("--devices %d: the backend has %d", c.devices, n)
	}
	return d, nil
}
