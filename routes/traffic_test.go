package routes

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestTraffic(t *testing.T) {
	s := newService(t, nil)
	for range 3 {
		s.register("imdb")
	}
	var now traffic
	s.want(200, "GET", "/adapters/imdb/traffic", nil).into(&now)
	if now.Active || len(now.Versions) != 0 {
		t.Errorf("unasked, it is split: %+v", now)
	}
	s.want(200, "POST", "/adapters/imdb/traffic", `{"versions":{"2":70,"3":30}}`).into(&now)
	if !now.Active || !maps.Equal(now.Versions, map[string]int{"2": 70, "3": 30}) || now.Sticky != "header" {
		t.Errorf("%+v", now)
	}
	var one adapterSeries
	s.want(200, "GET", "/adapters/imdb", nil).into(&one)
	if one.Version != 3 || one.Traffic == nil || one.Traffic.Versions["2"] != 70 {
		t.Errorf("the adapter is shown as %+v", one)
	}
	served := map[int]int{}
	for i := range 60 {
		var first, again prediction
		key := fmt.Sprint("user-", i)
		s.want(200, "POST", "/predict", `{"adapter":"imdb","inputs":"a"}`, "X-Canary-Key", key).into(&first)
		s.want(200, "POST", "/predict", `{"adapter":"imdb","inputs":"a"}`, "X-Canary-Key", key).into(&again)
		if first.Adapter.Version != again.Adapter.Version {
			t.Fatalf("%s is answered by version %d, then by %d", key, first.Adapter.Version, again.Adapter.Version)
		}
		served[first.Adapter.Version]++
	}
	if len(served) != 2 || served[2] < served[3] {
		t.Errorf("60 callers were answered by %v", served)
	}
	if m := string(s.want(200, "GET", "/metrics", nil).body); !strings.Contains(m, fmt.Sprintf(`lorikeet_version_request_duration_seconds_count{adapter="imdb",task="predict",version="2"} %d`, 2*served[2])) {
		t.Error("the versions are not measured")
	}
	for body, field := range map[string]string{
		`{"versions":{"9":1}}`: "versions.9", `{"versions":{"x":1}}`: "versions.x", `{"versions":{"02":1}}`: "versions.02", `{"versions":{}}`: "versions", `{}`: "versions",
		`{"versions":{"2":-1,"3":1}}`: "versions.2", `{"versions":{"2":1},"sticky":"cookie"}`: "sticky", `{"versions":{"2":1.5}}`: "versions.2",
	} {
		if p := s.want(422, "POST", "/adapters/imdb/traffic", body).problem(); !slices.Contains(p.fields(), field) {
			t.Errorf("%s: fields %q, want %s", body, p.fields(), field)
		}
	}
	for _, method := range []string{"GET", "DELETE"} {
		s.want(404, method, "/adapters/nothing/traffic", nil)
	}
	s.want(404, "POST", "/adapters/nothing/traffic", `{"versions":{"1":1}}`)
	s.want(204, "DELETE", "/adapters/imdb/traffic", nil)
	s.want(204, "DELETE", "/adapters/imdb/traffic", nil)
	var after prediction
	s.want(200, "POST", "/predict", `{"adapter":"imdb","inputs":"a"}`).into(&after)
	if after.Adapter.Version != 3 {
		t.Errorf("after its end version %d answers", after.Adapter.Version)
	}
	s.want(200, "POST", "/adapters/imdb/traffic", `{"versions":{"2":1}}`)
	s.want(200, "POST", "/adapters/imdb/rollback", `{"version":1}`)
	s.want(200, "GET", "/adapters/imdb/traffic", nil).into(&now)
	if now.Active {
		t.Errorf("a rollback leaves %+v", now)
	}
}

func TestTrafficBelowV1(t *testing.T) {
	s := newService(t, nil)
	for range 3 {
		s.register("imdb")
	}
	s.want(200, "POST", "/adapters/imdb/traffic", `{"versions":{"1":50,"2":50}}`)
	for path, body := range map[string]string{
		"/v1/chat/completions": `{"model":"imdb","messages":[{"role":"user","content":"a"}]}`,
		"/v1/completions":      `{"model":"imdb","prompt":"a"}`,
	} {
		served := map[string]int{}
		for i := range 40 {
			ask := func() string {
				var c struct{ Model string }
				s.want(200, "POST", path, body, "X-Canary-Key", fmt.Sprint("user-", i)).into(&c)
				return c.Model
			}
			var p prediction
			s.want(200, "POST", "/predict", `{"adapter":"imdb","inputs":"a"}`, "X-Canary-Key", fmt.Sprint("user-", i)).into(&p)
			first := ask()
			if again := ask(); again != first || first != fmt.Sprint("imdb@", p.Adapter.Version) {
				t.Fatalf("%s: user %d is answered by %s, then by %s; /predict has version %d", path, i, first, again, p.Adapter.Version)
			}
			served[first]++
		}
		if len(served) != 2 || served["imdb@3"] > 0 {
			t.Errorf("%s: 40 callers were answered by %v", path, served)
		}
	}
	var shown openaiModel
	s.want(200, "GET", "/v1/models/imdb", nil).into(&shown)
	if shown.Root != "imdb@3" {
		t.Errorf("the model is shown as %+v", shown)
	}
	var c struct{ Model string }
	s.want(200, "POST", "/v1/completions", `{"model":"imdb@3","prompt":"a"}`).into(&c)
	if c.Model != "imdb@3" {
		t.Errorf("imdb@3 is answered by %s", c.Model)
	}
}
