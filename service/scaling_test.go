package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"lorikeet/adapters/store"
	"lorikeet/inference/builtin"
	"lorikeet/inference/inferencetest"
	"lorikeet/tuning/queue/queuetest"
)

var scaling = flag.Bool("scaling", false, "measure the figures of docs/SCALING.md (minutes)")

// TestScalingFigures measures what docs/SCALING.md reckons with: in CPU time, commands
// and bytes, which do not depend on what else the machine does.
//
//	go test ./service -run ScalingFigures -scaling -v
func TestScalingFigures(t *testing.T) {
	if !*scaling {
		t.Skip("only with -scaling")
	}
	t.Run("requests and memory", scalingOfRequests)
	t.Run("one job", scalingOfOneJob)
	t.Run("many jobs", scalingOfManyJobs)
}

// process is a service of its own, so that its CPU time and memory are its alone.
type process struct {
	client
	t *testing.T
}

func startProcess(t *testing.T, args ...string) process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddress(t)
	cmd := exec.Command(self, append([]string{"serve", "--addr", addr, "--log-level", "error", "--data", t.TempDir()}, args...)...) //nolint:gosec // this program
	if args[0] == "worker" {
		cmd = exec.Command(self, append(args, "--metrics-addr", addr, "--log-level", "error", "--data", t.TempDir())...) //nolint:gosec // this program
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	p := process{client{t: t, url: "http://" + addr, http: http.DefaultClient}, t}
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if status, _ := get(t, p.url+"/readyz"); status == http.StatusOK {
			return p
		}
		if time.Since(begun) > 3*time.Minute {
			t.Fatal("the service does not become ready")
		}
	}
}

// metric adds up the samples of the page whose line begins so.
func (p process) metric(prefix string) (sum float64) {
	p.t.Helper()
	_, page := get(p.t, p.url+"/metrics")
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, prefix) {
			v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, " "):]), 64)
			if err != nil {
				p.t.Fatal(err)
			}
			sum += v
		}
	}
	return sum
}

func (p process) operations() map[string]float64 {
	all := map[string]float64{"redis": p.metric("lorikeet_redis_command_duration_seconds_count")}
	for _, op := range []string{"create", "get", "list", "delete", "stat", "put_blob", "open_blob", "fetch_blob", "stat_blob"} {
		all[op] = p.metric(fmt.Sprintf("lorikeet_store_operation_duration_seconds_count{op=%q", op))
	}
	return all
}

func since(now, before map[string]float64) string {
	var b strings.Builder
	for _, op := range []string{"redis", "create", "get", "list", "delete", "stat", "put_blob", "open_blob", "fetch_blob", "stat_blob"} {
		if d := now[op] - before[op]; d != 0 {
			fmt.Fprintf(&b, " %s %.0f", op, d)
		}
	}
	return b.String()
}

// load sends n equal requests, a few at a time, and gives the CPU time of each. As many
// go before, for which graphs are compiled.
func (p process) load(path string, n int, body func(i int) any) time.Duration {
	p.t.Helper()
	p.repeat(path, n, body)
	before := p.metric("process_cpu_seconds_total")
	p.repeat(path, n, body)
	return time.Duration((p.metric("process_cpu_seconds_total") - before) / float64(n) * float64(time.Second))
}

