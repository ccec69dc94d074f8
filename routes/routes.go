// Package routes is HTTP in and HTTP out, and the only place that knows gin.
//
// A handler is a plain function from request to response. [handle] makes an
// endpoint of it, and one table (table.go) lists every operation; the published
// OpenAPI document is made from the comments above the handlers, and a test holds
// the two together. One list (errors.go) says which error is which status.
package routes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"lorikeet/openapi"
	"lorikeet/routes/access"
)

// Options are the parts below that HTTP speaks for. All interfaces are required.
type Options struct {
	Engine   engine   // answers predictions and knows what is loaded
	Adapters registry // the versions there are
	Sources  sources  // opens the folders that POST /adapters may name
	Jobs     jobs     // the tuning queue
	Datasets rows     // uploaded rows
	Feedback answers  // what applications learnt of answers
	Planner  planner  // says what a fine-tune would cost
	Access   Access   // who may ask
	Webhooks hooks    // who is told that jobs are over

	Info    Info                 // what /info tells
	Ready   func() error         // nil, or a further condition of /readyz
	Log     *slog.Logger         // access log and internal errors; nil: slog.Default()
	Metrics *prometheus.Registry // collects /metrics; nil: a registry of its own
	Tracing trace.TracerProvider // where spans go; nil: nothing is traced
	Limits  Limits
}

// Limits bound what one caller can take. A zero means the default.
type Limits struct {
	Inputs    int           // texts in one /predict; 256
	JSON      int64         // bytes of a JSON body; 32 MiB
	Dataset   int64         // bytes of an uploaded data set; 4 GiB
	Adapter   int64         // bytes of an uploaded adapter's weights; 2 GiB
	Stall     time.Duration // how long a body may stand still; 30 s
	Heartbeat time.Duration // between the comments that keep an event stream open; 15 s
	TempDir   string        // where uploads wait; the system's
}

func (l Limits) withDefaults() Limits {
	l.Inputs = orDefault(l.Inputs, 256)
	l.JSON = orDefault(l.JSON, 32<<20)
	l.Dataset = orDefault(l.Dataset, 4<<30)
	l.Adapter = orDefault(l.Adapter, 2<<30)
	l.Stall = orDefault(l.Stall, 30*time.Second)
	l.Heartbeat = orDefault(l.Heartbeat, 15*time.Second)
	return l
}

func orDefault[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

// Handler answers every route of the service.
type Handler struct {
	gin      *gin.Engine
	limits   Limits
	log      *slog.Logger
	metrics  *meters
	table    []operation
	document []byte
	csrf     *http.CrossOriginProtection
	access   Access
	limiter  *access.Limiter
	ends     *ends // of pages

	drained  context.Context // ends when Drain is called
	drain    context.CancelFunc
	closing  context.Context // ends shortly before connections are cut
	hurry    context.CancelFunc
	draining atomic.Bool
}

// New builds the handler. It fails only when the embedded OpenAPI document is
// broken or a part is missing.
func New(o Options) (*Handler, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Tracing != nil {
		o.Engine = tracedEngine{o.Engine, o.Tracing.Tracer(scopeName)}
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	m, err := newMeters(o.Metrics, o.Jobs, o.Engine, o.Webhooks)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	m.splits = func(name string) bool { _, splits := o.Adapters.Splits(name); return splits }
	h := &Handler{
		limits:  o.Limits.withDefaults(),
		log:     o.Log,
		metrics: m,
		csrf:    http.NewCrossOriginProtection(),
		access:  o.Access,
		ends:    newEnds(),
		limiter: access.NewLimiter(access.Limits{Rate: o.Access.Rate, InFlight: keyInFlight, LongLived: keyStreams}),
	}
	for _, origin := range o.Access.Origins {
		if err := h.csrf.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("origin %q: %w", origin, err)
		}
	}
	h.drained, h.drain = context.WithCancel(context.Background())
	h.closing, h.hurry = context.WithCancel(context.Background()) //nolint:gosec // called when the drain is over
	h.table = h.operations(o.owned())
	scopes := map[string]string{}
	for _, op := range h.table {
		scopes[op.method+" "+op.path] = string(op.scope)
	}
	if h.document, err = openapi.JSON(scopes); err != nil {
		return nil, fmt.Errorf("openapi document: %w", err)
	}
	h.gin = h.router(o.Tracing)
	return h, nil
}

func (o Options) complete() error {
	var missing []error
	for name, absent := range map[string]bool{
		"Engine": o.Engine == nil, "Adapters": o.Adapters == nil, "Sources": o.Sources == nil,
		"Jobs": o.Jobs == nil, "Datasets": o.Datasets == nil, "Feedback": o.Feedback == nil, "Planner": o.Planner == nil, "Access.Keys": o.Access.Keys == nil, "Webhooks": o.Webhooks == nil,
	} {
		if absent {
			missing = append(missing, fmt.Errorf("routes: Options.%s is missing", name))
		}
	}
	return errors.Join(missing...)
}

// router puts the table into gin. Gin is left to route and nothing else: reading,
// writing, logging and recovering are done here, the same for every route.
func (h *Handler) router(traces trace.TracerProvider) *gin.Engine {
	gin.SetMode(gin.ReleaseMode) // else gin prints its routes
	g := gin.New()
	g.HandleMethodNotAllowed = true
	g.RedirectTrailingSlash = false
	if traces != nil {
		_ = g.SetTrustedProxies(nil) // what a caller says of its address is not passed on
		g.Use(tracing(traces))
	}
	for _, o := range h.table {
		run := func(c *gin.Context) {
			v := visitOf(c.Request)
			v.route = o.path
			if traces != nil {
				v.follow(c.Request.Context())
			}
			o.serve(h, c)
		}
		g.Handle(o.method, ginPath(o.path), run)
		if o.method == http.MethodGet {
			g.Handle(http.MethodHead, ginPath(o.path), run) // net/http leaves the body out
		}
	}
	g.NoRoute(func(c *gin.Context) {
		h.fail(c.Writer, c.Request, fmt.Errorf("%w: %s; see /docs for what there is", errNoRoute, brief(c.Request.URL.Path)))
	})
	g.NoMethod(func(c *gin.Context) {
		h.fail(c.Writer, c.Request, fmt.Errorf("%w: %s; it takes %s", errNoMethod, brief(c.Request.Method), c.Writer.Header().Get("Allow")))
	})
	return g
}

// Drain makes /readyz answer 503 and ends what would otherwise stay open: the events of
// jobs, and waits. Requests in flight are left to finish. It may be called more
// than once. Call it before http.Server.Shutdown, which waits for open streams.
func (h *Handler) Drain() {
	h.draining.Store(true)
	h.drain()
}

// until is ctx, ended early with the cause errDraining when signal ends.
func until(ctx, signal context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(signal, func() { cancel(errDraining) })
	return ctx, func() { stop(); cancel(nil) }
}

// fail answers with a problem, and remembers the cause for the log.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	v := visitOf(r)
	err = v.spoken(err)
	v.err = err
	if v.written {
		// Half an answer is out. Break the connection, so that the caller sees that it
		// is not whole.
		panic(http.ErrAbortHandler)
	}
	fail(w, v.id, err)
}
