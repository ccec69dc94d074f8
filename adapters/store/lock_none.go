//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package store

import "os"

const haveLocks = false

// lock does nothing: this system has no flock. Two processes with embedded Redis on
// one folder are then not kept apart, and temporary files are swept by age.
func lock(*os.File) error { return nil }
