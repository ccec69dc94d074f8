package device

import (
	"fmt"
	"runtime"

	"github.com/gomlx/compute"
	_ "github.com/gomlx/compute/gobackend" // registers "go"
	_ "github.com/gomlx/compute/lorikeet"  // with some operations of ours
)

// goConfig keeps the Go backend from deadlocking; the package comment says how.
const goConfig = "go:ops_sequential"

func openGo(opt Options) (*Device, error) {
	b, err := guard(func() (compute.Backend, error) { return compute.NewWithConfig(goConfig) })
	if err != nil {
		return nil, fmt.Errorf("backend go: %w", err)
	}
	if w := withoutSIMD(runtime.GOARCH); w != "" {
		opt.Log.Warn(w, "fix", "GOEXPERIMENT=simd go run ./service")
	}
	return &Device{Backend: b, info: Info{
		Backend:  "go",
		Platform: "cpu",
		Version:  module("compute"),
		Devices:  []string{threads()},
		SIMD:     hasSIMD && runtime.GOARCH == "amd64",
	}}, nil
}

// threads describes the processor.
func threads() string { return fmt.Sprintf("%s, %d threads", runtime.GOARCH, runtime.NumCPU()) }

// withoutSIMD is the warning that a build for arch deserves. The backend has vector
// code for amd64 only, and only where the experiment is switched on: its matrix
// products are 20 times faster with it.
func withoutSIMD(arch string) string {
	if hasSIMD || arch != "amd64" {
		return ""
	}
	return "the Go backend was built without SIMD and is many times slower than it could be"
}
