package main

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"lorikeet/inference/inferencetest"
)

// otlpReceiver takes in spans as a collector does.
type otlpReceiver struct {
	*httptest.Server
	mu       sync.Mutex
	spans    []*otlp.Span
	services map[string]bool
}

func newReceiver(t *testing.T) *otlpReceiver {
	r := &otlpReceiver{services: map[string]bool{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var sent collector.ExportTraceServiceRequest
		if err != nil || req.URL.Path != "/v1/traces" || proto.Unmarshal(body, &sent) != nil {
			t.Errorf("%s %s is no OTLP: %v", req.Method, req.URL.Path, err)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, rs := range sent.ResourceSpans {
			for _, a := range rs.Resource.Attributes {
				if a.Key == "service.name" {
					r.services[a.Value.GetStringValue()] = true
				}
			}
			for _, ss := range rs.ScopeSpans {
				r.spans = append(r.spans, ss.Spans...)
			}
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// tree gives the paths from root to leaf of one trace, and the spans by name.
func (r *otlpReceiver) tree(id string) (paths map[string]bool, byName map[string]*otlp.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	paths, byName = map[string]bool{}, map[string]*otlp.Span{}
	at := map[string]*otlp.Span{}
	for _, s := range r.spans {
		if hex.EncodeToString(s.TraceId) == id {
			at[string(s.SpanId)] = s
			byName[s.Name] = s
		}
	}
	for _, s := range at {
		path := s.Name
		for p := at[string(s.ParentSpanId)]; p != nil; p = at[string(p.ParentSpanId)] {
			path = p.Name + " > " + path
		}
		paths[path] = true
	}
	return paths, byName
}

// attributes gives those that are texts.
func attributes(s *otlp.Span) map[string]string {
	all := map[string]string{}
	if s != nil {
		for _, a := range s.Attributes {
			if v, ok := a.Value.Value.(*common.AnyValue_StringValue); ok {
				all[a.Key] = v.StringValue
			}
		}
	}
	return all
}

// traced sends JSON as part of a trace.
func (c client) traced(status int, path, trace string, body map[string]any) map[string]any {
	c.t.Helper()
	return c.with(status, "POST", path, body, "traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// TestAJobIsOneTrace submits a job to an API, has a worker of another process's making
// run it, and asks what came of it: as operators see it, in traces and in metrics.
func TestAJobIsOneTrace(t *testing.T) {
	receiver := newReceiver(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.URL)
	t.Setenv("OTEL_SERVICE_NAME", "birds")
	url, store, dir := redisServer(t), t.TempDir(), inferencetest.BERT(t)
	shared := []string{"--base", "tiny=" + dir, "--redis", url, "--store", store}
	debug := freeAddress(t)
	api, stop := launch(t, append([]string{"serve", "--data", t.TempDir(), "--debug-addr", debug}, shared...)...)

	const tune, predict = "0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c"
	set := api.upload(201, "/datasets", nil, map[string][]byte{"file": rows(48)})
	job := api.traced(202, "/tune/lora", tune, map[string]any{"model": "tiny", "name": "reviews", "dataset": map[string]any{"id": set["id"]},
		"validation": map[string]any{"split": 0.2}, "checkpoint_every_steps": 3, "hyperparameters": map[string]any{"epochs": 2, "batch_size": 8}})
	id := job["id"].(string)

	metrics := freeAddress(t)
	worker := command()
	worker.SetArgs(append([]string{"worker", "--jobs", "1", "--metrics-addr", metrics, "--backend", "go", "--log-level", "error", "--data", t.TempDir()}, shared...))
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { done <- worker.ExecuteContext(ctx) }()
	var page string // of the worker, the last before it ended
	for over := false; !over; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("the worker ends with %v", err)
			}
			over = true
		case <-time.After(20 * time.Millisecond):
			if status, body := get(t, "http://"+metrics+"/metrics"); status == http.StatusOK {
				page = body
			}
		}
	}
	if job = api.finish(id); job["status"] != "succeeded" {
		t.Fatalf("the job ends as %v", job)
	}
	lint(t, "worker", page)
	for _, want := range []string{"lorikeet_train_steps_total", `lorikeet_job_attempts_total{outcome="succeeded",type="lora"}`, "lorikeet_store_operation_duration_seconds_bucket",
		"lorikeet_redis_command_duration_seconds_bucket", "lorikeet_build_info", "process_resident_memory_bytes"} {
		if !strings.Contains(page, want) {
			t.Errorf("the worker's metrics lack %s", want)
		}
	}
	api.traced(200, "/predict", predict, map[string]any{"model": "tiny", "adapter": "reviews", "inputs": []string{"the movie was great", "the food was awful"}})
	_, page = get(t, api.url+"/metrics")
	lint(t, "API", page)
	for _, want := range []string{`lorikeet_jobs{class="default",status="queued",type="lora"} 0`, `lorikeet_job_queue_depth{class="default"} 0`, "lorikeet_queue_up 1",
		`lorikeet_adapter_cache_requests_total{result="miss",tier="device"} 1`, `lorikeet_adapter_load_duration_seconds_count{source="disk"} 1`,
		`lorikeet_adapters_resident{tier="device"} 1`, `lorikeet_adapter_slots_free{model="tiny"} 62`, "lorikeet_tokenization_duration_seconds_count 1"} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("the API's metrics lack %s", want)
		}
	}
	if status, body := get(t, "http://"+debug+"/debug/pprof/goroutine?debug=1"); status != 200 || !strings.Contains(body, "lorikeet/inference") {
		t.Errorf("profiles: %d, %.100s", status, body)
	}
	stop() // sends what is left

	paths, spans := receiver.tree(tune)
	for _, want := range []string{"POST /tune/lora", "POST /tune/lora > queue", "POST /tune/lora > attempt",
		"POST /tune/lora > attempt > training > steps", "POST /tune/lora > attempt > training > checkpoint", "POST /tune/lora > attempt > evaluating > evaluate",
		"POST /tune/lora > register"} {
		if !paths[want] {
			t.Errorf("the trace of the job lacks %q; it has %v", want, paths)
		}
	}
	if a := attributes(spans["attempt"]); a["lorikeet.job"] != id || a["lorikeet.job.type"] != "lora" || a["gen_ai.request.model"] != "tiny" {
		t.Errorf("the attempt's attributes: %v", a)
	}
	paths, spans = receiver.tree(predict)
	for _, want := range []string{"POST /predict > classify tiny > adapters", "POST /predict > classify tiny > tokenize", "POST /predict > classify tiny > queue",
		"POST /predict > classify tiny > batch > device"} {
		if !paths[want] {
			t.Errorf("the trace of the prediction lacks %q; it has %v", want, paths)
		}
	}
	a := attributes(spans["classify tiny"])
	if a["gen_ai.response.model"] != "reviews@1" || !strings.HasPrefix(a["lora.adapter.digest"], "sha256:") || a["gen_ai.operation.name"] != "classify" {
		t.Errorf("the prediction's attributes: %v", a)
	}
	if !receiver.services["birds"] || len(receiver.services) != 1 {
		t.Errorf("the services are %v", receiver.services)
	}
}

// lint asks Prometheus' own checker.
func lint(t *testing.T, whose, page string) {
	t.Helper()
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil {
		t.Errorf("%s: %v", whose, err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "lorikeet_") {
			t.Errorf("%s: %s: %s", whose, p.Metric, p.Text)
		}
	}
}

func TestTracingIsRefusedOrOff(t *testing.T) {
	log := (&config{logLevel: "error"}).logger()
	for name, env := range map[string]map[string]string{
		"nothing set": {}, "disabled": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"},
		"no exporter": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"},
	} {
		if p, err := traces(t.Context(), func(k string) string { return env[k] }, log); p != nil || err != nil {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
	if _, err := traces(t.Context(), func(k string) string { return env[k] }, log); err == nil || !strings.Contains(err.Error(), "http/protobuf") {
		t.Errorf("gRPC: %v", err)
	}
}

func TestSettingsOfOperatorsAreRefused(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--debug-addr 0.0.0.0:6060", "--debug-addr 0.0.0.0:6060 can be reached"},
		{"--debug-addr :6060", "can be reached"},
		{"--metrics-addr 127.0.0.1:8080 --addr 127.0.0.1:8080", "is --addr"},
		{"serve --jobs 1", "for a worker alone"},
		{"serve --idle 1m", "for a worker alone"},
		{"worker --redis redis://127.0.0.1:1 --jobs -1", "at least 0"},
	} {
		if _, err := run(t, append(strings.Fields(c.args), "--data", t.TempDir(), "--log-level", "error")...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestProfilesAreForThisMachineAlone(t *testing.T) {
	h := localOnly(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 6060}, debugMux())
	for host, status := range map[string]int{"127.0.0.1:6060": 200, "localhost:6060": 200, "localhost": 200, "[::1]:6060": 200, "evil.example:6060": 403, "10.0.0.1": 403} {
		r := httptest.NewRequest(http.MethodGet, "/debug/pprof/cmdline", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != status {
			t.Errorf("%s: %d, want %d", host, w.Code, status)
		}
	}
}
