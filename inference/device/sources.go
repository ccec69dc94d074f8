package device

import (
	"time"

	"github.com/gomlx/go-xla/installer"
)

// sources is where plugins are downloaded from.
type sources struct {
	// release gives the address of go-xla's own build for a platform ("linux_amd64")
	// and version. It asks the release's API, so that an answer also means that the
	// download can be reached.
	release        func(platform, version string) (url string, err error)
	releaseVersion string

	cpu, cuda wheel

	// cudaLibs are the NVIDIA libraries that the CUDA plugin loads.
	cudaLibs []string
}

// wheel is a Python package that carries a plugin. The hashes pin it whatever index
// pip is told to use.
type wheel struct {
	name, version string
	bytes         int64 // of the wheel, for the progress bar
	sha256        string
	member        string // the plugin's path in the wheel
	memberBytes   int64
	memberSHA256  string
}

func (w wheel) requirement() string { return w.name + "==" + w.version }

// pinned is what this version of the service was tested with.
var pinned = sources{
	release:        installer.CPUGetDownloadURL,
	releaseVersion: "v0.114.0", // pjrt.DefaultCPUVersion, which only cgo builds can read

	// The unmodified XLA build of zml/pjrt-artifacts, Apache-2.0.
	cpu: wheel{
		name: "fastatomstruct-xla-cpu", version: "2026.6.23",
		bytes:        63_200_622,
		sha256:       "88b1c430b341b4bea40a37420311c9c75db6e22b46d2ff95b6986577bee6afe9",
		member:       "fastatomstruct_xla_cpu/libpjrt_cpu.so",
		memberBytes:  273_768_800,
		memberSHA256: "0a0fe56ca17be9efc7b942e89e534e5e0ad4a0f1e369b66d27b62184509015b9",
	},

	// JAX's own build, Apache-2.0.
	cuda: wheel{
		name: "jax-cuda13-pjrt", version: "0.11.2",
		bytes:        134_162_640,
		sha256:       "e5ff589d43064913bb74027682d89639c7ea48f9f81c2bae6fc75117e913f93e",
		member:       "jax_plugins/xla_cuda13/xla_cuda_plugin.so",
		memberBytes:  411_465_856,
		memberSHA256: "43d3efd6fd43d8a5d9aa67176e830d81e4ad5fc19fda4ad09cdcc4aebd9f3920",
	},

	// What jax-cuda13-plugin 0.11.2 requires in its extra "with-cuda".
	cudaLibs: []string{
		"nvidia-cublas>=13.0.0.19", "nvidia-cuda-cupti>=13.0.48", "nvidia-cuda-nvcc>=13.0.48",
		"nvidia-cuda-runtime>=13.0.48", "nvidia-cudnn-cu13>=9.12.0.46,<10.0", "nvidia-cufft>=12.0.0.15",
		"nvidia-cusolver>=12.0.3.29", "nvidia-cusparse>=12.6.2.49", "nvidia-nccl-cu13>=2.27.7",
		"nvidia-nvjitlink>=13.0.39", "nvidia-cuda-nvrtc>=13.0.48", "nvidia-nvshmem-cu13>=3.3.20", "nvidia-nvvm",
	},
}

// The folders below CacheDir/pjrt that each source fills.
func (s *sources) releaseDir() string { return "cpu-" + s.releaseVersion }
func (s *sources) wheelDir() string   { return "cpu-" + s.cpu.version }
func (s *sources) cudaDir() string    { return "cuda-" + s.cuda.version }

// bytes is the size that the plugin in a folder must have, or 0 if we do not know. A
// plugin cut short would not fail to load: it would kill the process.
func (s *sources) bytes(dir string) int64 {
	switch dir {
	case s.wheelDir():
		return s.cpu.memberBytes
	case s.cudaDir():
		return s.cuda.memberBytes
	}
	return 0
}

// patience is how long a silent network is waited for.
type patience struct {
	answer time.Duration // until the release's API has answered
	bytes  time.Duration // until the first, or the next, bytes of a download
}

var (
	// brisk is for a service that starts and has another backend to fall back on.
	brisk = patience{answer: 5 * time.Second, bytes: 30 * time.Second}

	// patient is for a user who asked for the download.
	patient = patience{answer: 20 * time.Second, bytes: 3 * time.Minute}
)
