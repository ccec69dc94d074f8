//go:build cgo && linux && amd64 && emulate_amx

package kernels

// With the tag emulate_amx a processor that has all of AMX's level but its tiles has these in C: slow,
// and for tests.

// #cgo CFLAGS: -DLORIKEET_EMULATE_AMX
import "C"
