package routes

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"lorikeet/inference"
	"lorikeet/openapi"
)

// Info is what /info tells about the process.
type Info struct {
	Name    string    `json:"name" example:"lorikeet"`
	Version string    `json:"version" example:"0.1.0"`
	Go      string    `json:"go" example:"go1.26.5"`
	GoMLX   string    `json:"gomlx" example:"v0.28.2"`
	Backend string    `json:"backend" example:"xla:cpu"`
	Started time.Time `json:"started_at"`
} // @name ProcessInfo

// info adds the limits a caller should know.
type info struct {
	Info
	UptimeSeconds float64           `json:"uptime_seconds" example:"86.4"`
	Models        []string          `json:"models" example:"bert"`
	Tasks         map[string]string `json:"tasks"` // of each model: text-classification | text2text-generation | text-generation
	Limits        infoLimits        `json:"limits"`
} // @name Info

type infoLimits struct {
	Inputs       int   `json:"inputs" example:"256"`
	JSONBytes    int64 `json:"json_bytes" example:"33554432"`
	DatasetBytes int64 `json:"dataset_bytes" example:"4294967296"`
	AdapterBytes int64 `json:"adapter_bytes" example:"2147483648"`
	NewTokens    int   `json:"new_tokens" example:"4096"` // the highest max_new_tokens
} // @name InfoLimits

// state is the answer of the health routes.
type state struct {
	Status string `json:"status" example:"ok"`
} // @name State

// model is a base, or a variant that is on the device.
type model struct {
	Name       string      `json:"name" example:"bert"`
	Kind       string      `json:"kind" example:"base" enums:"base,variant"`
	Source     string      `json:"source" example:"hf:google-bert/bert-base-uncased"`
	Base       string      `json:"base,omitempty" example:"bert"` // of a variant
	Version    *adapterRef `json:"version,omitempty"`             // of a variant
	Family     string      `json:"family" example:"bert"`
	Task       string      `json:"task" example:"text-classification" enums:"text-classification,text2text-generation,text-generation"`
	Problem    string      `json:"problem_type,omitempty" example:"single_label_classification"`
	Labels     []string    `json:"labels" example:"negative,positive"` // empty: no head of its own
	Digest     string      `json:"digest" example:"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"`
	MaxLength  int         `json:"max_length" example:"512"` // tokens of a text; for text2text-generation of prompt and answer each, for text-generation of both together
	Parameters int64       `json:"parameters" example:"109482240"`
	Dtype      string      `json:"dtype" example:"float32"`
	Targets    []string    `json:"target_modules" example:"query,value"`          // what LoRA targets unless told otherwise
	Templates  []string    `json:"templates,omitempty" example:"plain,t5,alpaca"` // that /generate knows here; the first is used unless a request or an adapter says otherwise
	Slots      int         `json:"slots" example:"31"`                            // of rank 8, for adapters on the device
	SlotsFree  int         `json:"slots_free" example:"29"`
} // @name Model

// self answers what is asked about the service itself.
type self struct {
	handler *Handler
	engine  engine
	ready   func() error
	info    Info
}

// live tells that the process runs. It depends on nothing, so that a slow queue or
// a busy device never gets the process killed.
//
//	@Summary		Alive
//	@Description	Tells that the process runs. It depends on nothing else.
//	@ID				livez
//	@Tags			service
//	@Produce		json
//	@Success		200	{object}	state
//	@Failure		default	{object}	Problem
//	@Router			/livez [get]
func (s self) live(context.Context, none) (state, error) { return state{"ok"}, nil }

// readiness tells whether requests should be sent here.
//
//	@Summary		Ready
//	@Description	Tells whether requests should be sent here: the bases are loaded and compiled, and the service is not shutting down.
//	@ID				readyz
//	@Tags			service
//	@Produce		json
//	@Success		200	{object}	state
//	@Failure		default	{object}	Problem
//	@Router			/readyz [get]
func (s self) readiness(context.Context, none) (state, error) {
	if s.handler.draining.Load() {
		return state{}, errDraining
	}
	err := s.engine.Ready()
	if err == nil && s.ready != nil {
		err = s.ready()
	}
	if err != nil {
		return state{}, fmt.Errorf("%w: %w", errNotReady, err)
	}
	return state{"ok"}, nil
}

