package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"lorikeet/inference/inferencetest"
)

// block is a fenced block of commands.
type block struct {
	line int
	kind string // "": to be run; "kubernetes"
	text string
}

func blocksOf(t *testing.T, path string) (all []block) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	for i, line := range strings.Split(string(raw), "\n") {
		switch {
		case open == nil && strings.HasPrefix(line, "```"):
			lang, kind, _ := strings.Cut(strings.TrimPrefix(line, "```"), " ")
			if lang != "sh" {
				t.Fatalf("%s:%d: a block of %q, which nobody checks", path, i+1, lang)
			}
			open = &block{line: i + 2, kind: kind}
		case open != nil && line == "```":
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	return all
}

// commands puts this program on the path as service, and stand-ins that write down how
// they were called in place of the tools named.
func commands(t *testing.T, standIns ...string) (path, calls string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	calls = filepath.Join(dir, "calls")
	write := func(name, script string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	write("service", fmt.Sprintf("AS_LORIKEET=1 exec %q \"$@\"\n", self))
	for _, name := range standIns {
		write(name, fmt.Sprintf("printf '%%s\\037' %s \"$@\" >>%q; printf '\\n' >>%q\n", name, calls, calls))
	}
	return dir + ":" + os.Getenv("PATH"), calls
}

// TestTheRunbook runs its commands, in order, against the service that it speaks of.
func TestTheRunbook(t *testing.T) {
	if testing.Short() {
		t.Skip("some dozens of programs are started")
	}
	for _, name := range []string{"bash", "curl", "jq", "redis-cli", "tar", "sha256sum"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("missing " + name)
		}
	}
	url, store := redisServer(t), t.TempDir()
	key := adminKey(t, "--name", "old", "--store", store)
	shared := []string{"--base", "tiny=" + inferencetest.BERT(t), "--redis", url, "--store", store}
	debug, metrics := freeAddress(t), freeAddress(t)
	api, _ := launch(t, append([]string{"serve", "--keys", "--debug-addr", debug, "--data", t.TempDir()}, shared...)...)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	worker := command()
	worker.SetArgs(append([]string{"worker", "--metrics-addr", metrics, "--backend", "go", "--log-level", "error", "--data", t.TempDir()}, shared...))
	go func() { done <- worker.ExecuteContext(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the worker ends with %v", err)
		}
	}()
	api.token = key
	set := api.upload(201, "/datasets", nil, map[string][]byte{"file": rows(32)})
	for _, name := range []string{"reviews", "reviews", "old"} {
		api.finish(api.call(202, "POST", "/tune/lora", map[string]any{"model": "tiny", "name": name, "dataset": map[string]any{"id": set["id"]}})["id"].(string))
	}

	path, _ := commands(t)
	dir, ran := t.TempDir(), 0
	for _, b := range blocksOf(t, runbookFile) {
		if b.kind != "" {
			continue
		}
		ran++
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", b.text) //nolint:gosec // the runbook's
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+path, "API="+api.url, "KEY="+key, "STORE="+store, "REDIS="+url, "WORKER=http://"+metrics, "DEBUG="+debug)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s:%d: %v\n%s\n%s", runbookFile, b.line, err, b.text, out)
		}
		if strings.Contains(string(out), `"status":4`) || strings.Contains(string(out), `"status":5`) {
			t.Errorf("%s:%d: a request was refused:\n%s\n%s", runbookFile, b.line, b.text, out)
		}
	}
	if ran < 20 {
		t.Errorf("%d blocks were run: some were not found", ran)
	}
	if res := api.with(200, "GET", "/adapters/reviews", nil); res["current"] != nil && res["current"] != 1.0 {
		t.Errorf("after the rollback the adapter is %v", res)
	}

	// The old key, which the last but one chapter revokes, opens nothing.
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		out, err := exec.CommandContext(t.Context(), "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", api.url+"/keys", "-H", "Authorization: Bearer "+key).Output()
		if err == nil && string(out) == "401" {
			break
		}
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("the revoked key is answered with %s, %v", out, err)
		}
	}

	// What was restored serves, and has what it had.
	stop()
	restored, _ := launch(t, "serve", "--base", shared[1], "--redis", url, "--store", filepath.Join(dir, "restored"), "--data", t.TempDir())
	a := restored.call(200, "POST", "/predict", map[string]any{"model": "tiny", "adapter": "reviews@2", "inputs": "the movie was great"})
	if a["adapter"].(map[string]any)["version"] != 2.0 {
		t.Errorf("the restored service answers %v", a)
	}
	if jobs := restored.call(200, "GET", "/tune/jobs", nil)["data"].([]any); len(jobs) != 3 {
		t.Errorf("the restored service has %d jobs, want 3", len(jobs))
	}
}

