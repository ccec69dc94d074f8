//go:build !cgo

package device

import "fmt"

// hasCgo tells whether this build can load plugins.
const hasCgo = false

func openPlugin(p Plugin, _ string, _ Options) (*Device, error) {
	return nil, fmt.Errorf("plugin %s: %w", p.Path, ErrNoCgo)
}
