// Package goops has operations for GoMLX's Go backend, vectorized and on all its workers, where its
// own are not: GELU, softmax with the bias that attention adds before, and transposes. They
// take the places of those when the package is imported, on a processor with AVX2 and FMA and in a
// build with GOEXPERIMENT=simd; elsewhere the package does nothing.
//
// The backend's points of registration are internal to its module, so this is a module
// whose path lies below that one's, as Go's rule for internal packages wants; the service's go.mod replaces
// it with this folder.
package goops
