package routes

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lorikeet/tuning"
	"lorikeet/tuning/queue"
	"lorikeet/tuning/train"
)

// A request with rows of its own.
const tuneBody = `{"model":"bert","name":"mood","dataset":{"rows":[
	{"text":"good","label":"positive"},{"text":"bad","label":"negative"},{"text":"fine","label":"positive"},{"text":"poor","label":"negative"}]},
	"hyperparameters":{"epochs":1,"dropout":null},"lora":{"r":4,"target_modules":["query","value"]},"metadata":{"who":"me"}`

func (s *service) submit(extra string, headers ...string) (job, answer) {
	s.Helper()
	a := s.want(202, "POST", "/tune/lora", tuneBody+extra+"}", headers...)
	var j job
	a.into(&j)
	return j, a
}

func TestTuneTakesAJob(t *testing.T) {
	s := newService(t, nil)
	j, a := s.submit(`,"validation":{"split":0.25}`)
	if j.Status != tuning.Queued || j.Kind != tuning.LoRA || a.header.Get("Location") != "/tune/jobs/"+j.ID {
		t.Errorf("%s at %q", a.body, a.header.Get("Location"))
	}
	if j.Hyperparameters == nil || *j.Hyperparameters.Epochs != 1 || *j.Hyperparameters.BatchSize != 16 {
		t.Errorf("hyperparameters %+v", j.Hyperparameters)
	}
	if strings.Contains(string(a.body), "poor") {
		t.Errorf("the rows come back: %s", a.body)
	}
	t.Run("once for one idempotency key", func(t *testing.T) {
		s := s.on(t)
		first, _ := s.submit("", "Idempotency-Key", "k1")
		again, a := s.submit("", "Idempotency-Key", "k1")
		field, _ := s.submit(`,"idempotency_key":"k1"`)
		if first.ID != again.ID || first.ID != field.ID || a.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s, %s, %s", first.ID, again.ID, field.ID)
		}
		p := s.want(409, "POST", "/tune/lora", tuneBody+`,"priority":1}`, "Idempotency-Key", "k1").problem()
		if p.Code != "idempotency_conflict" {
			t.Errorf("%+v", p)
		}
	})
	t.Run("of an uploaded data set", func(t *testing.T) {
		s := s.on(t)
		set := s.upload("text,label\na,x\nb,y\n")
		s.want(202, "POST", "/tune/full", fmt.Sprintf(`{"model":"bert","name":"mood","dataset":{"id":%q}}`, set.ID))
	})
	t.Run("or says what it would cost", func(t *testing.T) {
		s := s.on(t)
		before := len(s.jobs("").Data)
		var p train.Plan
		s.want(200, "POST", "/tune/lora?dry_run=true", tuneBody+`,"validation":{"split":0.5}}`).into(&p)
		if p.Rows != 2 || p.ValidationRows != 2 || !slices.Equal(p.Labels, []string{"negative", "positive"}) {
			t.Errorf("%+v", p)
		}
		if after := len(s.jobs("").Data); after != before {
			t.Errorf("a dry run made a job")
		}
	})
}

