package examples

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"lorikeet/inference/device/devicetest"
)

// commands are the fenced blocks of a document.
var commands = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// TestTheTutorial runs the commands of docs/TUTORIAL.md and then of docs/HOWTO.md, as a
// reader would: in one shell, against a service with the built-in bases.
func TestTheTutorial(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for a minute")
	}
	for _, name := range []string{"bash", "curl", "jq", "go"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("missing " + name)
		}
	}
	devicetest.XLA(t)
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(here, filepath.Join(dir, "examples")); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "service")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "lorikeet/service").CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	env := append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "API=http://"+addr)
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, program, "--addr", addr, "--data", t.TempDir(), "--backend", "xla:cpu", "--log-level", "warn")
	cmd.Env, cmd.Stderr = env, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
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
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range commands.FindAllStringSubmatch(string(raw), -1) {
			script.WriteString(b[1])
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
