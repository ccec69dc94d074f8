package device_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/layers/activation"

	"lorikeet/inference/device"
)

var goBackend = sync.OnceValues(func() (*device.Device, error) {
	return device.Open(context.Background(), "go", device.Options{})
})

// goRun computes a graph by the Go backend.
func goRun[T float32 | int32](t *testing.T, f func(x, y *graph.Node) *graph.Node, x, y *tensors.Tensor) []T {
	t.Helper()
	d, err := goBackend()
	if err != nil {
		t.Fatal(err)
	}
	exec, err := graph.NewExec(d.Backend, f)
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	out, err := exec.Call(x, y)
	if err != nil {
		t.Fatal(err)
	}
	return tensors.MustCopyFlatData[T](out[0])
}

// some are numbers of all sizes that scores and activations have.
func some(dims ...int) (*tensors.Tensor, []float32) {
	random, n := rand.New(rand.NewPCG(1, uint64(len(dims)))), 1
	for _, d := range dims {
		n *= d
	}
	l := make([]float32, n)
	for i := range l {
		l[i] = float32(random.NormFloat64() * []float64{0.1, 1, 10}[i%3])
	}
	return tensors.FromFlatDataAndDimensions(l, dims...), l
}

// TestGoBackendActivates compares GELU, of what a bias is added to and of what is nothing but an
// input, with float64.
func TestGoBackendActivates(t *testing.T) {
	exact := func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) }
	approximate := func(x float64) float64 { return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) }
	for _, dims := range [][2]int{{1, 1}, {1, 7}, {3, 8}, {5, 13}, {300, 150}} {
		x, xs := some(dims[0], dims[1])
		y, ys := some(1, dims[1])
		for name, c := range map[string]struct {
			graph func(x *graph.Node) *graph.Node
			want  func(float64) float64
		}{"exact": {activation.Gelu, exact}, "approximate": {activation.GeluApproximate, approximate}} {
			for biased := range 2 {
				got := goRun[float32](t, func(x, y *graph.Node) *graph.Node {
					if biased == 0 {
						return c.graph(x)
					}
					return c.graph(graph.Add(x, y))
				}, x, y)
				for i := range got {
					x := float64(xs[i] + float32(biased)*ys[i%dims[1]])
					if want := c.want(x); math.Abs(float64(got[i])-want) > 1e-6*max(1, math.Abs(x)) {
						t.Fatalf("%s of %v, biased %d: element %d is %v, want %v", name, dims, biased, i, got[i], want)
					}
				}
			}
		}
	}
	x := tensors.FromFlatDataAndDimensions([]float32{float32(math.NaN()), float32(math.Inf(1)), 1}, 3)
	got := goRun[float32](t, func(x, _ *graph.Node) *graph.Node { return activation.Gelu(x) }, x, x)
	if got[0] == got[0] || !math.IsInf(float64(got[1]), 1) || math.Abs(float64(got[2])-exact(1)) > 1e-6 {
		t.Errorf("of what is no number, infinite and 1: %v", got)
	}
}

// TestGoBackendSoftmax compares that of scores, with biases for all or some of their axes, with float64.
func TestGoBackendSoftmax(t *testing.T) {
	for _, n := range []int{1, 5, 8, 43, 128} {
		dims := []int{3, 2, 17, n}
		x, xs := some(dims...)
		for _, own := range [][]int{nil, {3, 1, 1, n}, {1, 2, 17, n}, {1, 1, 1, n}, dims, {3, 2, 17, 1}} {
			y, ys := x, []float32(nil)
			if own != nil {
				y, ys = some(own...)
			}
			got := goRun[float32](t, func(x, y *graph.Node) *graph.Node {
				if own == nil {
					return graph.Softmax(x, -1)
				}
				return graph.Softmax(graph.Add(x, y), -1)
			}, x, y)
			for row := range len(xs) / n {
				sum, scores := 0.0, make([]float64, n)
				for i := range n {
					s := xs[row*n+i]
					if own != nil {
						at, left := 0, row*n+i
						for axis, stride := 3, 1; axis >= 0; axis-- {
							at += left % dims[axis] % own[axis] * stride
							left, stride = left/dims[axis], stride*own[axis]
						}
						s += ys[at]
					}
					scores[i] = math.Exp(float64(s))
					sum += scores[i]
				}
				for i, s := range scores {
					if math.Abs(float64(got[row*n+i])-s/sum) > 3e-6 {
						t.Fatalf("bias %v, keys %d: row %d, element %d is %v, want %v", own, n, row, i, got[row*n+i], s/sum)
					}
				}
			}
		}
	}
	x := tensors.FromFlatDataAndDimensions([]float32{1, float32(math.NaN()), 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, -1e9}, 2, 9)
	got := goRun[float32](t, func(x, _ *graph.Node) *graph.Node { return graph.Softmax(x, -1) }, x, x)
	if got[1] == got[1] || got[0] == got[0] || got[17] != 0 || !(got[16] > 0.6) {
		t.Errorf("of what is no number, and of what is hidden: %v", got)
	}
	twice := goRun[float32](t, func(x, _ *graph.Node) *graph.Node { x = graph.Neg(x); return graph.Softmax(graph.Add(x, x), -1) }, x, x)
	if twice[17] != 1 || twice[9] != 0 {
		t.Errorf("of a sum with itself: %v", twice)
	}
}

// TestGoBackendTransposes compares all orders of axes, in float32 and in another type, with the axes' meaning.
func TestGoBackendTransposes(t *testing.T) {
	var orders func(l []int, n int) [][]int
	orders = func(l []int, n int) (all [][]int) {
		if len(l) == n {
			return [][]int{slices.Clone(l)}
		}
		for i := range n {
			if !slices.Contains(l, i) {
				all = append(all, orders(append(slices.Clone(l), i), n)...)
			}
		}
		return all
	}
	for _, dims := range [][]int{{5}, {33, 18}, {3, 40, 1}, {2, 19, 5, 33}} {
		x, xs := some(dims...)
		whole := make([]int32, len(xs))
		for i := range whole {
			whole[i] = int32(i)
		}
		ints := tensors.FromFlatDataAndDimensions(whole, dims...)
		for _, order := range orders(nil, len(dims)) {
			turn := func(x, _ *graph.Node) *graph.Node { return graph.TransposeAllAxes(x, order...) }
			floats, from := goRun[float32](t, turn, x, x), goRun[int32](t, turn, ints, ints)
			for i := range floats {
				left, at := i, make([]int, len(dims)) // the place in x
				for axis := len(order) - 1; axis >= 0; axis-- {
					at[order[axis]] = left % dims[order[axis]]
					left /= dims[order[axis]]
				}
				place := 0
				for axis, d := range dims {
					place = place*d + at[axis]
				}
				if floats[i] != xs[place] || from[i] != int32(place) {
					t.Fatalf("%v in the order %v: element %d is %v and %d, want %v and %d", dims, order, i, floats[i], from[i], xs[place], place)
				}
			}
		}
	}
}