func TestTuneRefuses(t *testing.T) {
	s := newService(t, nil)
	rows := `"dataset":{"rows":[{"text":"a","label":"x"},{"text":"b","label":"y"}]}`
	for name, c := range map[string]struct {
		status int
		code   string
		fields []string
		path   string
		body   string
	}{
		"everything wrong at once": {422, "invalid", []string{"model", "name", "dataset", "hyperparameters.batch_size", "lora.r"}, "/tune/lora",
			`{"hyperparameters":{"batch_size":0},"lora":{"r":0}}`},
		"an unknown field deep inside":             {400, "unknown_field", []string{"hyperparameters.lr"}, "/tune/lora", `{"hyperparameters":{"lr":1}}`},
		"wrong types":                              {422, "invalid", []string{"hyperparameters.epochs", "lora.modules_to_save"}, "/tune/lora", `{"hyperparameters":{"epochs":"3"},"lora":{"modules_to_save":"classifier"}}`},
		"another kind than the path's":             {422, "invalid", []string{"kind"}, "/tune/full", `{"kind":"lora","model":"bert","name":"a",` + rows + `}`},
		"instructions for a base that only scores": {422, "invalid", []string{"model"}, "/tune/instruction", `{"model":"bert","name":"a",` + rows + `}`},
		"an unknown template":                      {422, "invalid", []string{"template"}, "/tune/instruction", `{"model":"bert","name":"a","template":"vicuna",` + rows + `}`},
		"two different keys":                       {422, "invalid", []string{"idempotency_key"}, "/tune/lora", `{"idempotency_key":"a","model":"bert","name":"a",` + rows + `}`},
		"an unknown base":                          {404, "model_not_found", []string{"model"}, "/tune/lora", `{"model":"gpt","name":"a",` + rows + `}`},
		"an unknown data set":                      {404, "dataset_not_found", []string{"dataset.id"}, "/tune/lora", `{"model":"bert","name":"a","dataset":{"id":"ds_00000000000000000000"}}`},
		"bad rows":                                 {422, "invalid", []string{"dataset.rows[1].label"}, "/tune/lora", `{"model":"bert","name":"a","dataset":{"rows":[{"text":"a","label":"x"},{"text":"b"}]}}`},
		"a label never trained on":                 {422, "invalid", []string{"validation"}, "/tune/lora", `{"model":"bert","name":"a",` + rows + `,"validation":{"rows":[{"text":"a","label":"x"},{"text":"b","label":"z"}]}}`},
		"what the base cannot learn":               {422, "invalid", []string{"lora.target_modules"}, "/tune/lora", `{"model":"bert","name":"a",` + rows + `,"lora":{"target_modules":["nowhere"]}}`},
		"a misspelt dry run":                       {400, "unknown_field", []string{"dryrun"}, "/tune/lora?dryrun=true", `{"model":"bert","name":"a",` + rows + `}`},
		"a dry run of perhaps":                     {422, "invalid", []string{"dry_run"}, "/tune/lora?dry_run=perhaps", `{"model":"bert","name":"a",` + rows + `}`},
		"an instruction tune by halves": {422, "invalid", []string{"method", "source_lang", "hyperparameters.max_target_length", "evaluate.generate_rows"}, "/tune/instruction",
			`{"model":"bert","name":"a","method":"prefix","source_lang":"English","hyperparameters":{"max_target_length":1},"evaluate":{"generate_rows":-1},` + rows + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			p := s.want(c.status, "POST", c.path, c.body, "Idempotency-Key", "b").problem()
			if p.Code != c.code || !slices.Equal(p.fields(), c.fields) {
				t.Errorf("code %s, fields %q; want %s, %q: %s", p.Code, p.fields(), c.code, c.fields, p.Detail)
			}
		})
	}
	if n := len(s.jobs("").Data); n != 0 {
		t.Errorf("%d jobs were made", n)
	}
}

// refusing is a queue that takes no more.
type refusing struct{ jobs }

func (refusing) Stats(context.Context) (queue.Stats, error) {
	return queue.Stats{Classes: map[string]queue.ClassStats{"gpu": {Queued: 3, Running: 1, Oldest: time.Minute,
		Kinds: map[tuning.Kind]queue.KindStats{tuning.LoRA: {Queued: 3, Running: 1}}}},
		Workers: []queue.WorkerStats{{ID: "w1", Class: "gpu", Slots: 2, Busy: 1, Seen: 5 * time.Second}}}, nil
}

func (refusing) Submit(context.Context, tuning.Spec, queue.Inputs) (tuning.Job, bool, error) {
	return tuning.Job{}, false, tuning.ErrFull
}

func TestQueueFull(t *testing.T) {
	s := newService(t, func(o *Options) { o.Jobs = refusing{o.Jobs} })
	p := s.want(429, "POST", "/tune/lora", tuneBody+"}").problem()
	if p.Code != "queue_full" || p.Error.Type != "rate_limit_error" {
		t.Errorf("%+v", p)
	}
	a := s.want(200, "GET", "/metrics", nil)
	for _, line := range []string{
		`lorikeet_jobs{class="gpu",status="queued",type="lora"} 3`, `lorikeet_jobs{class="gpu",status="running",type="lora"} 1`, `lorikeet_jobs{class="gpu",status="queued",type="full"} 0`, `lorikeet_job_queue_depth{class="gpu"} 3`,
		`lorikeet_job_queue_oldest_seconds{class="gpu"} 60`, `lorikeet_worker_last_heartbeat_seconds{class="gpu",worker="w1"} 5`,
		`lorikeet_worker_slots{class="gpu",worker="w1"} 2`, `lorikeet_worker_busy{class="gpu",worker="w1"} 1`,
	} {
		if !strings.Contains(string(a.body), line) {
			t.Errorf("no %q in the metrics", line)
		}
	}
}

func (s *service) jobs(query string) page[job] {
	s.Helper()
	var p page[job]
	s.want(200, "GET", "/tune/jobs"+query, nil).into(&p)
	return p
}

