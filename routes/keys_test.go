package routes

import (
	"bufio"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lorikeet/adapters/store"
	"lorikeet/routes/access"
	"lorikeet/tuning/queue"
)

func TestKeys(t *testing.T) {
	s := guarded(t, nil)
	_, admin := s.key(access.Admin, "")
	a := s.want(201, "POST", "/keys", `{"name":"ci","scope":"tune","tenant":"acme","expires_at":"2099-01-01T00:00:00Z"}`, admin...)
	var made createdKey
	a.into(&made)
	if !strings.HasPrefix(made.Key, "lk_") || made.Tenant != "acme" || made.Scope != "tune" || !made.Active || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s", a.body)
	}
	list := s.want(200, "GET", "/keys", nil, admin...)
	if strings.Contains(string(list.body), strings.Split(made.Key, "_")[2]) || strings.Contains(string(list.body), "hash") || !strings.Contains(string(list.body), made.ID) {
		t.Errorf("the list shows %s", list.body)
	}
	s.want(204, "DELETE", "/keys/"+made.ID, nil, admin...)
	s.want(204, "DELETE", "/keys/"+made.ID, nil, admin...)
	var all page[apiKey]
	s.want(200, "GET", "/keys?limit=1", nil, admin...).into(&all)
	if !all.HasMore || len(all.Data) != 1 {
		t.Errorf("%+v", all)
	}
	s.want(404, "DELETE", "/keys/key_aaaaaaaaaaaaaaaaaaaa", nil, admin...)
	s.want(404, "DELETE", "/keys/..%2f..%2fadapters", nil, admin...)
	for body, field := range map[string]string{
		`{}`: "scope", `{"scope":"root"}`: "scope", `{"scope":"tune","tenant":"A"}`: "tenant", `{"scope":"tune","name":"\u0000"}`: "name",
		`{"scope":"tune","expires_at":"2001-01-01T00:00:00Z"}`: "expires_at", `{"scope":"tune","expires_at":"soon"}`: "expires_at",
	} {
		if p := s.want(422, "POST", "/keys", body, admin...).problem(); !slices.Equal(p.fields(), []string{field}) {
			t.Errorf("%s: %+v", body, p)
		}
	}
	s.want(413, "POST", "/keys", `{"name":"`+strings.Repeat("a", small)+`"}`, admin...)
}

// lines are the lines of the log with this message.
func (s *service) lines(message string) (found []map[string]any) {
	s.Helper()
	for in := bufio.NewScanner(strings.NewReader(s.log.String())); in.Scan(); {
		var line map[string]any
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			s.Fatal(err)
		}
		if line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}

func TestEveryChangeIsInTheAuditLog(t *testing.T) {
	s := guarded(t, nil)
	id, admin := s.key(access.Admin, "ops")
	tuner, acme := s.key(access.Tune, "acme")
	steps := []struct {
		do     func() answer
		action string
		want   map[string]any
	}{
		{func() answer { return s.want(201, "POST", "/keys", `{"scope":"predict"}`, admin...) }, "POST /keys", map[string]any{"key": id, "tenant": "ops", "result": "ok", "made_scope": "predict", "made_for": "default"}},
		{func() answer {
			return s.want(201, "POST", "/datasets", []byte("text,label\nhush,x\nb,y\n"), append([]string{"Content-Type", "text/csv"}, acme...)...)
		}, "POST /datasets", map[string]any{"key": tuner, "tenant": "acme", "result": "ok"}},
		{func() answer { return s.want(202, "POST", "/tune/lora", tuneBody+"}", acme...) }, "POST /tune/lora", map[string]any{"tenant": "acme", "result": "ok"}},
		{func() answer { return s.importAdapter(201, "mine", acme) }, "POST /adapters", map[string]any{"adapter": "mine@1", "result": "ok"}},
		{func() answer { return s.want(403, "DELETE", "/keys/"+id, nil, acme...) }, "DELETE /keys/{id}", map[string]any{"key": tuner, "object": "/keys/" + id, "result": "insufficient_scope"}},
		{func() answer { return s.want(401, "DELETE", "/adapters/mine", nil) }, "DELETE /adapters/{name}", map[string]any{"key": "", "result": "missing_api_key"}},
		{func() answer { return s.want(204, "DELETE", "/adapters/mine", nil, acme...) }, "DELETE /adapters/{name}", map[string]any{"object": "/adapters/mine", "result": "ok"}},
	}
	for i, step := range steps {
		a := step.do()
		lines := s.lines("audit")
		if len(lines) != i+1 {
			t.Fatalf("%s: %d lines, want %d", step.action, len(lines), i+1)
		}
		line := lines[i]
		if line["action"] != step.action || line["request_id"] != a.header.Get("X-Request-Id") {
			t.Errorf("%s: %v", step.action, line)
		}
		for k, v := range step.want {
			if line[k] != v {
				t.Errorf("%s: %s is %v, want %v", step.action, k, line[k], v)
			}
		}
	}
	t.Run("and nothing else is", func(t *testing.T) {
		s := s.on(t)
		s.want(200, "POST", "/predict", `{"inputs":"a whisper"}`, acme...)
		s.want(200, "POST", "/tune/lora?dry_run=true", tuneBody+"}", acme...)
		s.want(200, "GET", "/keys", nil, admin...)
		if n := len(s.lines("audit")); n != len(steps) {
			t.Errorf("%d lines", n)
		}
	})
	t.Run("and no secret or text is in any log", func(t *testing.T) {
		for _, word := range []string{strings.Split(admin[1], "_")[2], strings.Split(acme[1], "_")[2], "hush", "whisper", "poor"} {
			if strings.Contains(s.log.String(), word) {
				t.Errorf("the log holds %q", word)
			}
		}
	})
}

