package train

import (
	"strings"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/inference/nn"
)

// The loop runs these graphs: gradient for each micro-batch, norm and then update for
// each parameter once a step, predict for evaluation. The host decides what a row weighs in the loss, so
// that a short last batch and gradient accumulation need no graph of their own.

// gradient builds, for a batch of this size, the weighted sum of the rows' losses and
// its gradient with respect to everything learned. sum says that the gradients of
// earlier micro-batches come in and are added to.
// Outputs: loss (scalar), then a gradient for each learned parameter.
func (l *loop) gradient(s size, sum bool) func(*nn.Pass) []*Node {
	return func(p *nn.Pass) []*Node {
		p.Learn = l.learn
		if l.random {
			p.Random = p.Input("random", dtypes.Uint32, 2)
		}
		loss := ReduceAllSum(Mul(l.model.losses(p, s), p.Input("weight", dtypes.Float32, s.rows)))

		var learned []*Node
		for _, t := range l.learned {
			learned = append(learned, p.Node(t.param.Role, t.param.Name))
		}
		outputs := []*Node{loss}
		for i, g := range Gradient(loss, learned...) {
			if sum {
				t := l.learned[i].param
				g = Add(g, p.Input("sum:"+t.Name, dtypes.Float32, t.Shape.Dimensions...))
			}
			outputs = append(outputs, g)
		}
		return outputs
	}
}

// predict builds the forward pass alone.
func (l *loop) predict(s size) func(*nn.Pass) []*Node {
	return func(p *nn.Pass) []*Node {
		p.Learn = l.learn
		return []*Node{l.model.predict(p, s)}
	}
}

// adamW holds the constants of the optimizer.
type adamW struct{ beta1, beta2, epsilon float64 }

// torchAdamW are those of torch.optim.AdamW.
var torchAdamW = adamW{beta1: 0.9, beta2: 0.999, epsilon: 1e-8}

// adam is the run's choice of them.
func (l *loop) adam() adamW {
	if l.optimizer == nil {
		return torchAdamW
	}
	return *l.optimizer
}

// norm builds the global norm of the gradients, and what they are multiplied by so that
// it is at most the largest allowed, as torch.nn.utils.clip_grad_norm_ does.
func (l *loop) norm(p *nn.Pass) []*Node {
	square := ScalarZero(p.Graph, dtypes.Float32)
	for _, t := range l.learned {
		g := p.Input("gradient:"+t.param.Name, dtypes.Float32, t.param.Shape.Dimensions...)
		square = Add(square, ReduceAllSum(Square(g)))
	}
	norm := Sqrt(square)
	clip := ScalarOne(p.Graph, dtypes.Float32)
	if l.maxNorm > 0 {
		clip = Min(clip, Div(Scalar(p.Graph, dtypes.Float32, l.maxNorm), AddScalar(norm, 1e-6)))
	}
	return []*Node{norm, clip}
}

// update builds one step of AdamW (Loshchilov & Hutter 2019) on a parameter. The scalars
// rate, correction1 = 1-β1ᵗ and correction2 = 1-β2ᵗ come from the host, clip from norm.
// Outputs: value, first and second moment.
//
// Parameters are updated one by one: XLA's CPU makes new tensors of what it is given to
// consume, and of all parameters at once that is a second copy of the model and of both
// moments, in fresh memory in every step.
func (l *loop) update(dims []int, decays bool) func(*nn.Pass) []*Node {
	return func(p *nn.Pass) []*Node {
		scalar := func(name string) *Node { return p.Input(name, dtypes.Float32) }
		rate, correction1, correction2, clip := scalar("rate"), scalar("correction1"), scalar("correction2"), scalar("clip")
		state := func(kind string) *Node { return p.Input(kind, dtypes.Float32, dims...) }
		value, m, v, g, adam := state("value"), state("m"), state("v"), state("gradient"), l.adam()
		g = Mul(g, clip)
		if decays {
			value = Sub(value, Mul(MulScalar(rate, l.decay), value))
		}
		m = Add(MulScalar(m, adam.beta1), MulScalar(g, 1-adam.beta1))
		v = Add(MulScalar(v, adam.beta2), MulScalar(Square(g), 1-adam.beta2))
		step := Div(Div(m, correction1), AddScalar(Sqrt(Div(v, correction2)), adam.epsilon))
		return []*Node{Sub(value, Mul(rate, step)), m, v}
	}
}

// decays reports whether weight decay acts on a parameter: not on biases and not on
// the scales of layer norms, as transformers' Trainer has it.
func decays(name string) bool {
	return !strings.HasSuffix(name, ".bias") && !strings.Contains(strings.ToLower(name), "norm")
}
