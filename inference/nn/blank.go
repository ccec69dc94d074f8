package nn

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra
)

// Blank has zeros where mask [batch, length] is 0, which is padding: x [batch, length, …], the states
// that a model's layers begin with. It promises that nothing which is made of these rows, position
// by position, is read by others or given out, so that kernels of our own leave them out
// from there on. What they give in their place is zeros too, so that what reads them all
// the same and gives them no weight stays finite.
func Blank(x, mask *Node) *Node {
	return Where(NotEqual(mask, ZerosLike(mask)), x, ScalarZero(x.Graph(), x.DType()))
}