func TestATenantHasSoManyJobs(t *testing.T) {
	s := guarded(t, func(o *Options) {
		dir, err := store.OpenDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = dir.Close() })
		q, err := queue.Open(t.Context(), queue.Options{Store: dir, JobsPerTenant: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = q.Close() })
		o.Jobs = q
	})
	_, acme := s.key(access.Tune, "acme")
	_, other := s.key(access.Tune, "other")
	s.want(202, "POST", "/tune/lora", tuneBody+"}", acme...)
	a := s.want(429, "POST", "/tune/lora", tuneBody+"}", acme...)
	if a.problem().Code != "job_quota" || a.header.Get("Retry-After") != "30" {
		t.Errorf("%q, %s", a.header.Get("Retry-After"), a.body)
	}
	s.want(200, "POST", "/tune/lora?dry_run=true", tuneBody+"}", acme...)
	s.want(202, "POST", "/tune/lora", tuneBody+"}", other...)
}

func TestBombs(t *testing.T) {
	s := newService(t, func(o *Options) { o.Limits.JSON = 8 << 20 })
	for name, c := range map[string]struct {
		status int
		body   string
	}{
		"deep lists":            {400, `{"inputs":` + strings.Repeat("[", 1<<20)},
		"deep lists, closed":    {400, `{"inputs":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`},
		"deep objects":          {400, strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000)},
		"a list of nothing":     {422, `{"inputs":[` + strings.Repeat("[],", 1<<20) + `[]]}`},
		"a list of no texts":    {422, `{"inputs":[` + strings.Repeat(`"",`, 1<<20) + `""]}`},
		"many unknown fields":   {400, `{` + manyFields(400_000) + `}`},
		"a number without end":  {422, `{"inputs":"a","top_k":` + strings.Repeat("9", 1<<20) + `}`},
		"an exponent":           {422, `{"inputs":"a","top_k":1e999999999}`},
		"a name without end":    {400, `{"` + strings.Repeat("a", 1<<20) + `":1}`},
		"an adapter's long tag": {422, `{"inputs":"a","adapter":"` + strings.Repeat("a", 1<<20) + `"}`},
	} {
		a := s.want(c.status, "POST", "/predict", c.body)
		if len(a.body) > 128<<10 {
			t.Errorf("%s: the answer has %d bytes", name, len(a.body))
		}
	}
	t.Run("in what is free-form", func(t *testing.T) {
		s := s.on(t)
		for name, metadata := range map[string]string{"a list": "[" + strings.Repeat("[],", mostFree) + "[]]", "fields": "0," + manyFields(mostFree+1)} {
			body := strings.Replace(tuneBody, `{"who":"me"}`, `{"who":`+metadata+`}`, 1) + "}"
			if p := s.want(422, "POST", "/tune/lora", body).problem(); !strings.HasPrefix(p.Errors[0].Field, "metadata.") {
				t.Errorf("%s: %+v", name, p.Errors)
			}
		}
	})
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"f%d":0`, i)
	}
	return b.String()
}
