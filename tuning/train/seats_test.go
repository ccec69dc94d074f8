package train

import (
	"math"
	"slices"
	"testing"

	"lorikeet/adapters/safetensors/safetensorstest"
	"lorikeet/adapters/sharedtest"
	"lorikeet/inference/device/devicetest"
)

// TestDevicesShareAStep: several devices learn what one does, and the same bits each
// time. XLA's CPU plugin shows the processor as four.
func TestDevicesShareAStep(t *testing.T) {
	backend := devicetest.XLA(t)
	const most = 4
	if n := backend.NumDevices(); n < most {
		t.Skipf("the backend has %d devices, %d are wanted", n, most)
	}
	for _, fixture := range []string{"train-bert-full", "train-bert-lora"} {
		t.Run(fixture, func(t *testing.T) {
			dir := sharedtest.Fixture(t, fixture)
			c := readCurve(t, dir)
			batches := safetensorstest.Open(t, dir+"/batches.safetensors")
			train := func(devices int) (losses []float64, values [][]float32) {
				a := fixtureRun(t, backend, devices, dir, c)
				for i := range min(len(c.Steps), 3) {
					a.train = a.fixtureRows(t, batches, i)
					at := make([]int, len(a.train))
					for j := range at {
						at[j] = j
					}
					micro, n := a.micro([][]int{at}, len(at))
					if want := min(devices, len(at)); n != len(at) || len(micro) != want {
						t.Fatalf("%d examples became %d batches, want %d", n, len(micro), want)
					}
					loss, _, err := a.loop.one(t.Context(), micro, c.Hyper.LR)
					if err != nil {
						t.Fatal(err)
					}
					losses = append(losses, loss)
				}
				values, err := a.loop.values()
				if err != nil {
					t.Fatal(err)
				}
				return losses, values
			}
			want, _ := train(1)
			got, values := train(most)
			for i := range got {
				if d := math.Abs(got[i] - want[i]); d > 1e-5 {
					t.Errorf("step %d: loss %v, one device has %v", i, got[i], want[i])
				}
			}
			if want[0] == want[len(want)-1] {
				t.Error("nothing was learned")
			}
			_, again := train(most)
			for i := range values {
				if !slices.Equal(values[i], again[i]) {
					t.Errorf("the same run gives tensor %d other values", i)
				}
			}
		})
	}
}
