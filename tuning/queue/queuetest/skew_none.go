//go:build !(linux && amd64)

package queuetest

import "fmt"

// Set would make this process's clock wrong; here nobody has written how.
func (c Clock) Set() error {
	return fmt.Errorf("%w: only on Linux on amd64", ErrNoSkew)
}
