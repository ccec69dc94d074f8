package device

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const notAPlugin = "these bytes are no shared library"

func TestInstallWheel(t *testing.T) {
	needsShell(t)
	f := newFake(t)
	file := f.wheel(t, &f.opt.from.cpu, notAPlugin)
	f.pip(t, `cp '`+file+`' "$dest"/`)
	var progress strings.Builder
	f.opt.Progress = &progress

	p, err := Install(context.Background(), "wheel", f.opt)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(p.Path); err != nil || string(b) != notAPlugin {
		t.Errorf("installed %q, %v", b, err)
	}
	if p.Kind != "cpu" || p.Version != "2026.6.23" || p.From != fromCache || p.Problem != "" {
		t.Errorf("%+v", p)
	}
	if got := f.cache(t); !slices.Equal(got, []string{"cpu-2026.6.23/pjrt_c_api_cpu_plugin.so"}) {
		t.Errorf("the cache holds %v", got)
	}
	if s := progress.String(); !strings.HasSuffix(s, "fastatomstruct-xla-cpu 2026.6.23: 0.0 MiB, done\n") {
		t.Errorf("progress: %q", s)
	}
	if got := List(f.opt); len(got) != 1 || got[0] != p {
		t.Errorf("listed as %+v", got)
	}
	calls := f.called(t)
	if len(calls) != 1 || !strings.Contains(calls[0], "download --no-deps") || !strings.Contains(calls[0], "fastatomstruct-xla-cpu==2026.6.23") {
		t.Errorf("pip was called with %q", calls)
	}

	t.Run("finds what is there", func(t *testing.T) {
		for _, which := range []string{"wheel", "cpu", ""} {
			if again, err := Install(context.Background(), which, f.opt); err != nil || again != p {
				t.Errorf("install %q: %+v, %v", which, again, err)
			}
		}
		if n := len(f.called(t)); n != 1 {
			t.Errorf("pip was called %d times", n)
		}
	})
	t.Run("replaces a damaged plugin", func(t *testing.T) {
		if err := os.Truncate(p.Path, 5); err != nil {
			t.Fatal(err)
		}
		if got := List(f.opt); len(got) != 1 || !strings.HasPrefix(got[0].Problem, "damaged, 5 bytes") {
			t.Errorf("listed as %+v", got)
		}
		if _, err := Open(context.Background(), "xla:cpu", f.opt); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("opened: %v", err)
		}
		if again, err := Install(context.Background(), "cpu", f.opt); err != nil || again != p {
			t.Errorf("%+v, %v", again, err)
		}
		// And so does a service that starts. The bytes are still no library.
		f.opt.Install = true
		for _, name := range []string{"xla:cpu", "auto"} {
			if err := os.Truncate(p.Path, 5); err != nil {
				t.Fatal(err)
			}
			if d, err := Open(context.Background(), name, f.opt); err == nil {
				d.Close()
			}
			if got := List(f.opt); len(got) != 1 || got[0] != p {
				t.Errorf("%s left %+v", name, got)
			}
		}
	})
}

func TestInstallRefusals(t *testing.T) {
	needsShell(t)
	tests := []struct {
		name   string
		spoil  func(w *wheel) // after the wheel is made
		script string         // FILE is the wheel's path
		want   string
	}{
		{"another wheel", func(w *wheel) { w.sha256 = digest("") }, `cp FILE "$dest"/`, "refused, its SHA-256 is"},
		{"another plugin in it", func(w *wheel) { w.memberSHA256 = digest("") }, `cp FILE "$dest"/`, "refused, the SHA-256 of its plugin is"},
		{"no plugin in it", func(w *wheel) { w.member = "nowhere.so" }, `cp FILE "$dest"/`, "no plugin in the archive"},
		{"no wheel", nil, `true`, "pip left 0 wheels"},
		{"half a wheel, then an error", nil, `head -c 20 FILE > "$dest"/x.whl; echo pip says >&2; echo why >&2; exit 1`, "exit status 1: why"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t)
			file := f.wheel(t, &f.opt.from.cpu, notAPlugin)
			if test.spoil != nil {
				test.spoil(&f.opt.from.cpu)
			}
			f.pip(t, strings.ReplaceAll(test.script, "FILE", "'"+file+"'"))
			_, err := Install(context.Background(), "wheel", f.opt)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "wheel fastatomstruct-xla-cpu==2026.6.23") {
				t.Errorf("%v, want %q", err, test.want)
			}
			if got := f.cache(t); len(got) != 0 {
				t.Errorf("left %v", got)
			}
		})
	}
}

