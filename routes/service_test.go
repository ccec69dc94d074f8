package routes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/inference"
	"lorikeet/inference/arch"
	"lorikeet/inference/hub"
	"lorikeet/routes/access"
	"lorikeet/tuning"
	"lorikeet/tuning/datasets"
	"lorikeet/tuning/feedback"
	"lorikeet/tuning/queue"
	"lorikeet/tuning/train"
	"lorikeet/tuning/webhooks"
)

// fakeEngine answers as a two-label classifier that counts letters. Names are
// resolved in the real registry.
type fakeEngine struct {
	registry *adapters.Registry
	fail     error // what Predict and Place return
	ready    error
	panics   bool
	models   []inference.Model

	mu      sync.Mutex
	asked   []inference.Request
	wrote   []inference.GenerateRequest
	tiers   map[string]inference.Residency
	merged  inference.Merge
	imports func(inference.Import) error
}

var bert = inference.Model{Name: "bert", Kind: "base", Source: "hf:google-bert/bert-base-uncased", Family: "bert",
	Task: "text-classification", Labels: []string{"negative", "positive"}, Digest: "sha256:b", MaxLength: 512, Dtype: "float32"}

func (e *fakeEngine) Predict(ctx context.Context, r inference.Request) (inference.Answer, error) {
	e.mu.Lock()
	e.asked = append(e.asked, r)
	e.mu.Unlock()
	if e.panics {
		panic("graph has no output")
	}
	if e.fail != nil {
		return inference.Answer{}, e.fail
	}
	if r.Model == "nothead" {
		return inference.Answer{}, fmt.Errorf("%w: base nothead is a bare encoder", inference.ErrNoHead)
	}
	if v, err := e.registry.Resolve(ctx, r.Model); err == nil { // an adapter stands for its base with it
		r.Model, r.Adapters = v.Base, slices.Repeat([]string{v.String()}, len(r.Inputs))
	}
	if !slices.ContainsFunc(e.models, func(m inference.Model) bool { return m.Name == r.Model }) {
		return inference.Answer{}, fmt.Errorf("%w: %q; bases: bert", inference.ErrUnknownModel, r.Model)
	}
	a := inference.Answer{Model: r.Model, Queue: time.Millisecond, Inference: 2 * time.Millisecond}
	for i, in := range r.Inputs {
		row := inference.Row{Logits: []float32{0, float32(len(in.Text))}, Labels: []string{"negative", "positive"}, Problem: arch.SingleLabel, Tokens: 2}
		if r.Adapters != nil && r.Adapters[i] != "" {
			v, err := e.registry.Route(ctx, r.Adapters[i], r.Asker)
			if err != nil {
				return inference.Answer{}, err
			}
			row.Adapter = &v.Ref
			if v.Metrics["temperature"] > 0 {
				row.Temperature = v.Metrics["temperature"]
			}
		}
		a.Rows = append(a.Rows, row)
		a.InputTokens += row.Tokens
	}
	return a, nil
}

// Generate writes what it is asked for, word by word.
func (e *fakeEngine) Generate(ctx context.Context, r inference.GenerateRequest, emit func(string) error) (inference.Generated, error) {
	e.mu.Lock()
	e.wrote = append(e.wrote, r)
	e.mu.Unlock()
	if e.fail != nil {
		return inference.Generated{}, e.fail
	}
	g := inference.Generated{Model: r.Model, Text: r.Prompt, Tokens: []int32{7, 8}, Finish: inference.FinishStop, InputTokens: 5, OutputTokens: 3,
		Queue: time.Millisecond, First: 3 * time.Millisecond, Inference: 6 * time.Millisecond}
	if r.Adapter != "" {
		v, err := e.registry.Resolve(ctx, r.Adapter)
		if err != nil {
			return inference.Generated{}, err
		}
		g.Adapter = &v.Ref
	}
	for _, word := range strings.SplitAfter(r.Prompt, " ") {
		if err := ctx.Err(); err != nil {
			return inference.Generated{}, err
		}
		if emit != nil {
			if err := emit(word); err != nil {
				return inference.Generated{}, err
			}
		}
	}
	return g, nil
}

