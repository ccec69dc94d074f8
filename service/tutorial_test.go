package main

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lorikeet/inference/device/devicetest"
)

// TestTheTutorial runs the commands of docs/TUTORIAL.md and then of docs/HOWTO.md, as a
// reader would: in one shell, against a service with the built-in bases.
func TestTheTutorial(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for a minute")
	}
	for _, name := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("missing " + name)
		}
	}
	devicetest.XLA(t)
	examples, err := filepath.Abs("../examples")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(examples, filepath.Join(dir, "examples")); err != nil {
		t.Fatal(err)
	}
	path, _ := commands(t)
	addr := freeAddress(t)
	env := append(os.Environ(), "PATH="+path, "API=http://"+addr)
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "service", "--addr", addr, "--data", t.TempDir(), "--backend", "xla:cpu", "--log-level", "warn")
	cmd.Path, cmd.Env, cmd.Stderr = filepath.Join(strings.SplitN(path, ":", 2)[0], "service"), env, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	cmd.Err = nil // the path is ours
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stop()
		_ = cmd.Wait() // interrupted
	}()
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if res, err := http.Get("http://" + addr + "/readyz"); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Since(begun) > 2*time.Minute {
			t.Fatal("the service does not become ready")
		}
	}
	var script strings.Builder
	for _, file := range []string{"../docs/TUTORIAL.md", "../docs/HOWTO.md"} {
		for _, b := range blocksOf(t, file) {
			script.WriteString(b.text)
		}
	}
	run := exec.CommandContext(ctx, "bash", "-euxo", "pipefail", "-c", script.String()) //nolint:gosec // the tutorial's
	run.Dir, run.Env = dir, env
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	for _, want := range []string{"das Auto ist rot", "stars: ", `["mood@1","negative"`, `["topic@1","food"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("nothing says %q:\n%s", want, out)
		}
	}
}
