//go:build cgo

package device

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla"
)

func init() { xla.EnableAutoInstall(false) }

func openXLA(path string) (compute.Backend, error) { return xla.New(path) }