func TestInstallWithoutPip(t *testing.T) {
	needsShell(t)
	f := newFake(t)
	// A Python without pip, as many systems have.
	f.put(t, filepath.Join(f.bin, "python3"), "#!/bin/sh\nexit 1\n")
	_, err := Install(context.Background(), "cpu", f.opt)
	if !errors.Is(err, errNoPip) || !errors.Is(err, errOffline) {
		t.Errorf("%v", err)
	}
}

func TestInstallTakesAnyPip(t *testing.T) {
	needsShell(t)
	f := newFake(t)
	file := f.wheel(t, &f.opt.from.cpu, notAPlugin)
	f.put(t, filepath.Join(f.bin, "python3"), "#!/bin/sh\nexit 1\n")
	f.put(t, filepath.Join(f.bin, "pip3"), `#!/bin/sh
PATH=/usr/bin:/bin
[ "$1" = --version ] && exit 0
for a in "$@"; do
	[ "$last" = --dest ] && mkdir -p "$a" && cp '`+file+`' "$a"
	last=$a
done`)
	if _, err := Install(context.Background(), "wheel", f.opt); err != nil {
		t.Error(err)
	}
}

func TestInstallGivesUpOnSilence(t *testing.T) {
	needsShell(t)
	f := newFake(t)
	f.wheel(t, &f.opt.from.cpu, notAPlugin)
	f.pip(t, `echo half > "$dest"/x.whl; exec sleep 600`)
	_, err := installWheel(context.Background(), f.options(t), patience{bytes: time.Second})
	if !errors.Is(err, errSilent) {
		t.Errorf("%v", err)
	}
	if got := f.cache(t); len(got) != 0 {
		t.Errorf("left %v", got)
	}
}

func TestInstallInterrupted(t *testing.T) {
	needsShell(t)
	f := newFake(t)
	file := f.wheel(t, &f.opt.from.cpu, notAPlugin)
	started := filepath.Join(t.TempDir(), "started")
	f.pip(t, `echo half > "$dest"/x.whl; : > '`+started+`'; exec sleep 600`)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := Install(ctx, "cpu", f.opt)
		done <- err
	}()
	waitFor(t, started)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if got := f.cache(t); len(got) != 0 {
		t.Errorf("left %v", got)
	}

	// What a killed process leaves is cleared away, and is never taken for a plugin.
	f.put(t, filepath.Join(f.opt.CacheDir, "pjrt", stagePrefix+"1", cpuFile+".so"), "half")
	if got := List(f.opt); len(got) != 0 {
		t.Errorf("listed %+v", got)
	}
	f.pip(t, `cp '`+file+`' "$dest"/`)
	if _, err := Install(context.Background(), "cpu", f.opt); err != nil {
		t.Error(err)
	}
	if got := f.cache(t); !slices.Equal(got, []string{"cpu-2026.6.23/pjrt_c_api_cpu_plugin.so"}) {
		t.Errorf("the cache holds %v", got)
	}
}

// waitFor waits for a file that another process makes.
func waitFor(t *testing.T, file string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for {
		if _, err := os.Stat(file); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("no %s after a minute", file)
		}
	}
}

// child is what TestInstallInTwoProcesses hands to its processes.
type child struct {
	Cache, SHA256, MemberSHA256 string
	Bytes, MemberBytes          int64
}

