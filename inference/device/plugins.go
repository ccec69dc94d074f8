package device

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gomlx/go-xla/installer"
)

// Plugin is a PJRT plugin on this machine: a shared library that compiles and runs
// XLA's programs.
type Plugin struct {
	// Kind is cpu or cuda, or what the file calls itself.
	Kind string `json:"kind"`

	// Version is what the file or its folder says, or empty.
	Version string `json:"version,omitempty"`

	// Path is absolute.
	Path string `json:"path"`

	// Bytes is the file's size.
	Bytes int64 `json:"bytes"`

	// From is how it was found.
	From string `json:"from"`

	// Problem says why it cannot be used here, or is empty.
	Problem string `json:"problem,omitempty"`
}

// Values of Plugin.From.
const (
	fromName  = "named"
	fromPath  = "PJRT_PLUGIN_LIBRARY_PATH"
	fromCache = "lorikeet's cache"
	fromGoXLA = "go-xla's folders"
)

const damagedPrefix = "damaged"

var pluginExt = map[string]bool{".so": true, ".dylib": true, ".dll": true}

// Names of plugin files: go-xla's, those of the wheels, those of builds by hand.
var pluginName = regexp.MustCompile(`^(?:pjrt_c_api_(.+)_plugin|pjrt[-_]plugin[-_](.+)|libpjrt_(.+)|xla_(cuda)_plugin)\.(?:so|dylib|dll)$`)

// damaged tells a file that Install would replace.
func (p Plugin) damaged() bool { return strings.HasPrefix(p.Problem, damagedPrefix) }

// List finds the plugins of this machine without loading one, in the order in which
// auto tries them: first those in opt.PluginPath, then our cache, the newest first,
// then the folders of go-xla; in each of them cuda before cpu.
func List(opt Options) []Plugin {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil
	}
	var found []Plugin
	for _, p := range filepath.SplitList(opt.PluginPath) {
		found = append(found, pluginsIn(p, fromPath)...)
	}
	found = append(found, cached(opt)...)
	for _, dir := range goXLADirs() {
		found = append(found, pluginsIn(dir, fromGoXLA)...)
	}

	// A versioned file and the link to it are one plugin.
	seen := map[string]bool{}
	return slices.DeleteFunc(found, func(p Plugin) bool {
		real, err := filepath.EvalSymlinks(p.Path)
		if err != nil || seen[real] {
			return true
		}
		seen[real] = true
		return false
	})
}

// cached lists what Install put into the cache.
func cached(opt Options) []Plugin {
	var found []Plugin
	dirs, _ := filepath.Glob(filepath.Join(opt.pluginDir(), "*-*"))
	for _, dir := range dirs {
		name := filepath.Base(dir)
		if strings.HasPrefix(name, ".") {
			continue // being installed, or left over from that
		}
		l := pluginsIn(dir, fromCache)
		l = append(l, pluginsIn(filepath.Join(dir, cudaHome), fromCache)...)
		for i := range l {
			_, l[i].Version, _ = strings.Cut(name, "-")
			if want := opt.from.bytes(name); want != 0 && l[i].Bytes != want {
				l[i].Problem = fmt.Sprintf(damagedPrefix+", %d bytes instead of %d: `service backend install` replaces it", l[i].Bytes, want)
			}
		}
		found = append(found, l...)
	}
	age := func(p Plugin) int64 {
		info, err := os.Stat(p.Path)
		if err != nil {
			return 0
		}
		return -info.ModTime().UnixNano()
	}
	slices.SortStableFunc(found, func(a, b Plugin) int {
		return cmp.Or(cmp.Compare(b.Kind, a.Kind), cmp.Compare(age(a), age(b)))
	})
	return found
}

// pluginsIn lists the plugins in a folder, or the one that path itself is.
func pluginsIn(path, from string) []Plugin {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	if !info.IsDir() {
		return []Plugin{pluginAt(path, from)}
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil
	}
	var found []Plugin
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		if !pluginName.MatchString(e.Name()) {
			continue
		}
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			found = append(found, pluginAt(file, from))
		}
	}
	slices.SortStableFunc(found, func(a, b Plugin) int { return cmp.Compare(b.Kind, a.Kind) })
	return found
}

// pluginAt describes the file at path, an absolute one.
func pluginAt(path, from string) Plugin {
	p := Plugin{Kind: "plugin", Path: path, From: from}
	base := filepath.Base(path)
	if m := pluginName.FindStringSubmatch(base); m != nil {
		p.Kind, p.Version, _ = strings.Cut(cmp.Or(m[1], m[2], m[3], m[4]), "_")
	}
	switch name := strings.ToLower(base); {
	case strings.Contains(name, "cuda") || strings.Contains(name, "nvidia"):
		p.Kind = "cuda"
	case strings.Contains(name, "cpu"):
		p.Kind = "cpu"
	}
	if info, err := os.Stat(path); err == nil {
		p.Bytes = info.Size()
	}
	switch {
	case !hasCgo:
		p.Problem = ErrNoCgo.Error()
	case strings.Contains(path, ","):
		p.Problem = "go-xla cannot load a path with a comma in it"
	case p.Kind == "cuda" && from != fromName && !installer.HasNvidiaGPU():
		p.Problem = "no NVIDIA GPU here"
	}
	return p
}

// goXLADirs are the folders that go-xla and its installer use by default.
func goXLADirs() []string {
	var dirs []string
	if home, err := installer.DefaultHomeLibPath(); err == nil {
		dirs = append(dirs, filepath.Join(home, "go-xla"), filepath.Join(home, "go-xla", "nvidia"), filepath.Join(home, "gomlx", "pjrt"))
	}
	return append(dirs, "/usr/local/lib/go-xla", "/usr/local/lib/go-xla/nvidia", "/usr/local/lib/gomlx/pjrt")
}

// first is the first plugin of kind that can be used; one with a problem, so that the
// caller's error can tell it, where there is no other.
func first(l []Plugin, kind string) (Plugin, bool) {
	var broken *Plugin
	for i, p := range l {
		if p.Kind != kind {
			continue
		}
		if p.Problem == "" {
			return p, true
		}
		if broken == nil {
			broken = &l[i]
		}
	}
	if broken != nil {
		return *broken, true
	}
	return Plugin{}, false
}
