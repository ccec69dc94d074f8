//go:build cgo

package device

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"

	"lorikeet/inference/device/kernels"
)

// hasCgo tells whether this build can load plugins.
const hasCgo = true

// go-xla would download plugins of its own accord, without a pinned hash or a way to
// stop it. (Its init also sets TF_CPP_MIN_LOG_LEVEL where the user has not, so that
// plugins keep quiet on standard error.)
func init() { xla.EnableAutoInstall(false) }

// openPlugin loads the plugin and makes a client on it. extra is appended to the
// options of go-xla ("key=value,…"), and the last one of a name wins.
func openPlugin(p Plugin, extra string, opt Options) (*Device, error) {
	if p.Problem != "" {
		return nil, fmt.Errorf("plugin %s: %s", p.Path, p.Problem)
	}
	path, clean, err := plainPath(p)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", p.Path, err)
	}
	defer clean()

	level, refused := kernels.None, error(nil)
	if p.Kind == "cpu" {
		level, refused = interpose(path, opt)
	}
	config := path + "," + p.options() + "," + extra
	b, err := guard(func() (compute.Backend, error) { return xla.New(config) })
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", p.Path, err)
	}
	switch {
	case refused == nil:
	case opt.CompileCache != "":
		opt.Log.Warn("every graph is compiled anew", "error", refused)
	default:
		opt.Log.Debug("without kernels", "reason", refused)
	}
	info := Info{
		Backend:  "xla:" + p.Path,
		Platform: p.Kind,
		Version:  module("go-xla"),
		Plugin:   p.Path,
		SIMD:     true,
	}
	if level != kernels.None {
		info.Kernels = level.String()
	}
	if p.From != fromName && (p.Kind == "cpu" || p.Kind == "cuda") {
		info.Backend = "xla:" + p.Kind
	}
	// The plugin is loaded: this only looks it up.
	if loaded, err := pjrt.GetPlugin(path); err == nil {
		major, minor := loaded.Version()
		info.Version = fmt.Sprintf("PJRT %d.%d, %s", major, minor, info.Version)
	}
	info.Devices = devices(b, p.Kind)
	return &Device{Backend: b, info: info}, nil
}

func devices(b compute.Backend, kind string) []string {
	if kind == "cpu" {
		// XLA shows the one processor as several devices, of which we use the first.
		return []string{threads()}
	}
	var l []string
	for i := range b.NumDevices() {
		l = append(l, b.DeviceDescription(compute.DeviceNum(i)))
	}
	return l
}

// options are go-xla's options for this kind of plugin. They are spelled out because
// go-xla guesses them from the plugin's path.
func (p Plugin) options() string {
	switch p.Kind {
	case "cpu":
		return "shared_buffers,tf32=false"
	case "cuda":
		// A server and the child that trains share a GPU, so neither may take most
		// of its memory at the start. Without TF32 the numbers are PyTorch's.
		return "noshared_buffers,preallocate=false,tf32=false"
	}
	return ""
}

// plainPath is a path of p whose words do not mislead go-xla, which takes every plugin
// with "cuda" or "nvidia" in its path, so also one in /home/nvidia, for one of CUDA's.
func plainPath(p Plugin) (path string, clean func(), err error) {
	if p.Kind != "cpu" || !pjrt.IsCUDAName(p.Path) {
		return p.Path, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "pjrt")
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join(dir, "cpu"+filepath.Ext(p.Path))
	if err := os.Symlink(p.Path, path); err != nil {
		_ = os.RemoveAll(dir)
		return "", nil, err
	}
	return path, func() { _ = os.RemoveAll(dir) }, nil
}
