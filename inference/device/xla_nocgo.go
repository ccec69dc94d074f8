//go:build !cgo

package device

import (
	"errors"

	"github.com/gomlx/compute"
)

func openXLA(string) (compute.Backend, error) { return nil, errors.New("this build has no cgo") }