func TestInstallInTwoProcesses(t *testing.T) {
	if text := os.Getenv("DEVICE_TEST_INSTALL"); text != "" {
		var c child
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		from := pinned
		from.cpu.bytes, from.cpu.sha256, from.cpu.memberBytes, from.cpu.memberSHA256 = c.Bytes, c.SHA256, c.MemberBytes, c.MemberSHA256
		p, err := Install(context.Background(), "wheel", Options{CacheDir: c.Cache, from: &from})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(p.Path); err != nil || string(b) != notAPlugin {
			t.Fatalf("installed %q, %v", b, err)
		}
		return
	}
	needsShell(t)
	f := newFake(t)
	w := &f.opt.from.cpu
	file := f.wheel(t, w, notAPlugin)
	dir := t.TempDir()
	// pip of the first process waits until the second process runs as well.
	f.pip(t, `: > '`+dir+`/pip'; while [ ! -e '`+dir+`/go' ]; do sleep 0.01; done; cp '`+file+`' "$dest"/`)
	text, err := json.Marshal(child{f.opt.CacheDir, w.sha256, w.memberSHA256, w.bytes, w.memberBytes})
	if err != nil {
		t.Fatal(err)
	}
	start := func(said *bytes.Buffer) *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^TestInstallInTwoProcesses$")
		cmd.Env = append(os.Environ(), "DEVICE_TEST_INSTALL="+string(text))
		cmd.Stdout, cmd.Stderr = said, said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	var said [2]bytes.Buffer
	one := start(&said[0])
	waitFor(t, filepath.Join(dir, "pip"))
	two := start(&said[1])
	f.put(t, filepath.Join(dir, "go"), "")
	if err := errors.Join(one.Wait(), two.Wait()); err != nil {
		t.Errorf("%v: %s%s", err, &said[0], &said[1])
	}
	if n := len(f.called(t)); n != 1 {
		t.Errorf("pip was called %d times", n)
	}
	if got := f.cache(t); !slices.Equal(got, []string{"cpu-2026.6.23/pjrt_c_api_cpu_plugin.so"}) {
		t.Errorf("the cache holds %v", got)
	}
}

func TestInstallCUDA(t *testing.T) {
	needsShell(t)
	f := newFake(t)
	file := f.wheel(t, &f.opt.from.cuda, notAPlugin)
	f.pip(t, `case "$3" in
download) cp '`+file+`' "$dest"/;;
install) mkdir -p "$dest/nvidia/cu13/bin" "$dest/nvidia/cu13/lib" "$dest/nvidia/cu13/nvvm" "$dest/nvidia/cudnn/lib"
	: > "$dest/nvidia/cu13/bin/ptxas"; : > "$dest/nvidia/cu13/lib/libcublas.so.13"; : > "$dest/nvidia/cu13/lib/libcublasLt.so.13";;
esac`)
	p, err := Install(context.Background(), "cuda", f.opt)
	if err != nil {
		t.Fatal(err)
	}
	if p.Kind != "cuda" || p.Version != "0.11.2" {
		t.Errorf("%+v", p)
	}
	home := filepath.Dir(p.Path)
	for _, rel := range []string{"../nvidia/cu13/lib/libcublas.so.13", "cudnn/lib", "bin/ptxas", "nvvm", "../../libcublas.so.13", "../../libcublasLt.so.13"} {
		if _, err := os.Stat(filepath.Join(home, rel)); err != nil {
			t.Errorf("beside the plugin: %v", err)
		}
	}
	calls := f.called(t)
	if len(calls) != 2 || !strings.Contains(calls[0], "jax-cuda13-pjrt==0.11.2") || !strings.Contains(calls[1], "nvidia-cudnn-cu13>=9.12.0.46,<10.0") {
		t.Errorf("pip was called with %q", calls)
	}
	if again, err := Install(context.Background(), "cuda", f.opt); err != nil || again != p || len(f.called(t)) != 2 {
		t.Errorf("again: %+v, %v", again, err)
	}
}

func TestInstallUnknown(t *testing.T) {
	if !hasCgo {
		t.Skip("a build without cgo installs no plugins")
	}
	if _, err := Install(context.Background(), "tpu", newFake(t).opt); err == nil || !strings.Contains(err.Error(), "choose cpu, wheel or cuda") {
		t.Errorf("%v", err)
	}
}