func TestJobs(t *testing.T) {
	s := newService(t, nil)
	var ids []string
	for range 3 {
		j, _ := s.submit("")
		ids = append(ids, j.ID)
	}
	slices.Reverse(ids) // the newest first
	t.Run("are listed in pages", func(t *testing.T) {
		s := s.on(t)
		first := s.jobs("?limit=2")
		if len(first.Data) != 2 || !first.HasMore || first.FirstID != ids[0] || first.LastID != ids[1] {
			t.Errorf("%+v", first)
		}
		rest := s.jobs("?limit=2&after=" + first.LastID)
		if len(rest.Data) != 1 || rest.HasMore || rest.Data[0].ID != ids[2] {
			t.Errorf("%+v", rest)
		}
		if n := len(s.jobs("?status=succeeded").Data); n != 0 {
			t.Errorf("%d jobs have succeeded", n)
		}
	})
	t.Run("are not listed by what does not exist", func(t *testing.T) {
		s := s.on(t)
		for query, field := range map[string]string{"limit=0x": "limit", "limit=0": "limit", "limit=": "limit", "limit=101": "limit", "status=done": "status", "after=job_x": "after", "limit=1&limit=2": "limit"} {
			if p := s.want(422, "GET", "/tune/jobs?"+query, nil).problem(); !slices.Contains(p.fields(), field) {
				t.Errorf("%s: %+v", query, p)
			}
		}
	})
	path := "/tune/jobs/" + ids[0]
	t.Run("are shown, waited for, paused, resumed and cancelled", func(t *testing.T) {
		s := s.on(t)
		s.want(200, "GET", path, nil)
		start := time.Now()
		s.want(200, "GET", path+"?wait=1", nil)
		if took := time.Since(start); took < 900*time.Millisecond {
			t.Errorf("waited %v", took)
		}
		var j job
		s.want(200, "POST", path+"/pause", nil).into(&j)
		if j.Status != tuning.Paused {
			t.Errorf("status %s after a pause", j.Status)
		}
		s.want(200, "POST", path+"/resume", nil).into(&j)
		if j.Status != tuning.Queued {
			t.Errorf("status %s after a resume", j.Status)
		}
		s.want(200, "POST", path+"/cancel", nil).into(&j)
		if j.Status != tuning.Cancelled {
			t.Errorf("status %s after a cancel", j.Status)
		}
		for _, what := range []string{"cancel", "pause", "resume"} {
			if p := s.want(409, "POST", path+"/"+what, nil).problem(); p.Code != "job_over" {
				t.Errorf("%s of what is over: %s", what, p.Code)
			}
		}
		if p := s.want(409, "POST", "/tune/jobs/"+ids[1]+"/resume", nil).problem(); p.Code != "job_state" {
			t.Errorf("resume of what never paused: %s", p.Code)
		}
	})
	t.Run("have events, curves and checkpoints", func(t *testing.T) {
		s := s.on(t)
		var events page[tuning.Event]
		s.want(200, "GET", path+"/events?limit=1", nil).into(&events)
		if len(events.Data) != 1 || !events.HasMore || events.Data[0].Type != "status" {
			t.Errorf("%+v", events)
		}
		s.want(200, "GET", path+"/events?after="+events.LastID, nil).into(&events)
		if events.HasMore || len(events.Data) == 0 {
			t.Errorf("%+v", events)
		}
		s.want(200, "GET", path+"/metrics", nil)
		s.want(200, "GET", path+"/checkpoints", nil)
		s.want(422, "GET", path+"/events?after=nonsense", nil)
		s.want(422, "GET", path+"?wait=-1", nil)
		s.want(422, "GET", path+"?wait=9999", nil)
	})
	t.Run("are deleted when they are over", func(t *testing.T) {
		s := s.on(t)
		waiting := "/tune/jobs/" + ids[1]
		if p := s.want(409, "DELETE", waiting, nil).problem(); p.Code != "job_state" || !strings.Contains(p.Detail, "cancel it first") {
			t.Errorf("of one that waits: %+v", p)
		}
		s.want(204, "DELETE", path, nil)
		for _, where := range []string{path, path + "/events", "/v1/fine_tuning/jobs/" + ids[0]} {
			s.want(404, "GET", where, nil)
		}
		s.want(404, "DELETE", path, nil)
		if left := s.jobs(""); len(left.Data) != 2 || left.Data[0].ID != ids[1] {
			t.Errorf("listed: %+v", left.Data)
		}
		made, _ := s.submit("", "Idempotency-Key", "once")
		s.want(200, "POST", "/tune/jobs/"+made.ID+"/cancel", nil)
		s.want(204, "DELETE", "/tune/jobs/"+made.ID, nil)
		body := `{"model":"bert","name":"imdb","dataset":{"rows":[{"text":"a","label":"x"},{"text":"b","label":"y"}]}}`
		if p := s.want(409, "POST", "/tune/lora", body, "Idempotency-Key", "once").problem(); p.Code != "idempotency_conflict" || !strings.Contains(p.Detail, "deleted") {
			t.Errorf("its key: %+v", p)
		}
	})
	t.Run("that do not exist are 404 everywhere", func(t *testing.T) {
		s := s.on(t)
		for _, id := range []string{"job_aaaaaaaaaaaaaaaaaaaa", "..", "x y"} {
			at := "/tune/jobs/" + strings.ReplaceAll(id, " ", "%20")
			for _, end := range []string{"", "?wait=1", "/events", "/metrics", "/checkpoints"} {
				if p := s.want(404, "GET", at+end, nil).problem(); p.Code != "job_not_found" {
					t.Errorf("%s: %s", at+end, p.Code)
				}
			}
			s.want(404, "POST", at+"/cancel", nil)
			s.want(404, "DELETE", at, nil)
			s.want(404, "GET", at+"/events", nil, "Accept", "text/event-stream")
		}
	})
}
