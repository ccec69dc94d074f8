package device

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestOpenRefusesUnknownNames(t *testing.T) {
	f := newFake(t)
	for _, name := range []string{"foo", "cuda", "xla", "xla:", "xla:tpu", "go:parallelism=4", "auto:"} {
		_, err := Open(context.Background(), name, f.opt)
		if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "choose auto, go, xla:cpu, xla:cuda or xla:PATH (none installed)") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestGoNeverTouchesTheNetwork(t *testing.T) {
	f := newFake(t)
	f.opt.Install = true
	f.opt.from.release = func(string, string) (string, error) { t.Error("asked for the release"); return "", errOffline }
	f.pip(t, "exit 1")
	d, err := Open(context.Background(), "go", f.opt)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if n := f.called(t); n != nil {
		t.Errorf("called pip %q", n)
	}
	if got := f.cache(t); got != nil {
		t.Errorf("made %v", got)
	}
}

func TestOpenWithoutAPlugin(t *testing.T) {
	f := newFake(t)
	want := ErrNotInstalled
	if !hasCgo {
		want = ErrNoCgo
	}
	for name, help := range map[string]string{"xla:cpu": "`service backend install`", "xla:cuda": "`service backend install cuda`"} {
		_, err := Open(context.Background(), name, f.opt)
		if !errors.Is(err, want) || hasCgo && !strings.Contains(err.Error(), help) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := Open(context.Background(), "xla:"+filepath.Join(t.TempDir(), "none.so"), f.opt)
	if hasCgo && !errors.Is(err, os.ErrNotExist) || !hasCgo && !errors.Is(err, ErrNoCgo) {
		t.Errorf("%v", err)
	}
	_, err = Open(context.Background(), "xla:"+t.TempDir(), f.opt)
	if hasCgo && !strings.Contains(err.Error(), "not a file") {
		t.Errorf("%v", err)
	}
}

// warnings are the lines of f's log about backends, but for the one about SIMD.
func (f *fake) warnings() []string {
	var l []string
	for line := range strings.Lines(f.log.String()) {
		if strings.Contains(line, "level=WARN") && !strings.Contains(line, "SIMD") {
			l = append(l, line)
		}
	}
	return l
}

func TestAutoFallsBackToGo(t *testing.T) {
	tests := []struct {
		name  string
		setUp func(t *testing.T, f *fake)
		want  []string // in the one warning
	}{
		{"nothing installed, nothing to be installed", func(*testing.T, *fake) {}, []string{"no plugin is installed"}},
		{"offline", func(_ *testing.T, f *fake) { f.opt.Install = true },
			[]string{"no plugin is installed", errOffline.Error(), "no pip here", "`service backend install`"}},
		{"plugins that do not load", func(t *testing.T, f *fake) {
			f.opt.PluginPath = f.put(t, filepath.Join(t.TempDir(), "libpjrt_cpu.so"), notAPlugin) + string(os.PathListSeparator) +
				filepath.Dir(f.put(t, filepath.Join(t.TempDir(), "pjrt_c_api_cpu_v0.1_plugin.so"), notAPlugin+" either"))
		}, []string{"libpjrt_cpu.so", "pjrt_c_api_cpu_v0.1_plugin.so"}},
		{"an installed plugin that does not load", func(t *testing.T, f *fake) {
			needsShell(t)
			f.opt.Install = true
			file := f.wheel(t, &f.opt.from.cpu, notAPlugin)
			f.pip(t, `cp '`+file+`' "$dest"/`)
		}, []string{"cpu-2026.6.23"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t)
			test.setUp(t, f)
			d, err := Open(context.Background(), "auto", f.opt)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if d.Info().Backend != "go" {
				t.Errorf("opened %s", d.Info())
			}
			w := f.warnings()
			if len(w) != 1 {
				t.Fatalf("%d warnings: %q", len(w), w)
			}
			if !hasCgo {
				test.want = []string{"this build has no cgo"}
			}
			for _, s := range append(test.want, "slower Go backend", "--backend go") {
				if !strings.Contains(w[0], s) {
					t.Errorf("no %q in %s", s, w[0])
				}
			}
		})
	}
}

func TestAutoStopsWithItsContext(t *testing.T) {
	if !hasCgo {
		t.Skip("a build without cgo installs no plugins")
	}
	f := newFake(t)
	f.opt.Install = true
	ctx, cancel := context.WithCancel(context.Background())
	f.opt.from.release = func(string, string) (string, error) { cancel(); return "", errOffline }
	if d, err := Open(ctx, "auto", f.opt); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", d, err)
	}
}

