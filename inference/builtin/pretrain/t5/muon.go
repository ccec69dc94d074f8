package main

import (
	"math"
	"strings"

	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/inference/nn"
)

// momentum is Muon's.
const momentum = 0.95

// orthogonal reports whether a weight learns by Muon: the matrices between hidden
// states do, tables do not.
func orthogonal(p nn.Param) bool {
	return len(p.Shape.Dimensions) == 2 && !strings.Contains(p.Name, "shared") && !strings.Contains(p.Name, "relative_attention_bias")
}

// muon is the direction of a step (Jordan et al. 2024): the gradient with momentum,
// whose singular values are all brought near 1, so that it learns in all directions
// alike. Its root mean square is near 0.6, somewhat more than that of Adam's steps.
func muon(gradient, m *graph.Node) (by, next *graph.Node) {
	next = graph.Add(graph.MulScalar(m, momentum), gradient)
	x := graph.Add(gradient, graph.MulScalar(next, momentum)) // Nesterov's
	rows, cols := x.Shape().Dim(0), x.Shape().Dim(1)
	if rows > cols {
		x = graph.Transpose(x, 0, 1)
	}
	x = graph.Div(x, graph.AddScalar(graph.Sqrt(graph.ReduceAllSum(graph.Square(x))), 1e-12))
	for range 5 { // Newton and Schulz's iteration, with coefficients that hurry
		a := graph.Einsum("ij,kj->ik", x, x)
		b := graph.Add(graph.MulScalar(a, -4.7750), graph.MulScalar(graph.Einsum("ij,jk->ik", a, a), 2.0315))
		x = graph.Add(graph.MulScalar(x, 3.4445), graph.Einsum("ij,jk->ik", b, x))
	}
	if rows > cols {
		x = graph.Transpose(x, 0, 1)
	}
	return graph.MulScalar(x, 0.6*math.Sqrt(float64(max(rows, cols)))), next
}
