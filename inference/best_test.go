package inference

import (
	"slices"
	"testing"
)

func TestBest(t *testing.T) {
	scores := []float32{1, 3, 2}
	for n, want := range [][]int32{nil, {1}, {1, 2}, {1, 2, 0}, {1, 2, 0}} {
		if got := best(scores, n); !slices.Equal(got, want) {
			t.Errorf("the best %d are %v, want %v", n, got, want)
		}
	}
}
