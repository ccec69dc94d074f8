package nn

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra
	"github.com/gomlx/gomlx/ml/layers/activation"
)

// masked is added to the score of a position that must not be seen. exp of it is 0
// in float32, and a row that is masked throughout stays finite.
const masked = -1e9

// MaskBias turns a mask [batch, key] of ones and zeros into what is added to the
// attention scores, [batch, 1, 1, key].
func MaskBias(mask *Node) *Node {
	return ExpandAxes(MulScalar(OneMinus(ConvertDType(mask, dtypes.Float32)), masked), 1, 2)
}

// Attend is multi-head attention (Vaswani et al. 2017), scores scaled by 1/√(dim of
// a head). q [batch, query, dim], k and v [batch, key, dim]; bias is added to the
// scores [batch, heads, query, key]. drop is the dropout of the weights.
func Attend(p *Pass, q, k, v, bias *Node, heads int, drop float64) *Node {
	q, k, v = Heads(q, heads), Heads(k, heads), Heads(v, heads)
	// Queries and keys are turned round by hand: left to the product, the Go backend adds up
	// each score by itself, and a batch of MiniLM at 8x128 takes half as long again.
	scores := Einsum("bhqd,bhdk->bhqk", TransposeAllAxes(q, 0, 2, 1, 3), TransposeAllAxes(k, 0, 2, 3, 1))
	scores = MulScalar(scores, 1/math.Sqrt(float64(q.Shape().Dim(-1))))
	weights := p.Dropout(Softmax(Add(scores, bias), -1), drop)
	y := Einsum("bhqk,bkhd->bqhd", weights, v)
	return Reshape(y, y.Shape().Dim(0), y.Shape().Dim(1), -1)
}

// Heads splits the last axis: [batch, length, dim] → [batch, length, heads, dim/heads].
func Heads(x *Node, heads int) *Node {
	d := x.Shape().Dimensions
	return Reshape(x, d[0], d[1], heads, d[2]/heads)
}

// Activations are the functions config.json may name, with transformers' names.
var Activations = map[string]func(*Node) *Node{
	"gelu":              activation.Gelu,
	"gelu_new":          activation.GeluApproximate,
	"gelu_pytorch_tanh": activation.GeluApproximate,
	"relu":              activation.Relu,
	"silu":              activation.Swish,
	"swish":             activation.Swish,
	"tanh":              Tanh,
}

// Activate applies the activation of that name.
func Activate(name string, x *Node) *Node {
	f, ok := Activations[name]
	if !ok {
		panic(fmt.Sprintf("unknown activation %q", name))
	}
	return f(x)
}
