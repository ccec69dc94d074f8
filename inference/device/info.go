package device

import (
	"fmt"
	"runtime/debug"
)

// Info describes an open backend, for people and for /info.
type Info struct {
	// Backend is the name that opens it again: go, xla:cpu, xla:cuda or xla:PATH.
	Backend string `json:"backend"`

	// Platform is what it computes on: cpu, cuda, or a plugin's own word.
	Platform string `json:"platform"`

	// Version names the software, such as "compute v0.1.3" or "PJRT 0.106, go-xla v0.4.1".
	Version string `json:"version"`

	// Plugin is the path of the PJRT plugin; empty for the Go backend.
	Plugin string `json:"plugin,omitempty"`

	// Kernels are the instructions that our own matrix products use: avx2, avx512, avx512bf16, amx
	// or bf16x3; empty where the backend's are all there is.
	Kernels string `json:"kernels,omitempty"`

	// Devices has one line for each device.
	Devices []string `json:"devices"`

	// SIMD tells whether the Go backend was built with vector instructions; XLA
	// always has them.
	SIMD bool `json:"simd"`
}

// String is one line, such as "xla:cpu (PJRT 0.106, go-xla v0.4.1, 1 device)".
func (i Info) String() string {
	version := i.Version
	if i.Kernels != "" {
		version += ", " + i.Kernels + " kernels"
	}
	if n := len(i.Devices); n != 1 {
		return fmt.Sprintf("%s (%s, %d devices)", i.Backend, version, n)
	}
	return fmt.Sprintf("%s (%s, 1 device)", i.Backend, version)
}

// Info describes d.
func (d *Device) Info() Info { return d.info }

// Close releases the backend and all that lies on it.
func (d *Device) Close() { d.Backend.Finalize() }

// module names a module of this binary, "go-xla v0.4.1"; without the version where the
// binary, as those of tests, does not say.
func module(name string) string {
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, m := range build.Deps {
			if m.Path == "github.com/gomlx/"+name {
				return name + " " + m.Version
			}
		}
	}
	return name
}
