package inference_test

import (
	"testing"

	"github.com/gomlx/compute"

	"lorikeet/inference"
	"lorikeet/inference/device/devicetest"
)

func TestOneTextAsksManyAdaptersInOneBatch(t *testing.T) {
	devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
		r := start(t, backend, 16, "negative", "positive")
		r.add(t, "small", 1, 2)
		r.add(t, "large", 2, 13, "a", "b", "c")
		before := r.Stats()
		with, in := []string{"small", "", "large"}, inference.Input{Text: "this movie is great"}
		all := r.predict(t, with, in, in, in)
		if s := r.Stats(); s.Batches != before.Batches+1 {
			t.Errorf("%d batches ran", s.Batches-before.Batches)
		}
		for i, name := range with {
			if alone := r.predict(t, []string{name}, in); !near(all.Rows[i].Logits, alone.Rows[0].Logits) {
				t.Errorf("%q: %v among the others, %v alone", name, all.Rows[i].Logits, alone.Rows[0].Logits)
			}
		}
	})
}
