package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/spf13/pflag"

	"lorikeet/adapters/sharedtest"
	"lorikeet/inference/hub/hubtest"
	"lorikeet/inference/inferencetest"
	"lorikeet/tuning/queue/queuetest"
)

// TestMain lets the test binary stand for the service: an attempt at a job is made by
// the program itself, started anew, and some tests start it on other machines.
func TestMain(m *testing.M) {
	if os.Getenv("AS_LORIKEET") != "" || len(os.Args) > 1 && slices.Contains([]string{"attempt", "serve", "worker"}, os.Args[1]) {
		main()
		return
	}
	os.Exit(m.Run())
}

// client speaks to a service that a test started.
type client struct {
	t    *testing.T
	url  string
	http *http.Client
	// token is the API key that it sends; "": none.
	token string
}

// launch runs a command line in this process until the test ends or stop is called,
// and waits until the API is ready.
func launch(t *testing.T, args ...string) (c client, stop func()) {
	t.Helper()
	addr := freeAddress(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	cmd := command()
	backend, patience := "go", 600
	if *screenshots != "" {
		backend, patience = "auto", 6000 // pictures need longer tunes, and a compiler
	}
	cmd.SetArgs(append(args, "--addr", addr, "--backend", backend, "--log-level", "error", "--max-batch-tokens", "256"))
	go func() { done <- cmd.ExecuteContext(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the service ends with %v", err)
			}
		case <-time.After(60 * time.Second):
			t.Error("the service does not end")
		}
	}
	t.Cleanup(stop)
	c = client{t: t, url: "http://" + addr, http: http.DefaultClient}
	for range patience {
		if res, err := http.Get(c.url + "/readyz"); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return c, stop
			}
		}
		select {
		case err := <-done:
			t.Fatalf("the service ends before it is ready: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatal("the service does not become ready")
	return c, stop
}

// call sends JSON and decodes the answer, which must have this status.
func (c client) call(status int, method, path string, body any) map[string]any {
	c.t.Helper()
	return c.with(status, method, path, body)
}

// with adds headers, given as name and value in turn.
func (c client) with(status int, method, path string, body any, headers ...string) map[string]any {
	c.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	if body == nil {
		b = nil
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, bytes.NewReader(b))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return c.send(status, req)
}

func (c client) send(status int, req *http.Request) map[string]any {
	c.t.Helper()
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil || res.StatusCode != status {
		c.t.Fatalf("%s %s: status %d, want %d: %s", req.Method, req.URL.Path, res.StatusCode, status, b)
	}
	return v
}

// upload sends a form with files, given as name and content in turn.
func (c client) upload(status int, path string, fields map[string]string, files map[string][]byte) map[string]any {
	c.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for k, v := range fields {
		if err := w.WriteField(k, v); err != nil {
			c.t.Fatal(err)
		}
	}
	for name, content := range files {
		f, err := w.CreateFormFile(name, name)
		if err != nil {
			c.t.Fatal(err)
		}
		if _, err := f.Write(content); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url+path, &body)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", w.FormDataContentType())
	return c.send(status, req)
}

// rows is a CSV of short reviews whose label follows from one word.
func rows(n int) []byte {
	var b strings.Builder
	b.WriteString("text,label\n")
	for i := range n {
		word, label := "awful", "negative"
		if i%2 == 0 {
			word, label = "great", "positive"
		}
		fmt.Fprintf(&b, "the %s was %s %s,%s\n", []string{"movie", "food", "phone"}[i%3], []string{"very", "not", "so", "and"}[i/3%4], word, label)
	}
	return []byte(b.String())
}

// finish waits for a job to be over.
func (c client) finish(id string) map[string]any {
	c.t.Helper()
	for range 20 {
		job := c.call(200, "GET", "/tune/jobs/"+id+"?wait=10", nil)
		switch job["status"] {
		case "succeeded", "failed", "cancelled":
			return job
		}
	}
	c.t.Fatalf("job %s does not end", id)
	return nil
}

func label(t *testing.T, answer map[string]any, i int) string {
	t.Helper()
	results, _ := answer["results"].([]any)
	if i >= len(results) {
		t.Fatalf("no result %d in %v", i, answer)
	}
	l, _ := results[i].(map[string]any)["label"].(string)
	return l
}

var tuned = map[string]any{"epochs": 8, "learning_rate": 0.02, "batch_size": 8, "dropout": 0}

// TestTheWholeJob is a user's first hour: a base from the hub, rows, tunes of both
// kinds, predictions with several adapters in one batch, an adapter brought along.
func TestTheWholeJob(t *testing.T) {
	dir := inferencetest.BERT(t)
	server := hubtest.New(t, map[string]hubtest.Repo{"tiny/bert": {Files: os.DirFS(dir)}})
	t.Setenv("HF_ENDPOINT", server.URL)
	t.Setenv("HF_HOME", t.TempDir())
	data := t.TempDir()
	c, stop := launch(t, "--base", "tiny=hf:tiny/bert", "--data", data)

	c.call(422, "POST", "/predict", map[string]any{"model": "tiny", "inputs": "the movie was great"}) // a bare encoder has no head
	set := c.upload(201, "/datasets", nil, map[string][]byte{"file": rows(96)})
	spec := map[string]any{"model": "tiny", "name": "reviews", "dataset": map[string]any{"id": set["id"]}, "validation": map[string]any{"split": 0.25}, "hyperparameters": tuned}
	plan := c.call(200, "POST", "/tune/lora?dry_run=true", spec)
	if plan["rows"].(float64)+plan["validation_rows"].(float64) != 96 {
		t.Errorf("the plan is %v", plan)
	}
	job := c.finish(c.call(202, "POST", "/tune/lora", spec)["id"].(string))
	if job["status"] != "succeeded" || job["result"].(map[string]any)["adapter"] != "reviews@1" {
		t.Fatalf("the LoRA job ends as %v", job)
	}
	if a := job["metrics"].(map[string]any)["eval_accuracy"].(float64); a < 0.9 {
		t.Errorf("the LoRA job reaches an accuracy of %v", a)
	}
	if m := job["metrics"].(map[string]any); m["temperature"].(float64) <= 0 || m["eval_ece"] == nil || m["eval_ece_calibrated"] == nil {
		t.Errorf("the LoRA job is calibrated as %v", m)
	}
	sure := map[string]any{"model": "reviews", "inputs": "the movie was very great", "calibrated": true, "abstain_below": 1, "logits": true}
	r := results(t, c.call(200, "POST", "/predict", sure))[0]
	if logits := r["logits"].([]any); r["abstained"] != true || r["label"] != nil || r["index"] != nil || r["calibrated"] != true ||
		math.Abs(r["score"].(float64)-1/(1+math.Exp((logits[0].(float64)-logits[1].(float64))/job["metrics"].(map[string]any)["temperature"].(float64)))) > 1e-6 {
		t.Errorf("calibrated, and abstaining, it answers %v", r)
	}
	p := c.call(200, "GET", "/adapters/reviews/versions/1/passport", nil)
	taught, base := p["training"].(map[string]any), p["base"].(map[string]any)
	if base["source"] != "hf:tiny/bert" || base["tokenizer_digest"] == nil || p["problem_type"] != "single_label_classification" || taught["steps"] != plan["steps"] ||
		taught["dataset"].(map[string]any)["source"].(map[string]any)["id"] != set["id"] || taught["validation"].(map[string]any)["digest"] == nil ||
		taught["hyperparameters"].(map[string]any)["learning_rate"] != 0.02 || p["metrics"].(map[string]any)["eval_samples"] != plan["validation_rows"] {
		t.Errorf("the passport is %v", p)
	}
	spec["hyperparameters"], spec["promote"] = map[string]any{"max_steps": 1, "learning_rate": 1e-9}, map[string]any{"if": "eval_accuracy"}
	poor := c.finish(c.call(202, "POST", "/tune/lora", spec)["id"].(string))
	if r := poor["result"].(map[string]any); r["adapter"] != "reviews@2" || r["promoted"] != false || !strings.Contains(r["reason"].(string), "reviews@1") {
		t.Errorf("a job that made nothing better ends as %v", poor)
	}
	if now := c.call(200, "GET", "/adapters/reviews", nil); now["version"] != 1.0 || c.call(200, "GET", "/adapters/reviews/versions/2", nil)["gate"] == nil {
		t.Errorf("current is %v", now)
	}
	full := map[string]any{"model": "tiny", "name": "whole", "dataset": spec["dataset"],
		"hyperparameters": map[string]any{"epochs": 8, "learning_rate": 0.003, "batch_size": 8, "dropout": 0}}
	job = c.finish(c.call(202, "POST", "/tune/full", full)["id"].(string))
	if job["status"] != "succeeded" || job["result"].(map[string]any)["kind"] != "variant" {
		t.Fatalf("the full job ends as %v", job)
	}
	texts := []string{"the movie was very great", "the food was so awful"}
	for _, model := range []map[string]any{{"model": "reviews", "inputs": texts}, {"model": "whole", "inputs": texts}, {"model": "tiny", "adapter": "reviews@1", "inputs": texts}} {
		a := c.call(200, "POST", "/predict", model)
		if label(t, a, 0) != "positive" || label(t, a, 1) != "negative" {
			t.Errorf("%v: answers %v", model, a["results"])
		}
	}

	config, weights := inferencetest.Adapter(t, inferencetest.Base(t, "tiny", dir), 1, 4, "x", "y", "z")
	c.upload(201, "/adapters", map[string]string{"name": "mine", "model": "tiny"}, map[string][]byte{"adapter_config.json": config, "adapter_model.safetensors": weights})
	a := c.call(200, "POST", "/predict", map[string]any{"model": "tiny", "inputs": append(texts, texts...), "adapters": []string{"reviews", "mine", "mine@1", "reviews"}})
	if label(t, a, 0) != "positive" || !strings.Contains("xyz", label(t, a, 1)) || label(t, a, 3) != "negative" {
		t.Errorf("a mixed batch answers %v", a["results"])
	}
	stop()

	c, _ = launch(t, "--base", "tiny=hf:tiny/bert", "--data", data) // all of it is still there
	if a := c.call(200, "POST", "/predict", map[string]any{"model": "reviews", "inputs": texts}); label(t, a, 1) != "negative" {
		t.Errorf("after a restart it answers %v", a["results"])
	}
	if jobs := c.call(200, "GET", "/tune/jobs", nil)["data"].([]any); len(jobs) != 3 {
		t.Errorf("after a restart there are %d jobs, want 3", len(jobs))
	}
}

// TestInstructionsAreTaught tunes a base that writes texts, by an adapter and whole.
func TestInstructionsAreTaught(t *testing.T) {
	c, _ := launch(t, "--base", "llama="+sharedtest.Fixture(t, "llama3-tied"), "--data", t.TempDir())
	spec := map[string]any{"model": "llama", "name": "capitals", "template": "alpaca", "validation": map[string]any{"split": 0.5},
		"hyperparameters": map[string]any{"max_steps": 2, "max_length": 48, "max_target_length": 4},
		"dataset": map[string]any{"rows": []map[string]any{
			{"instruction": "Name the capital.", "input": "France", "output": "Paris"}, {"instruction": "Name the capital.", "input": "Italy", "output": "Rome"}}}}
	plan := c.call(200, "POST", "/tune/instruction?dry_run=true", spec)
	if plan["rows"] != 1.0 || plan["steps"] != 2.0 || plan["trainable_parameters"].(float64) >= plan["total_parameters"].(float64) {
		t.Errorf("the plan is %v", plan)
	}
	for name, kind := range map[string]string{"capitals": "adapter", "whole": "variant"} {
		spec["name"], spec["method"] = name, map[string]string{"adapter": "lora", "variant": "full"}[kind]
		job := c.finish(c.call(202, "POST", "/tune/instruction", spec)["id"].(string))
		if job["status"] != "succeeded" || job["result"].(map[string]any)["kind"] != kind {
			t.Fatalf("%s ends as %v", name, job)
		}
		metrics := job["metrics"].(map[string]any)
		if metrics["eval_bleu"] == nil || metrics["base_bleu"] == nil || metrics["base_loss"].(float64) <= 0 {
			t.Errorf("%s is measured as %v", name, metrics)
		}
		if v := c.call(200, "GET", "/adapters/"+name, nil); v["template"] != "alpaca" || v["kind"] != kind {
			t.Errorf("%s is registered as %v", name, v)
		}
	}
	spec["name"], spec["dataset"] = "bad", map[string]any{"rows": []map[string]any{{"text": "a", "label": "b"}, {"text": "c", "label": "d"}}}
	c.call(422, "POST", "/tune/instruction", spec)
}

// TestWithoutABaseTheBuiltInOnesAreServed tunes one of them on rows given with the
// request, as a first-time user would.
func TestWithoutABaseTheBuiltInOnesAreServed(t *testing.T) {
	c, _ := launch(t, "--data", t.TempDir())
	base := c.call(200, "GET", "/models", nil)["data"].([]any)[0].(map[string]any)["name"]
	var inline []map[string]string
	for i := range 32 {
		word, label := "awful", "negative"
		if i%2 == 0 {
			word, label = "great", "positive"
		}
		inline = append(inline, map[string]string{"text": fmt.Sprintf("%s number %d was %s", []string{"The film", "My lunch"}[i/2%2], i, word), "label": label})
	}
	job := c.finish(c.call(202, "POST", "/tune/lora", map[string]any{"model": base, "name": "mood", "dataset": map[string]any{"rows": inline},
		"hyperparameters": map[string]any{"epochs": 6, "batch_size": 8, "learning_rate": 0.003}})["id"].(string))
	if job["status"] != "succeeded" {
		t.Fatalf("the job ends as %v", job)
	}
	a := c.call(200, "POST", "/predict", map[string]any{"model": "mood", "inputs": []string{"The film was great", "My lunch was awful"}})
	if label(t, a, 0) != "positive" || label(t, a, 1) != "negative" {
		t.Errorf("answers %v", a["results"])
	}
}

// TestAPIAndWorkerApart runs them as they run on two machines, with a real Redis and
// a shared store between them.
func TestAPIAndWorkerApart(t *testing.T) {
	t.Run("a folder", func(t *testing.T) { apart(t, t.TempDir()) })
	t.Run("a bucket", func(t *testing.T) {
		for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": ""} {
			t.Setenv(name, value)
		}
		memory := s3mem.New()
		if err := memory.CreateBucket("models"); err != nil {
			t.Fatal(err)
		}
		s := httptest.NewServer(gofakes3.New(memory).Server())
		t.Cleanup(s.Close)
		apart(t, "s3://models/lorikeet?region=us-east-1&endpoint="+s.URL)
		list, err := memory.ListBucket("models", nil, gofakes3.ListBucketPage{})
		if err != nil || len(list.Contents) == 0 {
			t.Fatalf("%d objects, %v", len(list.Contents), err)
		}
		for _, o := range list.Contents {
			if !strings.HasPrefix(o.Key, "lorikeet/") {
				t.Errorf("%s is outside the prefix", o.Key)
			}
		}
	})
}

