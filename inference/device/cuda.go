package device

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// cudaHome is where, below the plugin's folder in the cache, go-xla would keep CUDA.
// The plugin looks for its libraries in ../nvidia and below, seen from itself, and
// go-xla takes the same folder for XLA's CUDA directory.
const cudaHome = "go-xla/nvidia"

// installCUDA puts the CUDA plugin and NVIDIA's libraries side by side, as go-xla's
// installer does.
func installCUDA(ctx context.Context, opt Options, p patience) (Plugin, error) {
	if err := needsLinuxAMD64(); err != nil {
		return Plugin{}, fmt.Errorf("wheel %s: %w", opt.from.cuda.requirement(), err)
	}
	return opt.place(ctx, opt.from.cudaDir(), cudaHome, func(ctx context.Context, stage string) error {
		home := filepath.Join(stage, filepath.FromSlash(cudaHome))
		if err := os.MkdirAll(home, 0o755); err != nil { // #nosec G301 -- another user may run what one installs
			return err
		}
		if err := fetchWheel(ctx, opt, opt.from.cuda, p, filepath.Join(home, cudaFile)); err != nil {
			return err
		}
		return fetchCUDALibs(ctx, opt, p, stage, home)
	})
}

// fetchCUDALibs installs NVIDIA's wheels, which all unpack into a folder "nvidia", and
// moves what is in it to home. pip checks them against its index.
func fetchCUDALibs(ctx context.Context, opt Options, p patience, stage, home string) error {
	dir, err := os.MkdirTemp(stage, "libs-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	target := filepath.Join(dir, "got")
	args := append([]string{"install", "--only-binary=:all:", "--no-compile", "--target", target}, opt.from.cudaLibs...)
	if err := runPip(ctx, dir, opt.meter("NVIDIA's CUDA libraries", 0), p.bytes, args...); err != nil {
		return fmt.Errorf("NVIDIA's CUDA libraries: %w", err)
	}
	libs, err := os.ReadDir(filepath.Join(target, "nvidia"))
	if err != nil {
		return fmt.Errorf("NVIDIA's CUDA libraries: %w", err)
	}
	for _, l := range libs {
		if err := os.Rename(filepath.Join(target, "nvidia", l.Name()), filepath.Join(home, l.Name())); err != nil {
			return fmt.Errorf("NVIDIA's CUDA libraries: %w", err)
		}
	}
	// XLA looks for bin/ptxas and nvvm/libdevice in its CUDA directory, and some of the
	// libraries look for cuBLAS where a system has it, beside the folder go-xla.
	links := map[string]string{
		filepath.Join(home, "bin"):                "cu13/bin",
		filepath.Join(home, "nvvm"):               "cu13/nvvm",
		filepath.Join(stage, "libcublas.so.13"):   cudaHome + "/cu13/lib/libcublas.so.13",
		filepath.Join(stage, "libcublasLt.so.13"): cudaHome + "/cu13/lib/libcublasLt.so.13",
	}
	for link, to := range links {
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if err := os.Symlink(filepath.FromSlash(to), link); err != nil {
			return fmt.Errorf("NVIDIA's CUDA libraries: %w", err)
		}
	}
	return nil
}
