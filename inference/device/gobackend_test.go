package device_test

import (
	"context"
	"math"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/inference/device"
	"lorikeet/inference/device/devicetest"
)

// step is the loss and the gradients of a small model with what deadlocks the Go
// backend's parallel executor: embeddings that are gathered, projections side by side,
// each with an adapter gathered by the row's slot, attention, and erf.
func step(in []*graph.Node) []*graph.Node {
	ids, slot, target, emb, w, down, up, head := in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7]
	x := graph.Gather(emb, graph.ExpandAxes(ids, -1)) // [batch, time, dim]
	at := graph.ExpandAxes(slot, -1)
	var h *graph.Node
	for i := range 6 {
		x := graph.AddScalar(x, float64(i)/10)
		y := graph.Einsum("bti,oi->bto", x, w)
		r := graph.Einsum("bti,bri->btr", x, graph.Gather(down, at))
		y = graph.Add(y, graph.Einsum("btr,bor->bto", r, graph.Gather(up, at)))
		y = graph.Mul(y, graph.AddScalar(graph.Erf(y), 1))
		if h == nil {
			h = y
		} else {
			h = graph.Add(h, y)
		}
	}
	scores := graph.Softmax(graph.Einsum("bti,bsi->bts", h, h))
	y := graph.Einsum("bti,ci->btc", graph.Einsum("bts,bsi->bti", scores, h), head)
	loss := graph.ReduceAllMean(graph.Square(graph.Sub(y, target)))
	return append([]*graph.Node{loss}, graph.Gradient(loss, emb, w, down, up, head)...)
}

const batch, length, dim, wide, vocab, slots, rank, labels = 8, 16, 64, 128, 100, 4, 8, 3

func stepInputs() []any {
	ids := make([][]int32, batch)
	slot := make([]int32, batch)
	for i := range ids {
		slot[i] = int32(i % slots)
		for j := range length {
			ids[i] = append(ids[i], int32((i*7+j*3)%vocab))
		}
	}
	matrix := func(rows, cols int) [][]float32 {
		m := make([][]float32, rows)
		for i := range m {
			for j := range cols {
				m[i] = append(m[i], float32((i*31+j*17)%13)/100-0.05)
			}
		}
		return m
	}
	stack := func(n, rows, cols int) [][][]float32 {
		s := make([][][]float32, n)
		for i := range s {
			s[i] = matrix(rows, cols)
		}
		return s
	}
	return []any{ids, slot, stack(batch, length, labels), matrix(vocab, dim), matrix(wide, dim),
		stack(slots, rank, dim), stack(slots, wide, rank), matrix(labels, wide)}
}

// watch fails the test, with the stacks of all goroutines, if f does not end. The limit
// is a hundred times what f takes.
func watch(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(5 * time.Minute):
		var stacks strings.Builder
		_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
		t.Fatalf("deadlock:\n%s", stacks.String())
	}
}

// run takes one step and returns the loss.
func run(e *graph.Exec, in []any) (float32, error) {
	out, err := e.Call(in...)
	if err != nil {
		return 0, err
	}
	loss := out[0].Value().(float32)
	for _, o := range out {
		if err := o.FinalizeAll(); err != nil {
			return 0, err
		}
	}
	return loss, nil
}

func TestGoBackendNeverDeadlocks(t *testing.T) {
	b := devicetest.Go(t)
	e, err := graph.NewExec(b, step)
	if err != nil {
		t.Fatal(err)
	}
	in := stepInputs()
	var want float32
	watch(t, func() (err error) {
		want, err = run(e, in)
		return err
	})
	steps := 200
	if testing.Short() {
		steps = 40
	}
	// Sums are taken in the same order each time, but for the rows of the embedding
	// that a batch names twice, whose gradients do not reach the loss of one step.
	check := func() error {
		got, err := run(e, in)
		if err == nil && got != want {
			t.Errorf("loss %v, and %v before", got, want)
		}
		return err
	}
	t.Run("one graph after another", func(t *testing.T) {
		watch(t, func() error {
			for range steps {
				if err := check(); err != nil {
					return err
				}
			}
			return nil
		})
	})
	t.Run("many graphs at once", func(t *testing.T) {
		watch(t, func() error {
			var all sync.WaitGroup
			errs := make(chan error, 8)
			for range cap(errs) {
				all.Go(func() {
					for range steps / cap(errs) {
						if err := check(); err != nil {
							errs <- err
							return
						}
					}
				})
			}
			all.Wait()
			close(errs)
			return <-errs
		})
	})
}

func TestBackendsAgreeOnTheLoss(t *testing.T) {
	// Written down from the Go backend; 1e-4 is what the service promises for logits.
	want := math.NaN()
	devicetest.Each(t, func(t *testing.T, b compute.Backend) {
		e, err := graph.NewExec(b, step)
		if err != nil {
			t.Fatal(err)
		}
		got, err := run(e, stepInputs())
		if err != nil {
			t.Fatal(err)
		}
		if math.IsNaN(want) {
			want = float64(got)
		}
		if math.Abs(float64(got)-want) > 1e-4*want {
			t.Errorf("loss %v, and %v on the Go backend", got, want)
		}
	})
}

func TestInfo(t *testing.T) {
	for _, name := range []string{"go", "xla:cpu"} {
		t.Run(name, func(t *testing.T) {
			if name != "go" {
				devicetest.XLA(t) // or skip
			}
			d, err := device.Open(context.Background(), name, devicetest.Options())
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			info := d.Info()
			if info.Backend != name || info.Platform != "cpu" || len(info.Devices) != 1 || (info.Plugin == "") != (name == "go") {
				t.Errorf("%+v", info)
			}
			if s := info.String(); !strings.HasPrefix(s, name+" (") || !strings.HasSuffix(s, ", 1 device)") {
				t.Errorf("%s", s)
			}
		})
	}
}
