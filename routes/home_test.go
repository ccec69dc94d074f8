package routes

import (
	"bytes"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"lorikeet/routes/access"
	"lorikeet/routes/dashboard"
	"lorikeet/tuning/queue"
)

func TestHome(t *testing.T) {
	s := newService(t, nil)
	t.Run("a browser gets the dashboard", func(t *testing.T) {
		a := s.on(t).want(200, "GET", "/", nil, "Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
		if !bytes.Contains(a.body, []byte("/dashboard/app.js")) || a.header.Get("Vary") != "Accept" || a.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%v %.60s", a.header, a.body)
		}
		policy := a.header.Get("Content-Security-Policy")
		if policy != dashboard.Policy || strings.Contains(policy, "unsafe") || !strings.HasPrefix(policy, "default-src 'none'") {
			t.Errorf("policy %q", policy)
		}
	})
	t.Run("curl is led to the documentation", func(t *testing.T) {
		a := s.on(t).want(302, "GET", "/", nil, "Accept", "*/*")
		if a.header.Get("Location") != "/docs" || a.header.Get("Vary") != "Accept" {
			t.Errorf("%v", a.header)
		}
	})
	t.Run("every file that one names is there, and none from elsewhere", func(t *testing.T) {
		s := s.on(t)
		reference := regexp.MustCompile(`(?:src|href|from)=?\s?"(/dashboard/|\./)([^"]+)"`)
		seen := map[string]bool{}
		left := []string{"index.html"}
		for len(left) > 0 {
			name := left[0]
			left = left[1:]
			f, ok := dashboard.Open(name)
			if !ok {
				t.Fatalf("%s is not there", name)
			}
			if bytes.Contains(f.Body, []byte("https://")) && !bytes.Contains(f.Body, []byte("https://html.spec.whatwg.org")) {
				t.Errorf("%s names another site", name)
			}
			for _, wrong := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=", "localStorage"} {
				if bytes.Contains(f.Body, []byte(wrong)) {
					t.Errorf("%s has %s", name, wrong)
				}
			}
			for _, m := range reference.FindAllSubmatch(f.Body, -1) {
				if next := string(m[2]); !seen[next] {
					seen[next] = true
					left = append(left, next)
				}
			}
		}
		for _, name := range []string{"app.js", "style.css", "icon.svg", "playground.js", "sse.js"} {
			if !seen[name] {
				t.Errorf("nothing asks for %s", name)
			}
		}
		for name := range seen {
			a := s.want(200, "GET", "/dashboard/"+name, nil)
			if a.header.Get("Content-Type") == "" || a.header.Get("ETag") == "" {
				t.Errorf("%s: %v", name, a.header)
			}
			if again := s.want(304, "GET", "/dashboard/"+name, nil, "If-None-Match", a.header.Get("ETag")); len(again.body) != 0 {
				t.Errorf("%s is sent again", name)
			}
		}
	})
	for _, name := range []string{"nope.js", "index.html", "dashboard.go", "..%2fhome.go", "%00"} {
		if p := s.want(404, "GET", "/dashboard/"+name, nil).problem(); p.Code != "not_found" {
			t.Errorf("%s: %s", name, p.Code)
		}
	}
}

func TestQueueState(t *testing.T) {
	s := newService(t, nil)
	var got queueState
	s.want(200, "GET", "/tune/queue", nil).into(&got)
	if got.Classes == nil || got.Workers == nil {
		t.Errorf("%+v", got)
	}
	stats := queue.Stats{Classes: map[string]queue.ClassStats{"gpu": {Queued: 3, Running: 1, Oldest: 1500 * time.Millisecond}, "default": {}},
		Workers: []queue.WorkerStats{{ID: "b", Host: "h2", Class: "gpu", Slots: 2, Busy: 1, Seen: time.Second}, {ID: "a", Host: "h1", Class: "gpu", Slots: 1}}}
	got = queueStateOf(stats, true)
	if want := (classState{"gpu", 3, 1, 1.5, 2, 3, 1}); len(got.Classes) != 2 || got.Classes[1] != want || got.Workers[0].ID != "a" || got.Workers[1].Seen != 1 {
		t.Errorf("%+v", got)
	}
	if got = queueStateOf(stats, false); len(got.Workers) != 0 || got.Classes[1].Workers != 2 {
		t.Errorf("without administration: %+v", got)
	}
}

func TestQueueStateTakesTheScopeTune(t *testing.T) {
	s := newService(t, func(o *Options) { o.Access.Required = true })
	for scope, status := range map[access.Scope]int{access.Predict: 403, access.Tune: 200} {
		_, token, err := s.handler.access.Keys.Create(t.Context(), access.Request{Name: "k", Scope: scope})
		if err != nil {
			t.Fatal(err)
		}
		a := s.want(status, "GET", "/tune/queue", nil, "Authorization", "Bearer "+token)
		if status == 200 && !bytes.Contains(a.body, []byte(`"workers":[]`)) {
			t.Errorf("%s", a.body)
		}
	}
	r := httptest.NewRequest("GET", "/dashboard/app.js", nil) // the page itself needs no key: it asks for one
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if w.Code != 200 {
		t.Errorf("a file of the page: %d", w.Code)
	}
}
