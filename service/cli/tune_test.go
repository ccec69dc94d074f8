package cli

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTuneBody(t *testing.T) {
	dir := t.TempDir()
	rows, spec := filepath.Join(dir, "rows.csv"), filepath.Join(dir, "spec.json")
	for file, text := range map[string]string{rows: "text,label\na,b\n", spec: `{"model":"x","metadata":{"a":9007199254740993},"hyperparameters":{"epochs":1}}`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := newFake(t, map[string]http.HandlerFunc{
		"POST /datasets?name=rows.csv":        says(`{"id":"ds_1","kind":"classification","rows":1,"warnings":[],"errors":[]}`),
		"POST /tune/lora":                     says(`{"id":"job_1","status":"queued"}`),
		"POST /tune/instruction?dry_run=true": says(`{"rows":9,"validation_rows":1,"steps":27,"steps_per_epoch":9,"trainable_parameters":1000,"total_parameters":5300000,"estimated_seconds":65,"estimated_memory_bytes":1048576,"lengths":{"median":12,"p95":40,"max":96},"warnings":["few rows"]}`)})
	out, errOut, code := f.run("", "tune", "lora", "--spec", spec, "-m", "bert", "-n", "imdb", "-d", rows, "--validation", "0.1", "--epochs", "3", "--rank", "4", "--target-modules", "query,value",
		"--idempotency-key", "123", "--gate", "eval_accuracy", "--gate-than", "base", "--gate-min-delta", "0.01", "--set", "hyperparameters.warmup_ratio=0.1", "--set", "lora.use_rslora=true", "--set", "metadata.note=two words")
	if code != 0 || out != "job_1\n" || !strings.Contains(errOut, "service jobs wait job_1") || !strings.Contains(errOut, "ds_1, 1 rows") {
		t.Fatalf("%d %q %q", code, out, errOut)
	}
	if f.asked[0].body != "text,label\na,b\n" {
		t.Errorf("uploaded %q", f.asked[0].body)
	}
	if !strings.Contains(f.asked[1].body, "9007199254740993") {
		t.Errorf("a large number loses digits: %s", f.asked[1].body)
	}
	b := f.body(1)
	delete(b["metadata"].(map[string]any), "a")
	same(t, "the request", b, `{"model":"bert","name":"imdb","dataset":{"id":"ds_1"},"validation":{"split":0.1},"hyperparameters":{"epochs":3,"warmup_ratio":0.1},
		"lora":{"r":4,"target_modules":["query","value"],"use_rslora":true},"idempotency_key":"123","promote":{"if":"eval_accuracy","than":"base","min_delta":0.01},"metadata":{"note":"two words"}}`)

	out, errOut, code = f.run("", "tune", "instruction", "-m", "t5", "-n", "h", "-d", "hf:bigscience/P3:validation", "--dry-run", "--set", "dataset.sample=400")
	if code != 0 || !strings.Contains(out, "9 and 1 held back") || !strings.Contains(out, "about 1m5s") || !strings.Contains(out, "12 tokens, 95 of 100 up to 40, the longest 96") || !strings.Contains(errOut, "warning: few rows") {
		t.Errorf("%d %q %q", code, out, errOut)
	}
	same(t, "the request", f.body(2), `{"model":"t5","name":"h","dataset":{"hf":"bigscience/P3","split":"validation","sample":400}}`)

	for name, args := range map[string][]string{
		"a file that is not there": {"-d", "nope.csv"}, "a set without a value": {"--set", "a"}, "an empty part of a path": {"--set", "a..b=1"},
		"a path through a value": {"--set", "model=x", "--set", "model.y=1"}, "a spec that is no JSON": {"--spec", rows}, "an option of another kind": {"--template", "t5"}, "an argument": {"x"},
	} {
		before := len(f.asked)
		if _, errOut, code := f.run("", append([]string{"tune", "lora"}, args...)...); code != misused || len(f.asked) != before {
			t.Errorf("%s: exit status %d, %d requests: %s", name, code, len(f.asked)-before, errOut)
		}
	}
}

// TestWaitGoesOn breaks the connection while a job runs.
func TestWaitGoesOn(t *testing.T) {
	for status, want := range map[string]int{"succeeded": 0, "failed": jobFailed} {
		streams := []string{"id: 0-1\nevent: status\ndata: {\"status\":\"running\",\"phase\":\"training\"}\n\nid: 1-1\nevent: step\ndata: {\"step\":1,\"total_steps\":2,\"loss\":0.5}\n\nid: 2-1\nevent: st",
			"id: 2-1\nevent: step\ndata: {\"step\":2,\"total_steps\":2,\"loss\":0.4}\n\nid: 2-100\nevent: eval\ndata: {\"step\":2,\"metrics\":{\"eval_accuracy\":0.9}}\n\nid: 9-0\nevent: status\ndata: {\"status\":\"" + status + "\"}\n\n"}
		n := 0
		f := newFake(t, map[string]http.HandlerFunc{
			"GET /tune/jobs/job_1/events": func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, streams[n])
				n++
			},
			"GET /tune/jobs/job_1": func(w http.ResponseWriter, r *http.Request) {
				if n < 2 {
					_, _ = io.WriteString(w, `{"id":"job_1","status":"running"}`)
					return
				}
				_, _ = io.WriteString(w, `{"id":"job_1","status":"`+status+`","metrics":{"eval_accuracy":0.9},"result":{"adapter":"imdb@1","promoted":false,"reason":"imdb@0 has 0.95"},"error":{"code":"x","message":"the rows are bad","hint":"mend them"}}`)
			}})
		out, errOut, code := f.run("", "jobs", "wait", "job_1")
		if code != want || !strings.Contains(errOut, "running, training") || !strings.Contains(errOut, "step 2: accuracy 0.900") {
			t.Errorf("%s: %d %q %q", status, code, out, errOut)
		}
		if status == "failed" && (!strings.Contains(errOut, "the rows are bad") || out != "") || status == "succeeded" && (!strings.Contains(out, "imdb@1") || !strings.Contains(out, "held back: imdb@0 has 0.95")) {
			t.Errorf("%s: %q %q", status, out, errOut)
		}
		var last []string
		for _, a := range f.asked {
			if strings.HasSuffix(a.at, "/events") {
				last = append(last, a.header.Get("Last-Event-ID"))
			}
		}
		if !slices.Equal(last, []string{"", "1-1"}) {
			t.Errorf("asked after %q", last)
		}
	}
	f := newFake(t, nil)
	if _, errOut, code := f.run("", "jobs", "wait", "job_2"); code != failed || len(f.asked) != 1 || !strings.Contains(errOut, "Not found") {
		t.Errorf("a job that is not there: %d after %d requests: %s", code, len(f.asked), errOut)
	}
	f = newFake(t, map[string]http.HandlerFunc{"GET /tune/jobs/job_1/events": says("id: 1\nevent: step\ndata: {\"step\":1}\n\nid: 2\nevent: end\ndata: x\n\n")})
	if out, errOut, code := f.run("", "jobs", "events", "job_1"); code != failed || out != `{"data":{"step":1},"id":"1","type":"step"}`+"\n" || !strings.Contains(errOut, "not JSON") {
		t.Errorf("%d %q %q", code, out, errOut)
	}
}