// plugin is the CPU plugin of this machine, or a skip.
func plugin(t *testing.T) string {
	t.Helper()
	p, ok := first(List(FromEnv(os.Getenv)), "cpu")
	if !ok || p.Problem != "" {
		t.Skipf("no XLA CPU plugin: %s", p.Problem)
	}
	return p.Path
}

func TestAutoTakesAnInstalledPlugin(t *testing.T) {
	path := plugin(t)
	f := newFake(t)
	f.opt.Install = true
	broken := f.put(t, filepath.Join(t.TempDir(), "libpjrt_cpu.so"), notAPlugin)
	f.opt.PluginPath = broken + string(os.PathListSeparator) + path
	for _, name := range []string{"", "auto"} {
		d, err := Open(context.Background(), name, f.opt)
		if err != nil {
			t.Fatal(err)
		}
		if i := d.Info(); i.Backend != "xla:cpu" || i.Plugin != path {
			t.Errorf("%+v", i)
		}
		d.Close()
	}
	if w := f.warnings(); len(w) != 0 {
		t.Errorf("warned %q", w)
	}
}

func TestOpenFile(t *testing.T) {
	path := plugin(t)
	// go-xla would take a plugin below such a folder for one of CUDA's.
	link := filepath.Join(t.TempDir(), "nvidia", "libpjrt_cpu.so")
	if err := os.Mkdir(filepath.Dir(link), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link, path + ",tf32=false"} {
		d, err := Open(context.Background(), "xla:"+name, newFake(t).opt)
		if err != nil {
			t.Fatal(err)
		}
		file, _, _ := strings.Cut(name, ",")
		if i := d.Info(); i.Backend != "xla:"+file || i.Platform != "cpu" || len(i.Devices) != 1 {
			t.Errorf("%+v", i)
		}
		if c, ok := d.Backend.(interface{ IsCUDA() bool }); !ok || c.IsCUDA() {
			t.Errorf("%s is taken for CUDA's", name)
		}
		d.Close()
	}
	if _, err := Open(context.Background(), "xla:"+path+",speed=11", newFake(t).opt); err == nil || !strings.Contains(err.Error(), "speed") {
		t.Errorf("an unknown option: %v", err)
	}
}

func TestWarnsWithoutSIMD(t *testing.T) {
	if w := withoutSIMD("arm64"); w != "" {
		t.Errorf("on arm64, which has no vector code: %s", w)
	}
	if w := withoutSIMD("amd64"); (w == "") != hasSIMD {
		t.Errorf("on amd64: %q", w)
	}
	f := newFake(t)
	d, err := Open(context.Background(), "go", f.opt)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if runtime.GOARCH == "amd64" && strings.Contains(f.log.String(), "GOEXPERIMENT=simd go run ./service") == hasSIMD {
		t.Errorf("SIMD %t: %s", hasSIMD, f.log)
	}
}

func TestGuardTurnsPanicsIntoErrors(t *testing.T) {
	if _, err := guard(func() (int, error) { panic("no such backend") }); err == nil || !strings.Contains(err.Error(), "no such backend") {
		t.Errorf("%v", err)
	}
}

func TestDemote(t *testing.T) {
	var b strings.Builder
	l := slog.New(demote{slog.NewTextHandler(&b, nil)}).WithGroup("g").With("a", 1)
	l.Info("unheard")
	l.Error("heard")
	if s := b.String(); !strings.Contains(s, "level=WARN msg=heard g.a=1") || !strings.Contains(s, "from=gomlx") || strings.Contains(s, "unheard") {
		t.Errorf("%s", s)
	}
}
