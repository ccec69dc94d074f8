//go:build amd64 && goexperiment.simd

package goops

import (
	"simd/archsimd"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/internal/gobackend"
	_ "github.com/gomlx/compute/internal/gobackend/defaultpkgs" // what ours take the places of
)

func init() {
	if !archsimd.X86.AVX2() || !archsimd.X86.FMA() {
		return
	}
	gobackend.RegisterFusedGelu.Register(buildGelu, gobackend.PriorityUser)
	gobackend.SetNodeExecutor(compute.OpTypeFusedGelu, gobackend.PriorityUser, runGelu)
	gobackend.RegisterFusedSoftmax.Register(buildSoftmax, gobackend.PriorityUser)
	gobackend.SetNodeExecutor(compute.OpTypeFusedSoftmax, gobackend.PriorityUser, runSoftmax)
	gobackend.SetNodeExecutor(compute.OpTypeTranspose, gobackend.PriorityUser, runTranspose)
}

// grain is how many elements are worth a worker.
const grain = 1 << 14

// parallel has the backend's workers do n things, each of so many elements.
func parallel(b *gobackend.Backend, n, elements int, work func(from, to int)) {
	step := max(1, grain/max(elements, 1))
	if !b.Workers.IsEnabled() || n <= step {
		work(0, n)
		return
	}
	var group sync.WaitGroup
	for from := 0; from < n; from += step {
		group.Add(1)
		b.Workers.WaitToStart(func() {
			defer group.Done()
			work(from, min(from+step, n))
		})
	}
	group.Wait()
}

// inPlace gives the buffer for what an operation makes of its first input: that one, where it is of no more use.
func inPlace(b *gobackend.Backend, inputs []*gobackend.Buffer, owned []bool) (*gobackend.Buffer, error) {
	if owned[0] {
		x := inputs[0]
		inputs[0] = nil // it is ours now
		return x, nil
	}
	return b.GetBuffer(inputs[0].RawShape)
}

func isFloat(n *gobackend.Node) bool { return n.Shape.DType == dtypes.Float32 && !n.Shape.IsDynamic() }
