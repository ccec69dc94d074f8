package metrics_test

import (
	"fmt"
	"reflect"
	"testing"

	"lorikeet/tuning/metrics"
)

func TestClassificationEqualsSklearn(t *testing.T) {
	for _, c := range fixture(t).Classification {
		t.Run(c.Name, func(t *testing.T) {
			got := metrics.Classification(c.Want, c.Got, c.Classes)
			head := c.Macro
			if c.Binary != nil {
				head = *c.Binary
			}
			want := map[string]float64{"accuracy": c.Accuracy, "mcc": c.MCC}
			for suffix, v := range map[string]prf{"": head, "_macro": c.Macro, "_micro": c.Micro, "_weighted": c.Weighted} {
				want["precision"+suffix], want["recall"+suffix], want["f1"+suffix] = v.Precision, v.Recall, v.F1
			}
			if len(got) != len(want) {
				t.Errorf("%d metrics, want %d", len(got), len(want))
			}
			for name, w := range want {
				near(t, name, got[name], w, 1e-12)
			}
			confusion := metrics.Confusion(c.Want, c.Got, c.Classes)
			if !reflect.DeepEqual(confusion, c.Confusion) {
				t.Errorf("confusion %v, want %v", confusion, c.Confusion)
			}
			for i, s := range metrics.Classes(confusion) {
				near(t, fmt.Sprint("precision of class ", i), s.Precision, c.PerClass.Precision[i], 1e-12)
				near(t, fmt.Sprint("recall of class ", i), s.Recall, c.PerClass.Recall[i], 1e-12)
				near(t, fmt.Sprint("f1 of class ", i), s.F1, c.PerClass.F1[i], 1e-12)
				near(t, fmt.Sprint("support of class ", i), float64(s.Support), c.PerClass.Support[i], 0)
			}
		})
	}
}

func TestClassificationEdges(t *testing.T) {
	for name, tc := range map[string]struct {
		want, got []int
		labels    int
		accuracy  float64
	}{
		"no examples": {nil, nil, 2, 0},
		"no labels":   {nil, nil, 0, 0},
		"an index no class has is wrong, not a crash": {[]int{0, 1, 7}, []int{0, -1, 7}, 2, 1. / 3},
	} {
		t.Run(name, func(t *testing.T) {
			for key, v := range metrics.Classification(tc.want, tc.got, tc.labels) {
				if v != v {
					t.Errorf("%s is NaN", key)
				}
				if key == "accuracy" {
					near(t, key, v, tc.accuracy, 1e-15)
				}
			}
		})
	}
}
