// Package device chooses and opens the compute backend.
package device

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gomlx/compute"
	_ "github.com/gomlx/compute/gobackend"
)

// Device is an open backend.
type Device struct {
	compute.Backend
}

// Open opens "go" or "xla:cpu".
func Open(name string) (*Device, error) {
	var b compute.Backend
	var err error
	switch name {
	case "go":
		b, err = compute.NewWithConfig("go:ops_sequential")
	case "xla:cpu":
		p := findCPU()
		if p == "" {
			return nil, fmt.Errorf("no PJRT CPU plugin is installed")
		}
		b, err = openXLA(p)
	default:
		err = fmt.Errorf("no backend %q", name)
	}
	if err != nil {
		return nil, err
	}
	return &Device{b}, nil
}

func findCPU() string {
	if dir, err := os.UserCacheDir(); err == nil {
		p := filepath.Join(dir, "lorikeet", "pjrt", "cpu", "libpjrt_cpu.so")
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return ""
}