// about describes the process.
//
//	@Summary		About this service
//	@Description	Gives versions, backend, models, their tasks, and limits.
//	@ID				info
//	@Tags			service
//	@Produce		json
//	@Success		200	{object}	info
//	@Failure		default	{object}	Problem
//	@Router			/info [get]
func (s self) about(ctx context.Context, _ none) (info, error) {
	l := s.handler.limits
	out := info{Info: s.info, Models: []string{}, Tasks: map[string]string{},
		Limits: infoLimits{Inputs: l.Inputs, JSONBytes: l.JSON, DatasetBytes: l.Dataset, AdapterBytes: l.Adapter, NewTokens: mostNewTokens}}
	if !s.info.Started.IsZero() {
		out.UptimeSeconds = time.Since(s.info.Started).Round(time.Millisecond).Seconds()
	}
	models, err := s.engine.Models(ctx)
	for _, m := range models {
		out.Models = append(out.Models, m.Name)
		out.Tasks[m.Name] = m.Task
	}
	return out, err
}

// models lists what can be named in `model`.
//
//	@Summary		List models
//	@Description	Lists bases and variants: what each is for, how long its texts may be, and, where it writes, which templates it knows.
//	@ID				listModels
//	@Tags			adapters
//	@Produce		json
//	@Success		200	{object}	page[model]
//	@Failure		default	{object}	Problem
//	@Router			/models [get]
func (s self) models(ctx context.Context, _ none) (page[model], error) {
	found, err := s.engine.Models(ctx)
	if err != nil {
		return page[model]{}, err
	}
	var all []model
	for _, m := range found {
		all = append(all, modelOf(m))
	}
	return pageOf(all, false, func(m model) string { return m.Name }), nil
}

func modelOf(m inference.Model) model {
	return model{Name: m.Name, Kind: m.Kind, Source: m.Source, Base: m.Base, Version: refOf(m.Ref), Family: m.Family,
		Task: m.Task, Problem: m.Problem, Labels: list(m.Labels), Digest: m.Digest, MaxLength: m.MaxLength,
		Parameters: m.Parameters, Dtype: m.Dtype, Targets: list(m.Targets), Templates: m.Templates, Slots: m.Slots, SlotsFree: m.SlotsFree}
}

// document gives the OpenAPI document out.
//
//	@Summary		This document
//	@Description	The OpenAPI 3.0.3 document of this service.
//	@ID				openapi
//	@Tags			service
//	@Produce		json
//	@Success		200	{object}	object
//	@Failure		default	{object}	Problem
//	@Router			/openapi.json [get]
func (s self) document(context.Context, none) (static, error) {
	return static{kind: "application/json; charset=utf-8", body: s.handler.document}, nil
}

// docs is the page that shows the document and sends requests.
//
//	@Summary		The documentation as a page
//	@Description	A page that shows the OpenAPI document and can send requests. It needs nothing from elsewhere.
//	@ID				docs
//	@Tags			service
//	@Produce		html
//	@Success		200	{string}	string	"the page"
//	@Failure		default	{object}	Problem
//	@Router			/docs [get]
func (s self) docs(context.Context, none) (static, error) {
	return static{kind: "text/html; charset=utf-8", body: openapi.Page(), policy: openapi.PagePolicy()}, nil
}

// metrics is Prometheus' own handler.
//
//	@Summary		Metrics
//	@Description	Metrics in the text format of Prometheus.
//	@ID				metrics
//	@Tags			service
//	@Produce		plain
//	@Success		200	{string}	string	"the metrics"
//	@Failure		default	{object}	Problem
//	@Router			/metrics [get]
func (s self) metrics(context.Context, none) (passed, error) {
	return passed{promhttp.HandlerFor(s.handler.metrics.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4,
		EnableOpenMetrics:   true,
	})}, nil
}

// static is a body made at start.
type static struct {
	kind, policy string
	body         []byte
}

func (s static) write(w http.ResponseWriter, _ *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", s.kind)
	h.Set("Content-Length", fmt.Sprint(len(s.body)))
	h.Set("Cache-Control", "no-cache")
	if s.policy != "" {
		h.Set("Content-Security-Policy", s.policy)
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(s.body)
	return nil
}

// redirect is the address to go to.
type redirect string

func (to redirect) write(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Location", string(to))
	w.WriteHeader(http.StatusFound)
	return nil
}

// passed leaves the answer to a handler of someone else's.
type passed struct{ http.Handler }

func (p passed) write(w http.ResponseWriter, r *http.Request) error {
	p.ServeHTTP(w, r)
	return nil
}
