//go:build !goexperiment.simd

package device

// hasSIMD tells whether this binary was built with GOEXPERIMENT=simd.
const hasSIMD = false
