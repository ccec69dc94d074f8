package train

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/inference"
	"lorikeet/inference/nn"
)

// loop is one run: what is learned, on which model, and where it stands. It owns the
// device for as long as it runs.
type loop struct {
	backend compute.Backend
	base    *inference.Base
	model   model
	learn   *nn.Learn // nil: no LoRA
	random  bool      // dropout is on
	maxNorm float64
	decay   float64
	// optimizer holds AdamW's constants; nil: PyTorch's.
	optimizer *adamW
	seed      int64

	learned []tensor
	frozen  map[string]compute.Buffer // weights that stay, by name
	place   map[string]int            // of a learned weight in learned

	programs map[string]*nn.Program
	step     int // optimizer steps done
}

// tensor is something learned, with AdamW's moments. value, m and v stay on the
// device; a step consumes them and puts new ones in their place.
type tensor struct {
	param       nn.Param
	value, m, v compute.Buffer
	gradient    compute.Buffer // nil between steps
}

// initial gives the first value of a learned parameter, in the device's layout.
type initial func(p nn.Param) ([]float32, error)

// prepare uploads the weights. learns tells which of the base's weights learn beside
// the adapter's factors.
func (l *loop) prepare(learns func(name string) bool, first initial) error {
	l.frozen, l.place, l.programs = map[string]compute.Buffer{}, map[string]int{}, map[string]*nn.Program{}
	pass, _, err := nn.Build(l.backend, "layout", l.predict(size{rows: 1, length: 4, target: 4}))
	if err != nil {
		return err
	}
	for _, p := range pass.Params {
		switch {
		case p.Role == nn.Adapter, p.Role == nn.Weight && learns(p.Name):
			if err := l.addLearned(p, first); err != nil {
				return err
			}
		case p.Role == nn.Weight:
			v, err := l.base.Value(p)
			if err != nil {
				return err
			}
			if l.frozen[p.Name], err = nn.Upload(l.backend, v, p.Shape.Dimensions...); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *loop) addLearned(p nn.Param, first initial) error {
	v, err := first(p)
	if err != nil {
		return err
	}
	t := tensor{param: p}
	zero := make([]float32, len(v))
	for _, put := range []struct {
		to     *compute.Buffer
		values []float32
	}{{&t.value, v}, {&t.m, zero}, {&t.v, zero}} {
		if *put.to, err = nn.Upload(l.backend, put.values, p.Shape.Dimensions...); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	l.place[p.Name] = len(l.learned)
	l.learned = append(l.learned, t)
	return nil
}

// program compiles a graph once.
func (l *loop) program(name string, build func(*nn.Pass) []*graph.Node) (*nn.Program, error) {
	if g, ok := l.programs[name]; ok {
		return g, nil
	}
	g, err := nn.Compile(l.backend, name, build)
	if err == nil {
		l.programs[name] = g
	}
	return g, err
}

// weights feeds the model's parameters.
func (l *loop) weights(p nn.Param) (compute.Buffer, bool) {
	if i, ok := l.place[p.Name]; ok && p.Role != nn.Input {
		return l.learned[i].value, true
	}
	b, ok := l.frozen[p.Name]
	return b, ok && p.Role == nn.Weight
}

// pack pads examples to a batch of n rows, each of which weighs the same in the loss;
// missing rows weigh nothing.
func (l *loop) pack(rows []example, n int, weight float64) batch {
	b := l.model.pack(rows, n)
	if b.floats == nil {
		b.floats = map[string][]float32{}
	}
	b.floats["weight"] = make([]float32, n)
	for i := range rows {
		b.floats["weight"][i] = float32(weight)
	}
	return b
}

// feed uploads the arrays a graph asks for, and frees them after the run.
type feed struct {
	l    *loop
	held []compute.Buffer
}

// give uploads values that the graph reads and does not consume.
func give[T float32 | int32 | uint32](f *feed, v []T, dims ...int) (compute.Buffer, error) {
	b, err := nn.Upload(f.l.backend, v, dims...)
	if err == nil {
		f.held = append(f.held, b)
	}
	return b, err
}

func (f *feed) free() error {
	var errs []error
	for _, b := range f.held {
		errs = append(errs, b.Finalize())
	}
	return errors.Join(errs...)
}

// inputs feeds a batch; ok is false for a parameter that is no part of one.
func (f *feed) inputs(b batch, p nn.Param) (buffer compute.Buffer, ok bool, err error) {
	if v, ok := b.ints[p.Name]; ok {
		buffer, err = give(f, v, p.Shape.Dimensions...)
		return buffer, true, err
	}
	if v, ok := b.floats[p.Name]; ok {
		buffer, err = give(f, v, p.Shape.Dimensions...)
		return buffer, true, err
	}
	return nil, false, nil
}

// accumulate runs one micro-batch and adds its gradient to the step's. It returns
// the batch's part of the loss.
func (l *loop) accumulate(b batch, micro int) (loss float64, err error) {
	sum := micro > 0
	g, err := l.program(fmt.Sprintf("gradient_%s_%t", b.size, sum), l.gradient(b.size, sum))
	if err != nil {
		return 0, err
	}
	f := &feed{l: l}
	defer func() { err = errors.Join(err, f.free()) }()
	out, err := g.Run(func(p nn.Param) (compute.Buffer, bool, error) {
		if buf, ok := l.weights(p); ok {
			return buf, false, nil
		}
		if p.Name == "random" {
			r, err := give(f, seedOf(l.seed, l.step, micro), 2)
			return r, false, err
		}
		if buf, ok, err := f.inputs(b, p); ok {
			return buf, false, err
		}
		t := &l.learned[l.place[p.Name[len("sum:"):]]]
		buf := t.gradient
		t.gradient = nil
		return buf, true, nil
	})
	if err != nil {
		return 0, err
	}
	for i := range l.learned {
		l.learned[i].gradient = out[i+1]
	}
	return scalar(out[0])
}

// scalar reads and frees a scalar buffer.
func scalar(b compute.Buffer) (float64, error) {
	v, err := nn.Download(b)
	if err != nil {
		return 0, err
	}
	return float64(v[0]), b.Finalize()
}

// advance makes one step of the optimizer with the accumulated gradient, and returns
// the gradient's norm before clipping.
func (l *loop) advance(rate float64) (norm float64, err error) {
	g, err := l.program("norm", l.norm)
	if err != nil {
		return 0, err
	}
	out, err := g.Run(func(p nn.Param) (compute.Buffer, bool, error) {
		return l.learned[l.place[p.Name[len("gradient:"):]]].gradient, false, nil
	})
	if err != nil {
		return 0, err
	}
	f := &feed{l: l, held: out[1:]}
	defer func() { err = errors.Join(err, f.free()) }()
	t, adam := float64(l.step+1), l.adam()
	scalars := map[string]compute.Buffer{"clip": out[1]}
	for name, v := range map[string]float64{"rate": rate, "correction1": 1 - math.Pow(adam.beta1, t), "correction2": 1 - math.Pow(adam.beta2, t)} {
		if scalars[name], err = give(f, []float32{float32(v)}); err != nil {
			return 0, err
		}
	}
	for i := range l.learned {
		if err := l.adjust(&l.learned[i], scalars); err != nil {
			return 0, err
		}
	}
	l.step++
	return scalar(out[0])
}

// adjust updates one parameter.
func (l *loop) adjust(t *tensor, scalars map[string]compute.Buffer) error {
	dims, decays := t.param.Shape.Dimensions, decays(t.param.Name)
	g, err := l.program(fmt.Sprint("update", dims, decays), l.update(dims, decays))
	if err != nil {
		return err
	}
	state := map[string]compute.Buffer{"value": t.value, "m": t.m, "v": t.v, "gradient": t.gradient}
	out, err := g.Run(func(p nn.Param) (compute.Buffer, bool, error) {
		if b, ok := scalars[p.Name]; ok {
			return b, false, nil
		}
		return state[p.Name], true, nil
	})
	if err != nil {
		return err
	}
	t.value, t.m, t.v, t.gradient = out[0], out[1], out[2], nil
	return nil
}

// predictions runs the model on a batch without dropout → [rows][…].
func (l *loop) predictions(b batch) (rows [][]float32, err error) {
	g, err := l.program("predict_"+b.String(), l.predict(b.size))
	if err != nil {
		return nil, err
	}
	f := &feed{l: l}
	defer func() { err = errors.Join(err, f.free()) }()
	out, err := g.Run(func(p nn.Param) (compute.Buffer, bool, error) {
		if buf, ok := l.weights(p); ok {
			return buf, false, nil
		}
		buf, _, err := f.inputs(b, p)
		return buf, false, err
	})
	if err != nil {
		return nil, err
	}
	v, err := nn.Download(out[0])
	if err != nil {
		return nil, err
	}
	width := len(v) / b.rows
	for i := range b.rows {
		rows = append(rows, v[i*width:(i+1)*width])
	}
	return rows, out[0].Finalize()
}

// values copies everything learned to the host, in the device's layout.
func (l *loop) values() ([][]float32, error) {
	all := make([][]float32, len(l.learned))
	for i, t := range l.learned {
		var err error
		if all[i], err = nn.Download(t.value); err != nil {
			return nil, fmt.Errorf("%s: %w", t.param.Name, err)
		}
	}
	return all, nil
}

// restore puts values, and moments where there are any, back on the device.
func (l *loop) restore(values, m, v [][]float32) error {
	for i := range l.learned {
		t := &l.learned[i]
		for _, put := range []struct {
			to   *compute.Buffer
			from [][]float32
		}{{&t.value, values}, {&t.m, m}, {&t.v, v}} {
			if put.from == nil {
				continue
			}
			b, err := nn.Upload(l.backend, put.from[i], t.param.Shape.Dimensions...)
			if err != nil {
				return fmt.Errorf("%s: %w", t.param.Name, err)
			}
			if err := (*put.to).Finalize(); err != nil {
				return err
			}
			*put.to = b
		}
	}
	return nil
}

// close frees the device's memory.
func (l *loop) close() {
	for _, b := range l.frozen {
		_ = b.Finalize() // the run is over either way
	}
	for _, t := range l.learned {
		for _, b := range []compute.Buffer{t.value, t.m, t.v, t.gradient} {
			if b != nil {
				_ = b.Finalize()
			}
		}
	}
	for _, g := range l.programs {
		g.Free()
	}
}

var errNaN = errors.New("the loss is not a number")

// one makes a whole step: the micro-batches, then the update.
func (l *loop) one(ctx context.Context, micro []batch, rate float64) (loss, norm float64, err error) {
	for i, b := range micro {
		if err := ctx.Err(); err != nil {
			return 0, 0, context.Cause(ctx)
		}
		part, err := l.accumulate(b, i)
		if err != nil {
			return 0, 0, err
		}
		loss += part
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return loss, 0, errNaN
	}
	norm, err = l.advance(rate)
	return loss, norm, err
}