func (e *fakeEngine) Models(context.Context) ([]inference.Model, error) { return e.models, nil }
func (e *fakeEngine) Stats() inference.Stats {
	return inference.Stats{Batches: 2, Rows: 7, Tokens: 10, PaddedTokens: 16, Steps: 9, StepRows: 20, StepPadded: 36, Written: 21}
}
func (e *fakeEngine) Ready() error { return e.ready }

func (e *fakeEngine) Import(ctx context.Context, in inference.Import) (adapters.Version, error) {
	if e.imports != nil {
		if err := e.imports(in); err != nil {
			return adapters.Version{}, err
		}
	}
	config, err := e.registry.Put(ctx, bytes.NewReader(in.Config))
	if err != nil {
		return adapters.Version{}, err
	}
	weights, err := e.registry.Put(ctx, io.NewSectionReader(in.Weights, 0, in.Size))
	if err != nil {
		return adapters.Version{}, err
	}
	return e.registry.Register(ctx, adapters.Version{Ref: adapters.Ref{Name: in.Name}, Kind: "adapter", Base: in.Model, Tenant: in.Tenant,
		Files: map[string]adapters.File{adapters.ConfigFile: config, adapters.WeightsFile: weights}, CreatedAt: time.Now()})
}

func (e *fakeEngine) Merge(ctx context.Context, m inference.Merge) (adapters.Version, error) {
	e.merged = m
	for _, ref := range m.Adapters {
		if _, err := e.registry.Resolve(ctx, ref); err != nil {
			return adapters.Version{}, err
		}
	}
	return e.registry.Register(ctx, adapters.Version{Ref: adapters.Ref{Name: m.Name}, Kind: "adapter", Base: "bert", Tenant: m.Tenant, CreatedAt: time.Now()})
}

func (e *fakeEngine) Merged(context.Context, adapters.Version) (*inference.Merged, error) {
	return nil, fmt.Errorf("%w: here is none", inference.ErrWrongBase)
}

func (e *fakeEngine) Residency(_ context.Context, v adapters.Version) (inference.Residency, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r, ok := e.tiers[v.String()]; ok {
		return r, nil
	}
	return inference.Residency{Tier: "disk"}, nil
}

func (e *fakeEngine) set(v adapters.Version, r inference.Residency) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tiers[v.String()] = r
}

func (e *fakeEngine) Place(_ context.Context, v adapters.Version, pin bool) error {
	e.set(v, inference.Residency{Tier: "device", Pinned: pin})
	return e.fail
}

func (e *fakeEngine) Unpin(_ context.Context, v adapters.Version) error {
	e.set(v, inference.Residency{Tier: "device"})
	return nil
}

func (e *fakeEngine) Unload(_ context.Context, v adapters.Version) error {
	e.set(v, inference.Residency{Tier: "disk"})
	return nil
}

// fakePlanner refuses a module that no base has, and instructions: its bases write nothing.
type fakePlanner struct{}

func (fakePlanner) Check(_ context.Context, s tuning.Spec, _ datasets.Inputs) error {
	if s.LoRA != nil && strings.Contains(string(s.LoRA.TargetModules), "nowhere") {
		return invalid.Field("lora.target_modules", "the base has no module %q", "nowhere")
	}
	if s.Kind == tuning.Instruction {
		return invalid.Field("model", "%q scores texts and writes none", s.Model)
	}
	return nil
}

func (fakePlanner) Plan(_ context.Context, _ tuning.Spec, in datasets.Inputs) (train.Plan, error) {
	return train.Plan{Rows: in.Rows, ValidationRows: in.ValidationRows, Labels: in.Labels, Steps: 3}, nil
}

// folders is a source of adapters: names to folders.
type folders map[string]fs.FS

