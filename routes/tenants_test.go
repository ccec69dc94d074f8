package routes

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"lorikeet/adapters"
	"lorikeet/routes/access"
	"lorikeet/tuning/datasets"
)

func (s *service) importAdapter(status int, name string, header []string) answer {
	s.Helper()
	body, kind := form(s.T, "name", name, "model", "bert", adapters.ConfigFile+":"+adapters.ConfigFile, `{"peft_type":"LORA"}`,
		adapters.WeightsFile+":"+adapters.WeightsFile, "weights "+name)
	return s.want(status, "POST", "/adapters", body, append([]string{"Content-Type", kind}, header...)...)
}

func TestTenants(t *testing.T) {
	s := guarded(t, nil)
	_, acme := s.key(access.Tune, "acme")
	_, other := s.key(access.Tune, "other")
	_, admin := s.key(access.Admin, "")
	csv := []byte("text,label\na,x\nb,y\n")
	upload := func(header []string) (d datasets.Dataset) {
		s.Helper()
		s.want(201, "POST", "/datasets", csv, append([]string{"Content-Type", "text/csv"}, header...)...).into(&d)
		return d
	}
	set := upload(acme)
	if d := upload(other); d.ID == set.ID || d.Tenant != "other" {
		t.Errorf("the same file is %s and %s", set.ID, d.ID)
	}
	var made job
	s.want(202, "POST", "/tune/lora", fmt.Sprintf(`{"model":"bert","name":"imdb","dataset":{"id":%q}}`, set.ID), acme...).into(&made)
	if made.Spec.Tenant != "acme" {
		t.Errorf("the job is %q's", made.Spec.Tenant)
	}
	s.importAdapter(201, "mine", acme)

	t.Run("do not find each other's jobs and data sets", func(t *testing.T) {
		s := s.on(t)
		for _, c := range []struct{ method, path string }{
			{"GET", "/tune/jobs/" + made.ID}, {"GET", "/tune/jobs/" + made.ID + "?wait=1"}, {"GET", "/tune/jobs/" + made.ID + "/events"}, {"GET", "/tune/jobs/" + made.ID + "/metrics"},
			{"GET", "/tune/jobs/" + made.ID + "/checkpoints"}, {"POST", "/tune/jobs/" + made.ID + "/cancel"}, {"POST", "/tune/jobs/" + made.ID + "/pause"},
			{"POST", "/tune/jobs/" + made.ID + "/resume"}, {"DELETE", "/tune/jobs/" + made.ID}, {"GET", "/datasets/" + set.ID}, {"GET", "/datasets/" + set.ID + "/preview"}, {"GET", "/datasets/" + set.ID + "/doctor"}, {"GET", "/datasets/" + set.ID + "/quarantine"}, {"DELETE", "/datasets/" + set.ID},
		} {
			there := s.want(404, c.method, c.path, nil, other...).problem()
			// What is another's is told in the same words as what is nowhere.
			elsewhere := strings.NewReplacer(made.ID, "job_"+strings.Repeat("a", 20), set.ID, "ds_"+strings.Repeat("a", 20))
			nowhere := s.want(404, c.method, elsewhere.Replace(c.path), nil, other...).problem()
			if elsewhere.Replace(there.Detail) != nowhere.Detail || there.Code != nowhere.Code {
				t.Errorf("%s %s: %q and %q", c.method, c.path, there.Detail, nowhere.Detail)
			}
		}
		if a := s.do("GET", "/tune/jobs/"+made.ID+"/events", nil, append([]string{"Accept", "text/event-stream"}, other...)...); a.status != 404 {
			t.Errorf("the stream answers %d", a.status)
		}
		for _, field := range []string{"dataset", "validation"} {
			body := fmt.Sprintf(`{"model":"bert","name":"a","dataset":{"rows":[{"text":"a","label":"x"}]},%q:{"id":%q}}`, field, set.ID)
			if field == "dataset" {
				body = fmt.Sprintf(`{"model":"bert","name":"a","dataset":{"id":%q}}`, set.ID)
			}
			p := s.want(404, "POST", "/tune/lora", body, other...).problem()
			if p.Code != "dataset_not_found" || len(p.Errors) == 0 || p.Errors[0].Field != field+".id" {
				t.Errorf("tuning on it: %+v", p)
			}
		}
		for path, n := range map[string]int{"/tune/jobs": 0, "/datasets": 1} {
			var list page[json.RawMessage]
			if s.want(200, "GET", path, nil, other...).into(&list); len(list.Data) != n {
				t.Errorf("%s shows %s", path, list.Data)
			}
		}
		s.want(422, "GET", "/tune/jobs?after="+made.ID, nil, other...)
		s.want(422, "GET", "/datasets?after="+set.ID, nil, other...)
	})
	t.Run("find their own", func(t *testing.T) {
		s := s.on(t)
		s.want(200, "GET", "/tune/jobs/"+made.ID, nil, acme...)
		s.want(200, "GET", "/datasets/"+set.ID+"/preview", nil, acme...)
		_, second := s.key(access.Tune, "acme")
		s.want(200, "GET", "/tune/jobs/"+made.ID, nil, second...)
	})
	t.Run("are all the administrator's", func(t *testing.T) {
		s := s.on(t)
		s.want(200, "GET", "/tune/jobs/"+made.ID, nil, admin...)
		s.want(200, "GET", "/datasets/"+set.ID, nil, admin...)
		var list page[json.RawMessage]
		if s.want(200, "GET", "/datasets", nil, admin...).into(&list); len(list.Data) != 2 {
			t.Errorf("the administrator sees %d data sets", len(list.Data))
		}
	})
	t.Run("cannot be chosen in a body", func(t *testing.T) {
		s := s.on(t)
		for _, name := range []string{"tenant", "Tenant"} {
			p := s.want(400, "POST", "/tune/lora", tuneBody+fmt.Sprintf(`,%q:"other"}`, name), acme...).problem()
			if p.Code != "unknown_field" {
				t.Errorf("%+v", p)
			}
		}
	})
	t.Run("share idempotency keys with nobody", func(t *testing.T) {
		s := s.on(t)
		var one, two job
		s.want(202, "POST", "/tune/lora", tuneBody+"}", append([]string{"Idempotency-Key", "k"}, acme...)...).into(&one)
		a := s.want(202, "POST", "/tune/lora", strings.Replace(tuneBody, "mood", "mood2", 1)+"}", append([]string{"Idempotency-Key", "k"}, other...)...)
		if a.into(&two); one.ID == two.ID || a.header.Get("Idempotency-Replayed") != "" {
			t.Errorf("%s is given to both", one.ID)
		}
	})
	t.Run("read each other's adapters, and do not change them", func(t *testing.T) {
		s := s.on(t)
		s.want(200, "GET", "/adapters/mine", nil, other...)
		s.want(200, "POST", "/predict", `{"adapter":"mine","inputs":"a"}`, other...)
		for _, c := range []struct{ method, path, body string }{
			{"DELETE", "/adapters/mine", ""}, {"DELETE", "/adapters/mine/versions/1", ""}, {"POST", "/adapters/mine/rollback", `{"version":1}`},
			{"POST", "/tune/lora", strings.Replace(tuneBody, `"mood"`, `"mine"`, 1) + "}"},
			{"POST", "/tune/lora?dry_run=true", strings.Replace(tuneBody, `"mood"`, `"mine"`, 1) + "}"},
		} {
			var body any
			if c.body != "" {
				body = c.body
			}
			if p := s.want(403, c.method, c.path, body, other...).problem(); p.Code != "other_tenant" || p.Error.Param != "name" {
				t.Errorf("%s %s: %+v", c.method, c.path, p)
			}
		}
		s.importAdapter(403, "mine", other)
		s.importAdapter(201, "mine", acme)
		s.want(200, "POST", "/adapters/mine/rollback", `{"version":1}`, acme...)
		s.want(204, "DELETE", "/adapters/mine/versions/2", nil, admin...)
		s.want(204, "DELETE", "/adapters/mine", nil, acme...)
		s.importAdapter(201, "mine", other) // the name was given up
	})
}

func TestWhatWasMadeWithoutKeysIsTheDefaultTenants(t *testing.T) {
	s := newService(t, nil)
	set := s.upload("text,label\na,x\nb,y\n")
	j, _ := s.submit("")
	s.register("imdb")
	s.handler.access.Required = true // as a restart would
	_, key := s.key(access.Tune, "")
	_, named := s.key(access.Tune, access.DefaultTenant)
	_, acme := s.key(access.Tune, "acme")
	for _, path := range []string{"/datasets/" + set.ID, "/tune/jobs/" + j.ID} {
		s.want(200, "GET", path, nil, key...)
		s.want(200, "GET", path, nil, named...)
		s.want(404, "GET", path, nil, acme...)
	}
	s.want(403, "DELETE", "/adapters/imdb", nil, acme...)
	s.want(204, "DELETE", "/adapters/imdb", nil, named...)
}
