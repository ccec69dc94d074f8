package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"

	"lorikeet/inference/device/kernels"
)

var (
	// ErrUnknown is the answer to a backend name that does not exist.
	ErrUnknown = errors.New("unknown backend")

	// ErrNotInstalled means that the backend needs a plugin this machine does not have.
	ErrNotInstalled = errors.New("no plugin installed")

	// ErrNoCgo means that the backend or the command needs cgo and this build has none.
	ErrNoCgo = errors.New("this build has no cgo, which XLA plugins need: build with CGO_ENABLED=1 and a C compiler")
)

// Options says where plugins lie and what Open may do to get one.
type Options struct {
	// CacheDir holds what is downloaded, below its folder pjrt. Empty means
	// "lorikeet" in the user's cache folder.
	CacheDir string

	// PluginPath lists folders and plugin files that come before all others,
	// separated like PATH. It is the value of PJRT_PLUGIN_LIBRARY_PATH.
	PluginPath string

	// CompileCache is a folder that keeps what the plugin for the CPU has compiled; empty:
	// nothing is kept.
	CompileCache string

	// Kernels names the instructions that our matrix products may use on a CPU with the XLA
	// plugin: "off", "avx2", "avx512", "avx512bf16" or "amx"; "auto" or empty: what this processor has.
	// "bf16x3" has AMX, where there is one, multiply float32 too: see [kernels.BF16x3].
	Kernels string

	// Install lets Open download a plugin where none is installed.
	Install bool

	// Log hears what the caller should know, a line each; nil discards it.
	Log *slog.Logger

	// Progress shows downloads: a bar on a terminal, else a line now and then. Nil
	// shows nothing.
	Progress io.Writer

	// from is where downloads come from; tests replace it.
	from *sources
}

// FromEnv fills in the options that the environment decides.
func FromEnv(getenv func(string) string) Options {
	return Options{PluginPath: getenv("PJRT_PLUGIN_LIBRARY_PATH")}
}

func (o Options) withDefaults() (Options, error) {
	if o.CacheDir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return o, fmt.Errorf("find the user's cache folder: %w", err)
		}
		o.CacheDir = filepath.Join(dir, "lorikeet")
	}
	// go-xla takes only absolute paths for plugins.
	dir, err := filepath.Abs(o.CacheDir)
	if err != nil {
		return o, fmt.Errorf("cache folder %s: %w", o.CacheDir, err)
	}
	o.CacheDir = dir
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.from == nil {
		o.from = &pinned
	}
	if _, known := kernelLevels[o.Kernels]; !known {
		return o, fmt.Errorf("kernels %q: choose auto, off, avx2, avx512, avx512bf16, amx or bf16x3", o.Kernels)
	}
	return o, nil
}

var kernelLevels = map[string]kernels.Level{
	"": kernels.AMX, "auto": kernels.AMX, "off": kernels.None, "avx2": kernels.AVX2, "avx512": kernels.AVX512,
	"avx512bf16": kernels.AVX512BF16, "amx": kernels.AMX, "bf16x3": kernels.BF16x3,
}

// kernels is the level of them to use.
func (o Options) kernels() kernels.Level {
	level, has := kernelLevels[o.Kernels], kernels.Supported()
	if has == kernels.AMX {
		return level
	}
	return min(level, has)
}

// Device is an open backend. It is safe for concurrent use as far as the backend is.
type Device struct {
	// Backend runs the graphs.
	Backend compute.Backend

	info Info
}

// Open opens the backend called name:
//
//	auto       an installed XLA plugin, else (with opt.Install) one that is downloaded,
//	           else the Go backend, with one warning that says why
//	go         the Go backend; never touches the network
//	xla:cpu    the XLA plugin for the CPU, downloaded with opt.Install
//	xla:cuda   the XLA plugin for NVIDIA GPUs, never downloaded here: see Install
//	xla:PATH   the PJRT plugin in that file
//
// An XLA name may carry go-xla's options: "xla:cuda,tf32=true". An empty name is auto.
func Open(ctx context.Context, name string, opt Options) (*Device, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	routeKlog(opt.Log)

	family, rest, _ := strings.Cut(name, ":")
	plugin, extra, _ := strings.Cut(rest, ",")
	switch {
	case name == "" || name == "auto":
		return auto(ctx, opt)
	case name == "go":
		return openGo(opt)
	case family == "xla" && plugin == "cpu":
		return openCPU(ctx, extra, opt)
	case family == "xla" && plugin == "cuda":
		return openCUDA(extra, opt)
	case family == "xla" && isPath(plugin):
		return openFile(plugin, extra, opt)
	default:
		return nil, unknown(name, opt)
	}
}

// isPath tells a file from a mistyped name.
func isPath(s string) bool {
	return strings.ContainsAny(s, `/\`) || pluginExt[filepath.Ext(s)]
}

func unknown(name string, opt Options) error {
	installed := "none installed"
	if l := List(opt); len(l) > 0 {
		names := make([]string, len(l))
		for i, p := range l {
			names[i] = p.Path
		}
		installed = "installed plugins: " + strings.Join(names, ", ")
	}
	return fmt.Errorf("%w %q: choose auto, go, xla:cpu, xla:cuda or xla:PATH (%s)", ErrUnknown, name, installed)
}

func openCPU(ctx context.Context, extra string, opt Options) (*Device, error) {
	if !hasCgo {
		return nil, fmt.Errorf("backend xla:cpu: %w", ErrNoCgo)
	}
	p, ok := first(List(opt), "cpu")
	switch {
	case opt.Install && (!ok || p.damaged()):
		var err error
		if p, err = installCPU(ctx, opt, patient); err != nil {
			return nil, fmt.Errorf("backend xla:cpu: %w", err)
		}
	case !ok:
		return nil, fmt.Errorf("backend xla:cpu: %w: `service backend install` downloads one", ErrNotInstalled)
	}
	return openPlugin(p, extra, opt)
}

func openCUDA(extra string, opt Options) (*Device, error) {
	if !hasCgo {
		return nil, fmt.Errorf("backend xla:cuda: %w", ErrNoCgo)
	}
	p, ok := first(List(opt), "cuda")
	if !ok {
		return nil, fmt.Errorf("backend xla:cuda: %w: `service backend install cuda` downloads one", ErrNotInstalled)
	}
	return openPlugin(p, extra, opt)
}

func openFile(path, extra string, opt Options) (*Device, error) {
	if !hasCgo {
		return nil, fmt.Errorf("backend xla:%s: %w", path, ErrNoCgo)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("backend xla:%s: %w", path, err)
	}
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("backend xla:%s: %w", path, err)
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("backend xla:%s: not a file", path)
	}
	return openPlugin(pluginAt(path, fromName), extra, opt)
}

// guard turns a panic of f, which opens a backend, into an error. GoMLX panics where
// it finds no such backend.
func guard[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return f()
}
