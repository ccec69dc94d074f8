//go:build !(linux && cgo)

package device

// Trim does nothing on this system.
func Trim() {}
