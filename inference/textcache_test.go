package inference

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/nn"
)

// twoTensors is a family of which only the cache matters: keys and values of a layer of
// three heads.
type twoTensors struct{ family }

func (twoTensors) cache(r room) []shapes.Shape {
	return slices.Repeat([]shapes.Shape{shapes.Make(dtypes.Float32, r.rows, 3, r.length, 2)}, 2)
}
func (twoTensors) part() (from, to int) { return 0, 2 }

// TestBothCachesDoTheSame: the one that graphs write, and the one that the host writes.
func TestBothCachesDoTheSame(t *testing.T) {
	backend := devicetest.XLA(t)
	if !backend.HasSharedBuffers() {
		t.Skip("host and device share no memory")
	}
	values := func(s shapes.Shape, seed float32) compute.Buffer {
		v := make([]float32, s.Size())
		for i := range v {
			v[i] = seed + float32(i)
		}
		b, err := nn.Upload(backend, v, s.Dimensions...)
		must(t, err)
		return b
	}
	var held [2][][]float32
	for i, inGraph := range []bool{true, false} {
		g := &scripts{backend: backend, family: twoTensors{}, inGraph: inGraph, others: map[string]*nn.Program{}}
		c := newTextCache(g)
		defer c.close()
		look := func() {
			for n := range 2 {
				b, _ := c.feed(n)
				v, err := nn.Download(b)
				must(t, err)
				held[i] = append(held[i], v)
				if d, ok := c.(*deviceCache); ok {
					d.tensors[n] = b // feeding it did not use it up
				}
			}
		}
		first := room{rows: 4, length: 8}
		must(t, c.blank(first))
		read := room{rows: 3, length: 10} // for longer prompts than there is room for
		part := []compute.Buffer{values(g.family.cache(read)[0], 1), values(g.family.cache(read)[1], 1000)}
		must(t, c.insert(read, part, []int32{2, 2, 0}))
		look()
		must(t, c.pick([]int32{2, 0, 0, 3}, written(g.family)))
		look()
		must(t, c.move(room{rows: 8, length: 16}, []int32{1, 0, 2, 3, 0, 0, 0, 0}))
		look()
		step(t, backend, c, inGraph, []int32{3, 9, 0, 15, 1, 2, 3, 4})
		look()
		must(t, c.move(room{rows: 1, length: 8}, []int32{1}))
		look()
	}
	for i := range held[0] {
		if !slices.Equal(held[0][i], held[1][i]) {
			t.Errorf("look %d at tensor %d: graphs have %v, the host %v", i/2, i%2, held[0][i], held[1][i])
		}
	}
}

// step puts a token into each row.
func step(t *testing.T, backend compute.Backend, c textCache, inGraph bool, position []int32) {
	t.Helper()
	rows := len(position)
	program, err := nn.Compile(backend, fmt.Sprint("step", inGraph), func(p *nn.Pass) []*graph.Node {
		cache, at := nn.NewCache(p, 1, rows, 16, 3, 2), p.Input("position", dtypes.Int32, rows)
		token := graph.IotaFull(p.Graph, shapes.Make(dtypes.Float32, rows, 3, 1, 2))
		next := nn.Cache{Keys: []*graph.Node{token}, Values: []*graph.Node{graph.Neg(token)}}
		if inGraph {
			return cache.Append(next, at).Nodes()
		}
		return []*graph.Node{graph.Concatenate([]*graph.Node{graph.Reshape(next.Keys[0], 1, rows, 3, 2), graph.Reshape(next.Values[0], 1, rows, 3, 2)}, 0)}
	})
	must(t, err)
	out, err := program.Run(func(p nn.Param) (compute.Buffer, bool, error) {
		if p.Name == "position" {
			b, err := nn.Upload(backend, position, rows)
			return b, true, err
		}
		b, donate := c.feed(map[string]int{"keys.0": 0, "values.0": 1}[p.Name])
		return b, donate, nil
	})
	must(t, err)
	must(t, c.append(out, position))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