// TestTheRunbookOnKubernetes has stand-ins write down what kubectl and helm are asked,
// and holds that against what the chart makes.
func TestTheRunbookOnKubernetes(t *testing.T) {
	helm := helmCommand(t)
	path, calls := commands(t, "kubectl", "helm")
	for _, b := range blocksOf(t, runbookFile) {
		if b.kind == "kubernetes" {
			cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", b.text) //nolint:gosec // the runbook's
			cmd.Env = append(os.Environ(), "PATH="+path)
			cmd.Dir = ".."
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s:%d: %v\n%s", runbookFile, b.line, err, out)
			}
		}
	}
	raw, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), helm, "template", "lorikeet", chartFolder, "--kube-version", "1.34.0", "--values", filepath.Join(chartFolder, "ci/gpu.yaml")).Output()
	if err != nil {
		t.Fatal(err)
	}
	rendered := string(out)
	verbs := []string{"get", "logs", "describe", "port-forward", "scale", "rollout", "drain", "create"}
	asked := 0
	for line := range strings.Lines(string(raw)) {
		args := strings.Split(strings.TrimSuffix(line, "\x1f\n"), "\x1f")
		asked++
		what := strings.Join(args, " ")
		if args[0] == "helm" {
			// upgrade asks the cluster; template reads the same chart and values.
			if args[1] != "upgrade" || args[2] != "lorikeet" || args[3] != "examples/helm/lorikeet" {
				t.Errorf("%s: is no upgrade of the chart", what)
				continue
			}
			render := []string{"template", "lorikeet", chartFolder, "--kube-version", "1.34.0", "--values", filepath.Join(chartFolder, "ci/gpu.yaml")}
			for i, a := range args {
				if a == "--set" {
					render = append(render, a, args[i+1])
				}
			}
			if out, err := exec.CommandContext(t.Context(), helm, render...).CombinedOutput(); err != nil { //nolint:gosec // the runbook's
				t.Errorf("%s: %s", what, out)
			}
			continue
		}
		rest := args[1:]
		if rest[0] == "-n" {
			if rest[1] != "models" {
				t.Errorf("%s: the namespace is models", what)
			}
			rest = rest[2:]
		}
		if !slices.Contains(verbs, rest[0]) {
			t.Errorf("%s: the verb is none of %v", what, verbs)
		}
		for i, a := range rest {
			if kind, name, ok := strings.Cut(a, "/"); ok && kind == "deploy" {
				if !regexp.MustCompile(`(?m)^kind: Deployment\nmetadata:\n  name: ` + regexp.QuoteMeta(name) + `$`).MatchString(rendered) {
					t.Errorf("%s: the chart makes no deployment %s", what, name)
				}
			}
			if a == "-l" {
				label, value, _ := strings.Cut(rest[i+1], "=")
				if !strings.Contains(rendered, label+": "+value+"\n") {
					t.Errorf("%s: the chart labels nothing %s=%s", what, label, value)
				}
			}
		}
	}
	if asked < 15 {
		t.Errorf("%d commands were read: some were not found", asked)
	}
}