func (p process) repeat(path string, n int, body func(i int) any) {
	p.t.Helper()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range next {
				raw, err := json.Marshal(body(i))
				if err != nil {
					p.t.Error(err)
					return
				}
				res, err := http.Post(p.url+path, "application/json", bytes.NewReader(raw)) //nolint:gosec // the test's own
				if err != nil {
					p.t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if res.StatusCode != http.StatusOK {
					p.t.Errorf("%s: %d", path, res.StatusCode)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

func scalingOfRequests(t *testing.T) {
	p := startProcess(t, "--base", "bert=builtin:tiny-bert", "--base", "t5=builtin:tiny-t5")
	t.Logf("backend %v; resident with two bases, warm: %.0f MB", p.call(200, "GET", "/info", nil)["backend"], p.metric("process_resident_memory_bytes")/1e6)
	const names = 60
	before := p.metric("process_resident_memory_bytes")
	text := "The waiter was charming and the dessert was superb."
	files, err := builtin.Open("tiny-bert")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, files); err != nil {
		t.Fatal(err)
	}
	base := inferencetest.Base(t, "bert", dir)
	for i := range names {
		config, weights := inferencetest.Adapter(t, base, uint64(i+1), 8, "good", "bad")
		p.upload(201, "/adapters", map[string]string{"name": fmt.Sprintf("a%d", i), "model": "bert"}, map[string][]byte{"adapter_config.json": config, "adapter_model.safetensors": weights})
	}
	for i := range names {
		p.call(200, "POST", "/predict", map[string]any{"model": "bert", "adapter": fmt.Sprintf("a%d", i), "inputs": text})
	}
	t.Logf("%d adapters of rank 8 on the device: %.0f bytes each by the metric, resident memory %+.1f MB", names,
		p.metric(`lorikeet_adapter_cache_bytes{tier="device"}`)/names, (p.metric("process_resident_memory_bytes")-before)/1e6)
	one := p.load("/predict", 300, func(i int) any {
		return map[string]any{"model": "bert", "adapter": fmt.Sprintf("a%d", i%names), "inputs": text}
	})
	t.Logf("/predict, one text of 12 tokens, adapters in turn: %v of CPU a request; mean batch %.1f", one, p.metric("lorikeet_batch_size_sum")/p.metric("lorikeet_batch_size_count"))
	many := p.load("/predict", 30, func(i int) any {
		texts, with := make([]string, 32), make([]string, 32)
		for k := range texts {
			texts[k], with[k] = text, fmt.Sprintf("a%d", (i+k)%names)
		}
		return map[string]any{"model": "bert", "inputs": texts, "adapters": with}
	})
	t.Logf("/predict, 32 texts, each with an adapter of its own: %v of CPU a text", many/32)
	write := p.load("/generate", 30, func(int) any {
		return map[string]any{"model": "t5", "instruction": "Rate this review.", "input": text, "parameters": map[string]any{"max_new_tokens": 16, "min_new_tokens": 16}}
	})
	t.Logf("/generate, 16 tokens: %v of CPU a text", write)
}

func scalingOfOneJob(t *testing.T) {
	url, folder := redisServer(t), t.TempDir()
	shared := []string{"--base", "bert=builtin:tiny-bert", "--redis", url, "--store", folder}
	api := startProcess(t, shared...)
	worker := startProcess(t, append([]string{"worker"}, shared...)...)
	time.Sleep(2 * time.Second)
	a, w, begun := api.operations(), worker.operations(), time.Now()
	time.Sleep(30 * time.Second)
	t.Logf("idle for %v: API%s; worker%s", time.Since(begun).Round(time.Second), since(api.operations(), a), since(worker.operations(), w))
	set := api.upload(201, "/datasets", nil, map[string][]byte{"file": rows(200)})
	a, w = api.operations(), worker.operations()
	begun = time.Now()
	job := api.finish(api.call(202, "POST", "/tune/lora", map[string]any{"model": "bert", "name": "reviews", "dataset": map[string]any{"id": set["id"]}, "validation": map[string]any{"split": 0.1},
		"hyperparameters": map[string]any{"epochs": 3, "batch_size": 16}})["id"].(string))
	t.Logf("a job of %v steps took %v: API%s; worker%s", job["progress"].(map[string]any)["total_steps"], time.Since(begun).Round(100*time.Millisecond), since(api.operations(), a), since(worker.operations(), w))
	var records, bytes int64
	_ = filepath.WalkDir(filepath.Join(folder, "jobs"), func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if i, err := d.Info(); err == nil {
				records, bytes = records+1, bytes+i.Size()
			}
		}
		return nil
	})
	t.Logf("it leaves %d records of %d bytes below jobs", records, bytes)
	out, err := exec.Command("redis-cli", "-u", url, "info", "memory").Output() //nolint:gosec // the test's own
	if err == nil {
		for line := range strings.Lines(string(out)) {
			if strings.HasPrefix(line, "used_memory:") {
				t.Logf("Redis: %s", strings.TrimSpace(line))
			}
		}
	}
}

func scalingOfManyJobs(t *testing.T) {
	for _, n := range []int{500, 10_000} {
		url, folder := redisServer(t), t.TempDir()
		dir, err := store.OpenDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := queuetest.Ended(t.Context(), dir, n, 2*time.Hour); err != nil {
			t.Fatal(err)
		}
		_ = dir.Close()
		for _, which := range []string{"the first process", "a later one"} {
			api := startProcess(t, "--base", "bert=builtin:tiny-bert", "--redis", url, "--store", folder, "--backend", "go")
			begun, asked := time.Now(), time.Now()
			for last := 0.0; time.Since(asked) < 3*time.Second; time.Sleep(100 * time.Millisecond) {
				if n := api.metric("lorikeet_store_operation_duration_seconds_count"); n != last {
					last, asked = n, time.Now()
				}
			}
			t.Logf("a store with %d jobs that are over, %s: starting takes%s, until %v after it is ready; %.1f s of CPU", n, which,
				since(api.operations(), nil), asked.Sub(begun).Round(100*time.Millisecond), api.metric("process_cpu_seconds_total"))
			for range 2 {
				cpu, a, begun := api.metric("process_cpu_seconds_total"), api.operations(), time.Now()
				api.call(200, "GET", "/tune/jobs", nil)
				t.Logf("a page of 20 jobs: %v, %.3f s of CPU,%s", time.Since(begun).Round(time.Millisecond), api.metric("process_cpu_seconds_total")-cpu, since(api.operations(), a))
			}
			cpu, a, begun := api.metric("process_cpu_seconds_total"), api.operations(), time.Now()
			time.Sleep(31 * time.Second)
			t.Logf("then idle for %v: %.2f s of CPU,%s", time.Since(begun).Round(time.Second), api.metric("process_cpu_seconds_total")-cpu, since(api.operations(), a))
		}
	}
}