func apart(t *testing.T, store string) {
	url := redisServer(t)
	dir := inferencetest.BERT(t)
	common := []string{"--base", "tiny=" + dir, "--redis", url, "--store", store}
	api, _ := launch(t, append([]string{"serve", "--data", t.TempDir()}, common...)...)
	other, _ := launch(t, append([]string{"serve", "--data", t.TempDir()}, common...)...)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	worker := command()
	worker.SetArgs(append([]string{"worker", "--backend", "go", "--log-level", "error", "--data", t.TempDir()}, common...))
	go func() { done <- worker.ExecuteContext(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the worker ends with %v", err)
		}
	}()
	set := api.upload(201, "/datasets", nil, map[string][]byte{"file": rows(64)})
	spec := map[string]any{"model": "tiny", "name": "reviews", "dataset": map[string]any{"id": set["id"]}, "hyperparameters": tuned}
	for version := 1; version <= 2; version++ {
		job := api.finish(api.call(202, "POST", "/tune/lora", spec)["id"].(string))
		if want := fmt.Sprintf("reviews@%d", version); job["status"] != "succeeded" || job["result"].(map[string]any)["adapter"] != want {
			t.Fatalf("the job ends as %v", job)
		}
		for name, c := range map[string]client{"the API that took the job": api, "another": other} {
			deadline := time.Now().Add(2 * time.Second)
			for {
				a := c.call(200, "POST", "/predict", map[string]any{"model": "tiny", "adapter": "reviews", "inputs": "the movie was great"})
				if a["adapter"].(map[string]any)["version"].(float64) == float64(version) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%s still serves %v", name, a["adapter"])
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	}
}

// redisServer starts a Redis of its own, or skips the test.
func redisServer(t *testing.T) string {
	t.Helper()
	r, err := queuetest.NewRedis(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); errors.Is(err, queuetest.ErrNoRedis) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	return "redis://" + r.Addr() + "/0"
}

func TestSettingsAreRefused(t *testing.T) {
	noKeys := map[string]string{"AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_CONFIG_FILE": "/nowhere"}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		noKeys[name] = ""
	}
	dir := inferencetest.BERT(t)
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		want string
	}{
		"an unknown built-in":        {[]string{"--base", "a=builtin:nope"}, nil, "no built-in model"},
		"a base with no name":        {[]string{"--base", dir}, nil, "NAME=SOURCE"},
		"a bad name":                 {[]string{"--base", "Bert=" + dir}, nil, "not a name"},
		"a base twice":               {[]string{"--base", "a=" + dir, "--base", "a=" + dir}, nil, "twice"},
		"a folder that is not there": {[]string{"--base", "a=" + filepath.Join(dir, "nope")}, nil, "is not a folder"},
		"too few slots":              {[]string{"--base", "a=" + dir, "--slots", "8"}, nil, "--slots 8"},
		"an unknown flag":            {[]string{"--bse", "a=" + dir}, nil, "unknown flag"},
		"an unknown variable":        {[]string{"--base", "a=" + dir}, map[string]string{"LORIKEET_BSE": "x"}, "LORIKEET_BSE is not a setting"},
		"a bad variable":             {[]string{"--base", "a=" + dir}, map[string]string{"LORIKEET_SLOTS": "many"}, "LORIKEET_SLOTS"},
		"an unknown backend":         {[]string{"--base", "a=" + dir, "--backend", "tpu"}, nil, "unknown backend"},
		"a bad bucket":               {[]string{"--base", "a=" + dir, "--store", "s3://B"}, nil, "name of a bucket"},
		"a secret on the line":       {[]string{"--base", "a=" + dir, "--store", "s3://key:secret@models"}, nil, "AWS_ACCESS_KEY_ID"},
		"a bucket without keys":      {[]string{"--base", "a=" + dir, "--store", "s3://models"}, noKeys, "AWS_ACCESS_KEY_ID"},
		"a worker without Redis":     {[]string{"worker", "--base", "a=" + dir}, nil, "needs --redis"},
	} {
		for k, v := range c.env {
			t.Setenv(k, v)
		}
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		cmd := command()
		cmd.SetArgs(append(c.args, "--addr", "127.0.0.1:0", "--data", t.TempDir(), "--log-level", "error"))
		if c.args == nil || c.args[len(c.args)-1] != "tpu" {
			cmd.SetArgs(append(c.args, "--addr", "127.0.0.1:0", "--data", t.TempDir(), "--log-level", "error", "--backend", "go"))
		}
		err := cmd.ExecuteContext(ctx)
		stop()
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want an error that says %q", name, err, c.want)
		}
		for k := range c.env {
			_ = os.Unsetenv(k)
		}
	}
}

