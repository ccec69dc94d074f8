package device

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestListOrder(t *testing.T) {
	f := newFake(t)
	home := filepath.Dir(f.bin)
	pjrt := filepath.Join(f.opt.CacheDir, "pjrt")
	named := f.put(t, filepath.Join(home, "own", "my.so"), "named as a file")
	folder := f.put(t, filepath.Join(home, "more", "libpjrt_cpu.so"), "in a folder")
	f.put(t, filepath.Join(home, "more", "libc.so"), "no plugin")
	older := f.put(t, filepath.Join(pjrt, "cpu-v0.113.0", "pjrt_c_api_cpu_plugin.so"), "in the cache")
	newer := f.put(t, filepath.Join(pjrt, "cpu-v0.115.0", "pjrt_c_api_cpu_plugin.so"), "in the cache, later")
	if err := os.Chtimes(older, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	cuda := f.put(t, filepath.Join(pjrt, "cuda-0.1", "go-xla", "nvidia", "pjrt_c_api_cuda_plugin.so"), "for a GPU")
	goxla := f.put(t, filepath.Join(home, "home", ".local", "lib", "go-xla", "pjrt_c_api_cpu_v0.83.1_plugin.so"), "go-xla's")
	if err := os.Symlink(goxla, filepath.Join(filepath.Dir(goxla), "pjrt_c_api_cpu_plugin.so")); err != nil {
		t.Fatal(err)
	}
	f.opt.PluginPath = strings.Join([]string{named, "", filepath.Join(home, "nowhere"), filepath.Dir(folder)}, string(os.PathListSeparator))

	got := List(f.opt)
	want := []struct{ kind, version, path, from string }{
		{"plugin", "", named, fromPath},
		{"cpu", "", folder, fromPath},
		{"cuda", "0.1", cuda, fromCache},
		{"cpu", "v0.115.0", newer, fromCache},
		{"cpu", "v0.113.0", older, fromCache},
	}
	if len(got) < len(want)+1 { // the last may have neighbours in system folders
		t.Fatalf("found %+v", got)
	}
	for i, w := range want {
		if g := got[i]; g.Kind != w.kind || g.Version != w.version || g.Path != w.path || g.From != w.from || g.Bytes == 0 {
			t.Errorf("%d: %+v, want %v", i, g, w)
		}
	}
	n := 0
	for _, g := range got {
		if real, _ := filepath.EvalSymlinks(g.Path); real == goxla {
			n++
		}
	}
	if n != 1 {
		t.Errorf("go-xla's plugin is listed %d times", n)
	}
	if p, ok := first(got, "cpu"); !ok || p.Path != folder {
		t.Errorf("first for the CPU: %+v", p)
	}
	if _, ok := first(got, "tpu"); ok {
		t.Error("found a plugin for a TPU")
	}
}

func TestPluginProblems(t *testing.T) {
	if !hasCgo {
		if p := pluginAt("/x/libpjrt_cpu.so", fromPath); p.Problem != ErrNoCgo.Error() {
			t.Errorf("%+v", p)
		}
		return
	}
	p := pluginAt("/a,b/libpjrt_cpu.so", fromPath)
	if !strings.Contains(p.Problem, "comma") {
		t.Errorf("%+v", p)
	}
	// One with a problem is returned only where there is no other, to tell the problem.
	good := Plugin{Kind: "cpu", Path: "good"}
	if got, _ := first([]Plugin{p, good}, "cpu"); got != good {
		t.Errorf("%+v", got)
	}
	if got, _ := first([]Plugin{p}, "cpu"); got != p {
		t.Errorf("%+v", got)
	}
}

func TestPluginNames(t *testing.T) {
	for name, want := range map[string][]string{
		"pjrt_c_api_cpu_v0.114.0_plugin.so": {"cpu", "v0.114.0"},
		"pjrt_c_api_cuda_plugin.so":         {"cuda", ""},
		"pjrt-plugin-metal.dylib":           {"metal", ""},
		"pjrt_c_api_cpu_plugin.dll":         {"cpu", ""},
		"libpjrt_cpu.so":                    {"cpu", ""},
		"xla_cuda_plugin.so":                {"cuda", ""},
		"mine.so":                           {"plugin", ""},
	} {
		if p := pluginAt(filepath.Join(t.TempDir(), name), fromName); !slices.Equal([]string{p.Kind, p.Version}, want) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}
