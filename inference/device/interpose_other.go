//go:build cgo && !unix

package device

import "errors"

func interpose(string, Options) error {
	return errors.New("compile cache: there is none on this system")
}