func TestPasswordsAreNotPrinted(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      "embedded",
		"redis://h:6379/1":                      "redis://h:6379/1",
		"rediss://user:secret@h:6379/1":         "rediss://user:xxxxx@h:6379/1",
		"redis+cluster://:secret@h?addr=i:6379": "redis+cluster://:xxxxx@h?addr=i:6379",
		"redis+sentinel://s:secret@h/0?master_name=m&password=secret": "redis+sentinel://s:xxxxx@h/0?master_name=m&password=xxxxx",
		"redis+sentinel://h/0?master_name=m&password=secret&%zz":      "redis+sentinel://h/0?xxxxx",
		"secret@h:6379":           "(not a URL)",
		"redis://h:secret@i:port": "(not a URL)",
	} {
		if got := masked(in); got != want {
			t.Errorf("%s is printed as %s, want %s", in, got, want)
		}
	}
}

func TestTheEnvironmentNamesKeysAndPlaceOfABucket(t *testing.T) {
	c := newConfig()
	c.data, c.store, c.cacheGB = "d", "s3://models", 3
	o, err := bucketOptions(c, func(name string) string {
		return map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c",
			"AWS_DEFAULT_REGION": "eu", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}[name]
	})
	if err != nil || o.AccessKey != "a" || o.SecretKey != "b" || o.SessionToken != "c" || o.Region != "eu" || o.Endpoint != "http://127.0.0.1:9" || o.CacheBytes != 3<<30 {
		t.Errorf("%+v, %v", o, err)
	}
	c.store += "?region=us&endpoint=http://127.0.0.1:8"
	o, err = bucketOptions(c, func(string) string { return "x" })
	if err != nil || o.Region != "us" || o.Endpoint != "http://127.0.0.1:8" {
		t.Errorf("what the address says: %+v, %v", o, err)
	}
}

func TestAVariableIsAFlag(t *testing.T) {
	c := newConfig()
	f := pflag.NewFlagSet("service", pflag.ContinueOnError)
	c.flags(f)
	if err := c.environment(f, []string{"LORIKEET_BASE=a=x, b=y", "LORIKEET_MAX_BATCH_TOKENS=99", "PATH=/bin"}); err != nil {
		t.Fatal(err)
	}
	if len(c.bases) != 2 || c.bases[1] != "b=y" || c.maxBatchTokens != 99 {
		t.Errorf("bases %q, max-batch-tokens %d", c.bases, c.maxBatchTokens)
	}
}
