package metrics_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"lorikeet/tuning/metrics"
)

func TestRegressionEqualsSklearnAndScipy(t *testing.T) {
	data, err := os.ReadFile("testdata/regression.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Name      string
			Want, Got []float64
			Expect    map[string]*float64 // null: the reference says NaN
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			got := metrics.Regression(c.Want, c.Got)
			if len(got) != len(c.Expect) {
				t.Errorf("%d metrics, want %d", len(got), len(c.Expect))
			}
			for name, want := range c.Expect {
				if want == nil {
					near(t, name, got[name], 0, 0)
					continue
				}
				near(t, name, got[name], *want, 1e-9*max(math.Abs(*want), math.SmallestNonzeroFloat64))
			}
		})
	}
}

func TestRegressionHoldsNothingJSONCannot(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, tc := range map[string]struct{ want, got []float64 }{
		"no examples":           {nil, nil},
		"one example":           {[]float64{1}, []float64{2}},
		"a prediction is NaN":   {[]float64{1, 2, 3}, []float64{1, nan, 3}},
		"a prediction is +Inf":  {[]float64{1, 2, 3}, []float64{1, inf, 3}},
		"squares that overflow": {[]float64{1e300, -1e300}, []float64{-1e300, 1e300}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := json.Marshal(metrics.Regression(tc.want, tc.got)); err != nil {
				t.Error(err)
			}
		})
	}
}
