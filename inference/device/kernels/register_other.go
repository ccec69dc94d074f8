//go:build !(cgo && linux && amd64)

package kernels

import (
	"errors"
	"unsafe"
)

// Supported is the level of this machine.
func Supported() Level { return None }

// Register tells a plugin of the kernels.
func Register(_, _ unsafe.Pointer) error { return errors.New("this build has no kernels") }
