package nn

import (
	"math"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/inference/device/devicetest"
)

// TestTokenLossIsTheCrossEntropy compares the loss and its gradient, which is weight ·
// (softmax - one-hot), with the same sums in float64. The tolerance is float32's.
func TestTokenLossIsTheCrossEntropy(t *testing.T) {
	const rows, length, vocab = 2, 3, 5
	logits := make([]float32, rows*length*vocab)
	for i := range logits {
		logits[i] = float32(math.Sin(float64(i))) * 3
	}
	logits[7] = 300 // would overflow without the maximum taken off
	labels := []int32{1, -100, 4, 0, 2, -100}
	weights := []float32{1, 0, 0.5, 1, 1, 0}

	loss, slope := make([]float64, rows), make([]float64, len(logits))
	for i, w := range weights {
		if w == 0 {
			continue
		}
		x, top, sum := logits[i*vocab:(i+1)*vocab], math.Inf(-1), 0.0
		for _, v := range x {
			top = max(top, float64(v))
		}
		for _, v := range x {
			sum += math.Exp(float64(v) - top)
		}
		loss[i/length] += float64(w) * (top + math.Log(sum) - float64(x[labels[i]]))
		for j, v := range x {
			slope[i*vocab+j] = float64(w) * math.Exp(float64(v)-top) / sum
		}
		slope[i*vocab+int(labels[i])] -= float64(w)
	}

	devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
		g, err := Compile(backend, "loss", func(p *Pass) []*Node {
			x := p.Input("logits", dtypes.Float32, rows, length, vocab)
			y := TokenLoss(x, p.Input("labels", dtypes.Int32, rows, length), p.Input("weights", dtypes.Float32, rows, length))
			return []*Node{y, Gradient(ReduceAllSum(y), x)[0]}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Free()
		out, err := g.Run(func(p Param) (b compute.Buffer, donate bool, err error) {
			switch p.Name {
			case "logits":
				b, err = Upload(backend, logits, rows, length, vocab)
			case "labels":
				b, err = Upload(backend, labels, rows, length)
			default:
				b, err = Upload(backend, weights, rows, length)
			}
			return b, true, err
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range [][]float64{loss, slope} {
			got, err := Download(out[i])
			if err != nil {
				t.Fatal(err)
			}
			for j, w := range want {
				if !(math.Abs(float64(got[j])-w) <= 1e-5*math.Max(1, math.Abs(w))) {
					t.Errorf("%s[%d] is %v, want %v", []string{"loss", "gradient"}[i], j, got[j], w)
				}
			}
			_ = out[i].Finalize()
		}
	})
}
