package devicetest

import (
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
)

func TestEachRunsAGraph(t *testing.T) {
	Each(t, func(t *testing.T, b compute.Backend) {
		got, err := graph.CallOnce(b, func(x *graph.Node) *graph.Node { return graph.Add(x, x) }, []float32{1, 2})
		if err != nil {
			t.Fatal(err)
		}
		if v := got.Value().([]float32); v[0] != 2 || v[1] != 4 {
			t.Errorf("x+x = %v", v)
		}
	})
}