func (f folders) Open(_ context.Context, source string) (fs.FS, error) {
	if dir, ok := f[source]; ok {
		return dir, nil
	}
	return nil, fmt.Errorf("%s: %w", source, hub.ErrNotFound)
}

// service is the whole of HTTP over a real store, registry, queue and dataset
// service. Only the engine and the planner, which need a device, are fakes.
type service struct {
	*testing.T
	handler  *Handler
	document *openapi3.T
	engine   *fakeEngine
	registry *adapters.Registry
	queue    *queue.Queue
	store    *store.Dir
	log      *bytes.Buffer
}

func newService(t testing.TB, change func(*Options)) *service {
	t.Helper()
	own, _ := t.(*testing.T) // not of a fuzz test
	ctx := t.Context()
	dir, err := store.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	registry, err := adapters.OpenRegistry(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(ctx, queue.Options{Store: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	s := &service{T: own, registry: registry, queue: q, store: dir, log: &bytes.Buffer{},
		engine: &fakeEngine{registry: registry, models: []inference.Model{bert}, tiers: map[string]inference.Residency{}}}
	keys, err := access.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	rows := datasets.New(datasets.Options{Store: dir})
	o := Options{
		Engine: s.engine, Adapters: registry, Sources: folders{}, Jobs: q, Planner: fakePlanner{},
		Datasets: rows, Feedback: feedback.New(dir, rows, slog.New(slog.DiscardHandler)), Access: Access{Keys: keys}, Webhooks: webhooks.New(webhooks.Options{Store: dir, Client: http.DefaultClient, Local: true}),
		Log:    slog.New(slog.NewJSONHandler(&locked{w: s.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Limits: Limits{TempDir: t.TempDir(), Inputs: 8, JSON: 64 << 10, Dataset: 256 << 10, Adapter: 256 << 10},
	}
	if change != nil {
		change(&o)
	}
	if s.handler, err = New(o); err != nil {
		t.Fatal(err)
	}
	if s.document, err = loaded(string(s.handler.document)); err != nil {
		t.Fatal(err)
	}
	return s
}

// loaded reads the document once: it is the same in every test.
func loaded(text string) (*openapi3.T, error) {
	document.Lock()
	defer document.Unlock()
	if document.text != text {
		doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
		if err != nil {
			return nil, err
		}
		document.text, document.doc = text, doc
	}
	return document.doc, nil
}

var document struct {
	sync.Mutex
	text string
	doc  *openapi3.T
}

// on is the service in a subtest.
func (s *service) on(t *testing.T) *service {
	same := *s
	same.T = t
	return &same
}

// locked lets several requests log at once.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	t      *testing.T
}

// into decodes the body.
func (a answer) into(v any) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%v in %s", err, a.body)
	}
}

func (a answer) problem() Problem {
	a.t.Helper()
	var p Problem
	a.into(&p)
	return p
}

// fields are the names of the fields that a problem blames.
func (p Problem) fields() []string {
	var names []string
	for _, f := range p.Errors {
		names = append(names, f.Field)
	}
	return names
}

// get asks without a body, or with one that is JSON.
func (s *service) do(method, path string, body any, headers ...string) answer {
	s.Helper()
	var reader io.Reader
	kind := ""
	switch b := body.(type) {
	case nil:
	case string:
		reader, kind = strings.NewReader(b), "application/json"
	case []byte:
		reader = bytes.NewReader(b)
	case io.Reader:
		reader = b
	default:
		text, err := json.Marshal(b)
		if err != nil {
			s.Fatal(err)
		}
		reader, kind = bytes.NewReader(text), "application/json"
	}
	r := httptest.NewRequestWithContext(s.Context(), method, path, reader)
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	a := answer{w.Code, w.Header(), w.Body.Bytes(), s.T}
	s.documented(method, r.URL.Path, a)
	return a
}

// want is do, and fails unless the status is the one expected.
func (s *service) want(status int, method, path string, body any, headers ...string) answer {
	s.Helper()
	a := s.do(method, path, body, headers...)
	if a.status != status {
		s.Fatalf("%s %s: status %d, want %d: %s", method, path, a.status, status, a.body)
	}
	return a
}

// documented compares every answer of every test with the document: its status must
// be there, and its body must fit the schema.
func (s *service) documented(method, path string, a answer) {
	s.Helper()
	if a.status >= 400 && a.status != 412 && method != http.MethodHead {
		s.checkProblem(a)
	}
	op := s.operation(method, path)
	if op == nil {
		return
	}
	r := op.Responses.Status(a.status)
	if r == nil {
		s.Errorf("%s %s answers %d, which the document does not have: %s", method, path, a.status, a.body)
		return
	}
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	if len(a.body) == 0 || method == http.MethodHead {
		return
	}
	m := r.Value.Content[media]
	if m == nil {
		s.Errorf("%s %s answers %d with %q; the document has %v", method, path, a.status, media, slices.Sorted(maps.Keys(r.Value.Content)))
		return
	}
	if strings.HasSuffix(media, "json") && media != "application/x-ndjson" {
		var v any
		a.into(&v)
		if err := m.Schema.Value.VisitJSON(v, openapi3.MultiErrors()); err != nil {
			s.Errorf("%s %s answers %d with a body that its schema does not have: %v\n%s", method, path, a.status, err, a.body)
		}
	}
}

func (s *service) checkProblem(a answer) {
	s.Helper()
	p := a.problem()
	if p.Status != a.status || p.Title == "" || p.Detail == "" || p.Code == "" || p.Error.Message != p.Detail || p.Error.Code != p.Code {
		s.Errorf("not a whole problem: %s", a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		s.Errorf("a problem as %q", got)
	}
	if a.header.Get("X-Request-Id") != p.RequestID {
		s.Errorf("request id %q in the header, %q in the body", a.header.Get("X-Request-Id"), p.RequestID)
	}
	if a.status == 409 && a.header.Get("x-should-retry") != "false" {
		s.Error("a 409 that clients will send again")
	}
	if (a.status == 429 || a.status == 503) && a.header.Get("Retry-After") == "" {
		s.Errorf("a %d without Retry-After", a.status)
	}
}

// operation finds the documented operation of a concrete path.
func (s *service) operation(method, path string) *openapi3.Operation {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	parts := strings.Split(path, "/")
	var best *openapi3.Operation
	literal := -1
	for pattern, item := range s.document.Paths.Map() {
		at := strings.Split(pattern, "/")
		if len(at) != len(parts) || item.GetOperation(method) == nil {
			continue
		}
		same, fits := 0, true
		for i := range at {
			switch {
			case at[i] == parts[i]:
				same++
			case !strings.HasPrefix(at[i], "{"):
				fits = false
			}
		}
		if fits && same > literal {
			best, literal = item.GetOperation(method), same
		}
	}
	return best
}

// register puts a version into the registry.
func (s *service) register(name string) adapters.Version {
	s.Helper()
	ctx := s.Context()
	config, err := s.registry.Put(ctx, strings.NewReader(`{"peft_type":"LORA"}`))
	if err != nil {
		s.Fatal(err)
	}
	weights, err := s.registry.Put(ctx, strings.NewReader("weights of "+name+time.Now().String()))
	if err != nil {
		s.Fatal(err)
	}
	v, err := s.registry.Register(ctx, adapters.Version{Ref: adapters.Ref{Name: name}, Kind: "adapter", Base: "bert", Rank: 8,
		Targets: []string{"query"}, Labels: []string{"negative", "positive"}, Metrics: map[string]float64{"eval_accuracy": .9},
		Files:     map[string]adapters.File{adapters.ConfigFile: config, adapters.WeightsFile: weights},
		CreatedAt: time.Now()})
	if err != nil {
		s.Fatal(err)
	}
	return v
}
