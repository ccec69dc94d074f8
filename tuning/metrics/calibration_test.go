package metrics

import (
	"math"
	"math/rand/v2"
	"testing"
)

// drawn are logits whose labels were drawn from softmax(logits / temperature): a
// classifier that needs just this temperature.
func drawn(n, classes int, temperature float64) (logits [][]float32, labels []int) {
	r := rand.New(rand.NewPCG(7, 11))
	for range n {
		z := make([]float32, classes)
		for j := range z {
			z[j] = float32(3 * r.NormFloat64())
		}
		u, label := r.Float64(), 0
		for _, p := range softmax(z, 1/temperature) {
			if u -= p; u < 0 {
				break
			}
			label++
		}
		logits, labels = append(logits, z), append(labels, min(label, classes-1))
	}
	return logits, labels
}

func TestCalibrationFindsTheTemperature(t *testing.T) {
	for _, want := range []float64{0.5, 1, 2.5} {
		logits, labels := drawn(4000, 4, want)
		c := Calibrate(logits, labels)
		if math.Abs(c.Temperature/want-1) > 0.06 { // the estimate's own spread at 4000 rows is 3 %
			t.Errorf("temperature %v, drawn with %v", c.Temperature, want)
		}
		if want != 1 && c.Calibrated > c.ECE/2 || c.Calibrated > 0.03 {
			t.Errorf("drawn with %v: calibration error %v before, %v after", want, c.ECE, c.Calibrated)
		}
	}
}

func TestRowsThatAreAllRightDoNotMakeAClassifierCertain(t *testing.T) {
	var logits [][]float32
	var labels []int
	for i := range 40 {
		logits, labels = append(logits, []float32{1, 0}), append(labels, 0)
		if i%2 == 1 {
			logits[i], labels[i] = []float32{0, 1}, 1
		}
	}
	c := Calibrate(logits, labels)
	// 41 of 42, as Laplace has it: softmax(1/T) = 41/42.
	if want := 1 / math.Log(41); math.Abs(c.Temperature-want) > 1e-6 {
		t.Errorf("temperature %v, want %v", c.Temperature, want)
	}
	if c.AbstainBelow != 0 || c.Coverage != 0 {
		t.Errorf("nothing is wrong and %+v", c)
	}
}

func TestECE(t *testing.T) {
	// Two bins: 0.9 and 0.9 with one right (|1-1.8|), 0.3 wrong (0.3), over three.
	if got, want := ECE([]float64{.9, .9, .3}, []bool{true, false, false}), (0.8+0.3)/3; math.Abs(got-want) > 1e-12 {
		t.Errorf("%v, want %v", got, want)
	}
	if got := ECE(nil, nil); got != 0 {
		t.Error(got)
	}
	if got := ECE([]float64{1, 0}, []bool{true, false}); got != 0 {
		t.Error(got)
	}
}

func TestAbstain(t *testing.T) {
	sure := []float64{.9, .8, .7, .7, .6, .5}
	right := []bool{true, true, true, false, false, true}
	below, coverage, accuracy := abstain(sure, right) // 2 of 6 wrong: at most 1 in 6
	if below != .8 || math.Abs(coverage-2.0/6) > 1e-12 || accuracy != 1 {
		t.Errorf("below %v, coverage %v, accuracy %v", below, coverage, accuracy)
	}
	if below, _, _ := abstain([]float64{.9, .5}, []bool{false, true}); below != 0 {
		t.Errorf("the surest is wrong, and %v is recommended", below)
	}
}
