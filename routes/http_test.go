package routes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lorikeet/inference"
)

func TestUnknownAddressesAndMethods(t *testing.T) {
	s := newService(t, nil)
	for _, path := range []string{"/nothing", "/predict/", "/adapters/a/b", "/tune/other", "/%2e%2e/etc/passwd", "//livez"} {
		if p := s.want(404, "GET", path, nil).problem(); p.Code != "not_found" {
			t.Errorf("%s: %s", path, p.Code)
		}
	}
	for path, allow := range map[string]string{
		"/predict": "POST", "/livez": "GET, HEAD", "/datasets": "GET, HEAD, POST", "/adapters/x": "DELETE, GET, HEAD",
	} {
		a := s.want(405, "PUT", path, nil)
		got := strings.Split(a.header.Get("Allow"), ", ")
		slices.Sort(got)
		if strings.Join(got, ", ") != allow || a.problem().Code != "method_not_allowed" {
			t.Errorf("%s allows %v, want %s", path, got, allow)
		}
	}
}

func TestBodiesThatAreNotTaken(t *testing.T) {
	s := newService(t, nil)
	big := `{"inputs":"` + strings.Repeat("a", 70<<10) + `"}`
	for name, c := range map[string]struct {
		status  int
		code    string
		body    any
		headers []string
	}{
		"curl's default type":    {415, "unsupported_media_type", []byte(`{"inputs":"a"}`), []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"XML":                    {415, "unsupported_media_type", []byte(`<a/>`), []string{"Content-Type", "text/xml"}},
		"a type that is no type": {415, "unsupported_media_type", []byte(`{}`), []string{"Content-Type", "json;;"}},
		"another charset":        {415, "unsupported_media_type", []byte(`{}`), []string{"Content-Type", "application/json; charset=latin1"}},
		"compressed":             {415, "unsupported_media_type", `{}`, []string{"Content-Encoding", "gzip"}},
		"too much":               {413, "body_too_large", big, nil},
		"too much, unannounced":  {413, "body_too_large", struct{ *strings.Reader }{strings.NewReader(big)}, nil},
		"an unknown parameter":   {400, "unknown_field", `{"inputs":"a"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			path := "/predict"
			if name == "an unknown parameter" {
				path += "?dryrun=1"
			}
			a := s.want(c.status, "POST", path, c.body, c.headers...)
			if p := a.problem(); p.Code != c.code {
				t.Errorf("code %s", p.Code)
			}
		})
	}
	t.Run("but JSON is taken under its other names", func(t *testing.T) {
		s := s.on(t)
		for _, kind := range []string{"", "application/json; charset=UTF-8", "application/vnd.api+json"} {
			s.want(200, "POST", "/predict", []byte(`{"inputs":"a"}`), "Content-Type", kind)
		}
	})
}

func TestRequestIDs(t *testing.T) {
	s := newService(t, nil)
	if got := s.do("GET", "/livez", nil, "X-Request-Id", "abc-1.2:3_4").header.Get("X-Request-Id"); got != "abc-1.2:3_4" {
		t.Errorf("not echoed: %q", got)
	}
	for _, bad := range []string{"", "a b", "a\nb", strings.Repeat("a", 129), "ä"} {
		got := s.do("GET", "/livez", nil, "X-Request-Id", bad).header.Get("X-Request-Id")
		if got == bad || !strings.HasPrefix(got, "req_") || len(got) != 28 {
			t.Errorf("%q became %q", bad, got)
		}
	}
}

func TestHeadersForBrowsers(t *testing.T) {
	s := newService(t, nil)
	h := s.do("GET", "/livez", nil).header
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Content-Type": "application/json; charset=utf-8",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	t.Run("a page of another site can change nothing", func(t *testing.T) {
		s := s.on(t)
		p := s.want(403, "POST", "/predict", `{"inputs":"a"}`, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example").problem()
		if p.Code != "cross_origin" {
			t.Error(p.Code)
		}
		s.want(200, "POST", "/predict", `{"inputs":"a"}`, "Sec-Fetch-Site", "same-origin")
		s.want(200, "GET", "/livez", nil, "Sec-Fetch-Site", "cross-site")
	})
}

func TestHealth(t *testing.T) {
	var extra error
	s := newService(t, func(o *Options) { o.Ready = func() error { return extra } })
	s.want(200, "GET", "/livez", nil)
	s.want(200, "GET", "/readyz", nil)
	s.want(200, "HEAD", "/readyz", nil)
	s.engine.ready = fmt.Errorf("%w: compiling bert", inference.ErrLoading)
	if p := s.want(503, "GET", "/readyz", nil).problem(); p.Code != "not_ready" || !strings.Contains(p.Detail, "compiling bert") {
		t.Errorf("%+v", p)
	}
	t.Run("what is not loaded yet is not called unknown", func(t *testing.T) {
		s := s.on(t)
		s.want(503, "POST", "/predict", `{"inputs":"a"}`)
		s.want(503, "POST", "/tune/lora", tuneBody+"}")
		s.want(503, "POST", "/adapters", `{"name":"a","source":"file:a"}`)
	})
	s.engine.ready, extra = nil, errors.New("no worker")
	s.want(503, "GET", "/readyz", nil)
	extra = nil
	s.handler.Drain()
	if p := s.want(503, "GET", "/readyz", nil).problem(); p.Code != "draining" {
		t.Errorf("%+v", p)
	}
	s.want(200, "GET", "/livez", nil)
}

func TestAboutTheService(t *testing.T) {
	s := newService(t, func(o *Options) { o.Info = Info{Name: "lorikeet", Version: "1", Backend: "go"} })
	var i info
	s.want(200, "GET", "/info", nil).into(&i)
	if i.Backend != "go" || i.Tasks["bert"] != inference.TaskClassification || i.Limits.NewTokens != 4096 || !slices.Equal(i.Models, []string{"bert"}) || i.Limits.Inputs != 8 {
		t.Errorf("%+v", i)
	}
	var models page[model]
	s.want(200, "GET", "/models", nil).into(&models)
	if len(models.Data) != 1 || models.Data[0].Source != bert.Source || models.LastID != "bert" {
		t.Errorf("%+v", models)
	}
	t.Run("tells what a model is for", func(t *testing.T) {
		s := s.on(t)
		s.engine.models = []inference.Model{bert, {Name: "t5", Kind: "base", Task: inference.TaskTextToText, MaxLength: 512, Templates: []string{"t5", "plain"}}}
		defer func() { s.engine.models = []inference.Model{bert} }()
		s.want(200, "GET", "/models", nil).into(&models)
		if m := models.Data[1]; m.Task != "text2text-generation" || m.MaxLength != 512 || !slices.Equal(m.Templates, []string{"t5", "plain"}) || models.Data[0].Templates != nil {
			t.Errorf("%+v", models.Data)
		}
	})
	a := s.want(302, "GET", "/", nil)
	if a.header.Get("Location") != "/docs" {
		t.Errorf("leads to %q", a.header.Get("Location"))
	}
	a = s.want(200, "GET", "/docs", nil)
	if !bytes.Contains(a.body, []byte("/openapi.json")) || bytes.Contains(a.body, []byte("https://")) ||
		!strings.Contains(a.header.Get("Content-Security-Policy"), "script-src 'sha256-") {
		t.Error("the page is not there, or wants something from elsewhere")
	}
	a = s.want(200, "GET", "/openapi.json", nil)
	var doc struct{ OpenAPI string }
	if json.Unmarshal(a.body, &doc) != nil || doc.OpenAPI != "3.0.3" {
		t.Errorf("document: %.80s", a.body)
	}
}

func TestMetrics(t *testing.T) {
	s := newService(t, nil)
	s.register("imdb")
	s.do("POST", "/predict", `{"adapter":"imdb","inputs":["a","b"]}`)
	s.do("POST", "/predict", `{"inputs":"a"}`)
	s.do("GET", "/made/up", nil)
	s.do("BREW", "/livez", nil)
	a := s.want(200, "GET", "/metrics", nil)
	for _, line := range []string{
		`lorikeet_http_requests_total{code="200",method="POST",route="/predict"} 2`,
		`lorikeet_http_requests_total{code="404",method="GET",route="other"} 1`,
		`lorikeet_http_requests_total{code="405",method="other",route="other"} 1`,
		`lorikeet_request_duration_seconds_count{adapter="imdb",task="predict"} 1`,
		`lorikeet_request_duration_seconds_count{adapter="none",task="predict"} 1`,
		`lorikeet_prompt_tokens_total 6`,
		`lorikeet_queue_wait_seconds_count 2`,
		`lorikeet_inference_duration_seconds_count 2`,
		`lorikeet_models{kind="base"} 1`,
		`lorikeet_batch_tokens_total{kind="padding"} 6`,
		`go_goroutines `,
	} {
		if !bytes.Contains(a.body, []byte(line)) {
			t.Errorf("no %q in the metrics", line)
		}
	}
}

func TestRanking(t *testing.T) {
	var dropped []string
	r := newRanking(2)
	r.dropped = func(name string) { dropped = append(dropped, name) }
	for range 10 {
		r.label("a")
	}
	for range 4 {
		r.label("b")
	}
	for i := range 6 {
		if got := r.label("c"); got != "other" {
			t.Fatalf("use %d of c is labelled %q", i, got)
		}
	}
	if got := r.label("c"); got != "c" || !slices.Equal(dropped, []string{"b"}) {
		t.Errorf("busier by half: %q, dropped %q", got, dropped)
	}
	for i := range 2 * maxCounted {
		r.label(fmt.Sprint("x", i))
	}
	if len(r.count) > maxCounted {
		t.Errorf("counts %d names", len(r.count))
	}
	if r.label("a") != "a" {
		t.Error("the busiest lost its label")
	}
}

func TestNearest(t *testing.T) {
	known := []string{"model", "adapter", "top_k", "truncate"}
	for given, want := range map[string]string{
		"mdoel": "model", "topK": "top_k", "Adapter": "adapter", "truncated": "truncate", "zebra": "", "x": "", "": "",
	} {
		if got := nearest(given, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", given, got, want)
		}
	}
}
