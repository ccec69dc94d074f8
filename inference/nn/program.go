package nn

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra
)

// Program is a compiled graph and the list of what it must be fed.
type Program struct {
	Params  []Param
	backend compute.Backend
	graph   *Graph
}

// Build makes a graph without compiling it, to learn what it asks for. A panic of
// the graph-building code becomes an error.
func Build(backend compute.Backend, name string, build func(*Pass) []*Node) (p *Pass, outputs []*Node, err error) {
	defer caught(&err, "build graph "+name)
	p = NewPass(NewGraph(backend, name))
	outputs = build(p)
	return p, outputs, nil
}

// Compile builds and compiles a graph. It may be called from any goroutine.
func Compile(backend compute.Backend, name string, build func(*Pass) []*Node) (prog *Program, err error) {
	p, outputs, err := Build(backend, name, build)
	if err != nil {
		return nil, err
	}
	defer caught(&err, "compile graph "+name)
	if err := p.Graph.Compile(outputs...); err != nil {
		return nil, err
	}
	return &Program{Params: p.Params, backend: backend, graph: p.Graph}, nil
}

// Feed gives the buffer of a parameter. A donated buffer is consumed by the run,
// and its memory may hold one of the outputs.
type Feed func(Param) (buffer compute.Buffer, donate bool, err error)

// Run executes the program on the first device and gives its outputs, which the caller
// must finalize. The shapes of the buffers are checked: the backends do not all do it.
func (g *Program) Run(feed Feed) (out []compute.Buffer, err error) { return g.RunOn(0, feed) }

// RunOn is Run on a device of the backend's, where all buffers must be.
func (g *Program) RunOn(device compute.DeviceNum, feed Feed) (out []compute.Buffer, err error) {
	inputs := make([]compute.Buffer, len(g.Params))
	donate := make([]bool, len(g.Params))
	for i, p := range g.Params {
		inputs[i], donate[i], err = feed(p)
		if err != nil {
			return nil, err
		}
		shape, err := inputs[i].Shape()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		if !shape.Equal(p.Shape) {
			return nil, fmt.Errorf("%s: buffer of shape %s, the graph needs %s", p.Name, shape, p.Shape)
		}
	}
	defer caught(&err, "run graph")
	return g.graph.Executable().Execute(inputs, donate, device)
}

// Free releases the compiled graph.
func (g *Program) Free() { g.graph.Finalize() }

// DownloadIDs copies an int32 buffer from the device.
func DownloadIDs(b compute.Buffer) ([]int32, error) {
	shape, err := b.Shape()
	if err != nil {
		return nil, err
	}
	values := make([]int32, shape.Size())
	return values, b.ToFlatData(values)
}

// caught turns a panic into an error. GoMLX panics with errors.
func caught(err *error, doing string) {
	switch e := recover().(type) {
	case nil:
	case error:
		*err = fmt.Errorf("%s: %w", doing, e)
	default:
		*err = fmt.Errorf("%s: %v", doing, e)
	}
}

// Upload copies values to the first device.
func Upload[T float32 | int32 | uint32 | int8 | bfloat16.BFloat16](backend compute.Backend, values []T, dims ...int) (compute.Buffer, error) {
	return UploadTo(backend, 0, values, dims...)
}

// UploadTo copies values to a device.
func UploadTo[T float32 | int32 | uint32 | int8 | bfloat16.BFloat16](backend compute.Backend, device compute.DeviceNum, values []T, dims ...int) (compute.Buffer, error) {
	shape := shapes.Make(dtypes.FromGenericsType[T](), dims...)
	if shape.Size() != len(values) {
		return nil, fmt.Errorf("upload: %d values for shape %s", len(values), shape)
	}
	return backend.BufferFromFlatData(device, values, shape)
}

// Download copies a float32 buffer from the device.
func Download(b compute.Buffer) ([]float32, error) {
	shape, err := b.Shape()
	if err != nil {
		return nil, err
	}
	values := make([]float32, shape.Size())
	return values, b.ToFlatData(values)
}
