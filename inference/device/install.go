package device

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/gofrs/flock"
)

func (o Options) pluginDir() string { return filepath.Join(o.CacheDir, "pjrt") }

// The names of what Install puts into a folder of the cache. CUDA's are go-xla's: the
// plugin and NVIDIA's libraries look for each other at these places.
const (
	cpuFile  = "pjrt_c_api_cpu_plugin"
	cudaFile = "pjrt_c_api_cuda_plugin.so"
)

// Install downloads a plugin into the cache, or finds it there, and returns it:
//
//	cpu    go-xla's release build; where that cannot be reached, the wheel (also "")
//	wheel  a wheel with XLA's CPU plugin, through pip; linux/amd64 only
//	cuda   the plugin for NVIDIA GPUs and NVIDIA's libraries, through pip, some
//	       gigabytes; linux/amd64 only
//
// What is refused or interrupted leaves nothing behind, and processes that install at
// the same time wait for each other.
func Install(ctx context.Context, which string, opt Options) (Plugin, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return Plugin{}, err
	}
	if !hasCgo {
		return Plugin{}, fmt.Errorf("install a plugin: %w", ErrNoCgo)
	}
	switch which {
	case "", "cpu":
		return installCPU(ctx, opt, patient)
	case "wheel":
		return installWheel(ctx, opt, patient)
	case "cuda":
		return installCUDA(ctx, opt, patient)
	}
	return Plugin{}, fmt.Errorf("no plugin %q to install: choose cpu, wheel or cuda", which)
}

// installCPU takes the first CPU plugin that it can get.
func installCPU(ctx context.Context, opt Options, p patience) (Plugin, error) {
	// The one that is there already, whichever it is.
	for _, dir := range []string{opt.from.releaseDir(), opt.from.wheelDir()} {
		if have, ok := opt.installed(dir, ""); ok {
			return have, nil
		}
	}
	have, releaseErr := installRelease(ctx, opt, p)
	if releaseErr == nil || ctx.Err() != nil {
		return have, releaseErr
	}
	have, wheelErr := installWheel(ctx, opt, p)
	if wheelErr != nil {
		return Plugin{}, fmt.Errorf("%w; %w", releaseErr, wheelErr)
	}
	return have, nil
}

// installWheel takes the CPU plugin out of its wheel.
func installWheel(ctx context.Context, opt Options, p patience) (Plugin, error) {
	if err := needsLinuxAMD64(); err != nil {
		return Plugin{}, fmt.Errorf("wheel %s: %w", opt.from.cpu.requirement(), err)
	}
	return opt.place(ctx, opt.from.wheelDir(), "", func(ctx context.Context, stage string) error {
		return fetchWheel(ctx, opt, opt.from.cpu, p, filepath.Join(stage, cpuFile+".so"))
	})
}

func needsLinuxAMD64() error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("it is for linux/amd64, and this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	return nil
}

// installed is the whole and sound plugin in the folder dir of the cache.
func (o Options) installed(dir, sub string) (Plugin, bool) {
	for _, p := range cached(o) {
		// Other problems, such as no GPU, are no reason to install the same file again.
		if !p.damaged() && filepath.Dir(p.Path) == filepath.Join(o.pluginDir(), dir, sub) {
			return p, true
		}
	}
	return Plugin{}, false
}

// place runs build on an empty folder, which then becomes, in one step, the folder dir
// of the cache with a plugin in its folder sub. It does nothing if that is there.
func (o Options) place(ctx context.Context, dir, sub string, build func(ctx context.Context, stage string) error) (Plugin, error) {
	root := o.pluginDir()
	if err := os.MkdirAll(root, 0o755); err != nil { // #nosec G301 -- another user may run what one installs
		return Plugin{}, fmt.Errorf("cache for plugins: %w", err)
	}
	lock := flock.New(filepath.Join(root, ".lock"))
	if _, err := lock.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		return Plugin{}, fmt.Errorf("wait for another installation in %s: %w", root, err)
	}
	defer func() { _ = lock.Unlock() }()

	if p, ok := o.installed(dir, sub); ok {
		return p, nil
	}
	// We hold the lock: what another process staged, it left behind when it was killed.
	stale, _ := filepath.Glob(filepath.Join(root, stagePrefix+"*"))
	for _, s := range stale {
		_ = os.RemoveAll(s)
	}
	stage, err := os.MkdirTemp(root, stagePrefix)
	if err != nil {
		return Plugin{}, fmt.Errorf("cache for plugins: %w", err)
	}
	defer func() { _ = os.RemoveAll(stage) }()

	if err := build(ctx, stage); err != nil {
		return Plugin{}, err
	}
	// MkdirTemp's folders are the owner's alone; a plugin is no secret.
	if err := os.Chmod(stage, 0o755); err != nil { // #nosec G302 -- another user may run what one installs
		return Plugin{}, fmt.Errorf("cache for plugins: %w", err)
	}
	if err := syncDir(stage); err != nil {
		return Plugin{}, err
	}
	final := filepath.Join(root, dir)
	if err := os.RemoveAll(final); err != nil {
		return Plugin{}, fmt.Errorf("remove the damaged plugin: %w", err)
	}
	if err := os.Rename(stage, final); err != nil {
		return Plugin{}, fmt.Errorf("put the plugin into the cache: %w", err)
	}
	if err := syncDir(root); err != nil {
		return Plugin{}, err
	}
	p, ok := o.installed(dir, sub)
	if !ok {
		return Plugin{}, errors.New("the installed plugin is not where it should be: " + final)
	}
	return p, nil
}

const stagePrefix = ".stage-"

// syncDir makes the names in a folder durable, where the system can.
func syncDir(dir string) error {
	d, err := os.Open(dir) // #nosec G304 -- of the installation under way
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil && runtime.GOOS != "windows" {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
