package learned

import (
	"errors"
	"math"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/inference/nn"
)

// Adam's constants (Kingma & Ba 2015), and the bound of the gradient's global norm.
const (
	beta1 = 0.9
	beta2 = 0.98 // steps are few: the moments must follow
	tiny  = 1e-8
	clip  = 1.0
)

// Change is what a rule has to move one weight by. All but the rate have its shape.
type Change struct {
	Param                 nn.Param
	Value, Gradient, M, V *graph.Node // the gradient is clipped
	Rate                  *graph.Node // the learning rate, a scalar

	correction1, correction2 *graph.Node
}

// Adam is the direction of a step, and the next moments.
func (c Change) Adam() (by, m, v *graph.Node) {
	m = graph.Add(graph.MulScalar(c.M, beta1), graph.MulScalar(c.Gradient, 1-beta1))
	v = graph.Add(graph.MulScalar(c.V, beta2), graph.MulScalar(graph.Square(c.Gradient), 1-beta2))
	by = graph.Div(graph.Div(m, c.correction1), graph.AddScalar(graph.Sqrt(graph.Div(v, c.correction2)), tiny))
	return by, m, v
}

// Update builds a step down the gradient of total, clipped by its global norm; rule
// moves each weight. It returns the norm, then the next value and moments of each
// weight: the last outputs of a graph for [Weights.Step].
func (w *Weights) Update(p *nn.Pass, total *graph.Node, rule func(Change) (value, m, v *graph.Node)) []*graph.Node {
	scalar := func(name string) *graph.Node { return p.Input(name, dtypes.Float32) }
	rate, one, two := scalar("rate"), scalar("correction1"), scalar("correction2")
	var values []*graph.Node
	for _, t := range w.Tensors {
		values = append(values, p.Node(nn.Weight, t.Param.Name))
	}
	grads := graph.Gradient(total, values...)
	square := graph.ScalarZero(p.Graph, dtypes.Float32)
	for _, g := range grads {
		square = graph.Add(square, graph.ReduceAllSum(graph.Square(g)))
	}
	norm := graph.Sqrt(square)
	scale := graph.Min(graph.ScalarOne(p.Graph, dtypes.Float32), graph.Div(graph.Scalar(p.Graph, dtypes.Float32, clip), graph.AddScalar(norm, 1e-6)))
	outputs := []*graph.Node{norm}
	for i, t := range w.Tensors {
		moment := func(kind string) *graph.Node {
			return p.Input(kind+":"+t.Param.Name, dtypes.Float32, t.Param.Shape.Dimensions...)
		}
		value, m, v := rule(Change{Param: t.Param, Value: values[i], Gradient: graph.Mul(grads[i], scale),
			M: moment("m"), V: moment("v"), Rate: rate, correction1: one, correction2: two})
		outputs = append(outputs, value, m, v)
	}
	return outputs
}

// Step runs a graph that ends with [Weights.Update]'s outputs and takes the weights and
// moments from it. It returns the values of the outputs before them, the norm last.
func (w *Weights) Step(g *nn.Program, ints map[string][]int32, floats map[string][]float32, rate float64) ([][]float32, error) {
	t := float64(w.Steps + 1)
	scalars := map[string]float64{"rate": rate, "correction1": 1 - math.Pow(beta1, t), "correction2": 1 - math.Pow(beta2, t)}
	var held []compute.Buffer
	out, err := g.Run(func(p nn.Param) (buf compute.Buffer, donate bool, err error) {
		dims := p.Shape.Dimensions
		kind, name, _ := strings.Cut(p.Name, ":")
		at, known := w.place[name]
		switch {
		case p.Role == nn.Weight:
			return w.Tensors[w.place[p.Name]].Value, true, nil
		case kind == "m" && known:
			return w.Tensors[at].M, true, nil
		case kind == "v" && known:
			return w.Tensors[at].V, true, nil
		case ints[p.Name] != nil:
			buf, err = nn.Upload(w.backend, ints[p.Name], dims...)
		case floats[p.Name] != nil:
			buf, err = nn.Upload(w.backend, floats[p.Name], dims...)
		default:
			buf, err = nn.Upload(w.backend, []float32{float32(scalars[p.Name])}, dims...)
		}
		held = append(held, buf)
		return buf, false, err
	})
	for _, h := range held {
		err = errors.Join(err, h.Finalize())
	}
	if err != nil {
		return nil, err
	}
	first := len(out) - 3*len(w.Tensors)
	for i := range w.Tensors {
		t, next := &w.Tensors[i], out[first+3*i:]
		t.Value, t.M, t.V = next[0], next[1], next[2]
	}
	w.Steps++
	values := make([][]float32, first)
	for i, o := range out[:first] {
		v, e := nn.Download(o)
		values[i], err = v, errors.Join(err, e, o.Finalize())
	}
	return values, err
}
