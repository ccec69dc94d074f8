// Package device chooses and opens the compute backend that everything above it
// runs on: XLA through a PJRT plugin, or GoMLX's backend in Go.
//
// The name "auto" takes the fastest backend that can be had: an installed plugin,
// else one that is downloaded once into the user's cache, else the Go backend. See
// [Open]. XLA needs cgo; a build without it has the Go backend only.
//
// # Why the Go backend runs its operations one after another
//
// With its default settings, version 0.1.3 of the Go backend deadlocks on graphs of
// some width, such as the gradient of a few parallel projections or a batch of mixed
// adapters. Its parallel executor (FunctionExecutable.executeParallel) gives every
// operation that is ready a worker of a pool of 2 × GOMAXPROCS, and many operations
// divide their own work over the same pool: matrix products through Pool.Saturate,
// erf, convolution and others through Pool.WaitToStart. They wait for a second worker
// while they hold the first, and never say so (Pool.WorkerIsAsleep, which would lend
// the pool a worker meanwhile, is called nowhere). Once every worker is held by an
// operation that waits for a worker, nothing moves again. SIMD changes only how soon
// that happens: a plain build deadlocks as well.
//
// "ops_sequential" runs the operations of a graph on the goroutine that called it,
// which holds no worker. What the pool runs is then only the innermost loops, and
// those wait for nothing: a worker always comes free, so that no number of graphs
// run at once can deadlock. The loops inside one operation still use all cores.
// A larger pool ("parallelism=64", or -1 for no bound) also kept the graphs we tried
// from deadlocking, and ran wide ones of small shapes in two thirds of the time, but
// a number is not a proof: a wider graph needs a larger one.
package device
