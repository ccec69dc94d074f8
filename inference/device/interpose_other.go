//go:build cgo && !unix

package device

import (
	"errors"

	"lorikeet/inference/device/kernels"
)

func interpose(string, Options) (kernels.Level, error) {
	return kernels.None, errors.New("there is no compile cache on this system")
}
