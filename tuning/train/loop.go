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

	devices int // that share the micro-batches; 0 is 1
	seats   []seat
	learned []tensor
	place   map[string]int // of a learned weight in learned

	programs map[string]*nn.Program
	step     int // optimizer steps done
}

// tensor is something learned, with AdamW's moments. They and the value, in the first
// seat, stay on the device; a step consumes them and puts new ones in their place.
type tensor struct {
	param nn.Param
	m, v  compute.Buffer
}

// initial gives the first value of a learned parameter, in the device's layout.
type initial func(p nn.Param) ([]float32, error)

// prepare uploads the weights. learns tells which of the base's weights learn beside
// the adapter's factors.
func (l *loop) prepare(learns func(name string) bool, first initial) error {
	l.place, l.programs = map[string]int{}, map[string]*nn.Program{}
	l.seats = seats(l.devices)
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
			if err := l.freeze(p, v); err != nil {
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
	var value compute.Buffer
	zero := make([]float32, len(v))
	for _, put := range []struct {
		to     *compute.Buffer
		values []float32
	}{{&value, v}, {&t.m, zero}, {&t.v, zero}} {
		if *put.to, err = nn.Upload(l.backend, put.values, p.Shape.Dimensions...); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	l.place[p.Name] = len(l.learned)
	l.learned = append(l.learned, t)
	l.seats[0].values = append(l.seats[0].values, value)
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

// weights feeds the model's parameters, on the first device.
func (l *loop) weights(p nn.Param) (compute.Buffer, bool) { return l.seats[0].weights(l, p) }

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
	l      *loop
	device compute.DeviceNum
	held   []compute.Buffer
}

// give uploads values that the graph reads and does not consume.
func give[T float32 | int32 | uint32](f *feed, v []T, dims ...int) (compute.Buffer, error) {
	b, err := nn.UploadTo(f.l.backend, f.device, v, dims...)
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

// backward is the graph of a micro-batch; sum says that there is a gradient to add to.
func (l *loop) backward(b batch, sum bool) (*nn.Program, error) {
	return l.program(fmt.Sprintf("gradient_%s_%t", b.size, sum), l.gradient(b.size, sum))
}

// accumulate runs one micro-batch in a seat and adds its gradient to the seat's. It
// returns the batch's part of the loss.
func (l *loop) accumulate(s *seat, g *nn.Program, b batch, micro int) (loss float64, err error) {
	f := &feed{l: l, device: s.device}
	defer func() { err = errors.Join(err, f.free()) }()
	out, err := g.RunOn(s.device, func(p nn.Param) (compute.Buffer, bool, error) {
		if buf, ok := s.weights(l, p); ok {
			return buf, false, nil
		}
		if p.Name == "random" {
			r, err := give(f, seedOf(l.seed, l.step, micro), 2)
			return r, false, err
		}
		if buf, ok, err := f.inputs(b, p); ok {
			return buf, false, err
		}
		i := l.place[p.Name[len("sum:"):]]
		buf := s.gradients[i]
		s.gradients[i] = nil
		return buf, true, nil
	})
	if err != nil {
		return 0, err
	}
	s.gradients = out[1:]
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
		return l.seats[0].gradients[l.place[p.Name[len("gradient:"):]]], false, nil
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
		if err := l.adjust(i, scalars); err != nil {
			return 0, err
		}
	}
	l.stale()
	l.step++
	return scalar(out[0])
}

// adjust updates one parameter.
func (l *loop) adjust(i int, scalars map[string]compute.Buffer) error {
	t, first := &l.learned[i], &l.seats[0]
	dims, decays := t.param.Shape.Dimensions, decays(t.param.Name)
	g, err := l.program(fmt.Sprint("update", dims, decays), l.update(dims, decays))
	if err != nil {
		return err
	}
	state := map[string]compute.Buffer{"value": first.values[i], "m": t.m, "v": t.v, "gradient": first.gradients[i]}
	out, err := g.Run(func(p nn.Param) (compute.Buffer, bool, error) {
		if b, ok := scalars[p.Name]; ok {
			return b, false, nil
		}
		return state[p.Name], true, nil
	})
	if err != nil {
		return err
	}
	first.values[i], t.m, t.v, first.gradients[i] = out[0], out[1], out[2], nil
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

// value copies something learned to the host, in the device's layout.
func (l *loop) value(i int) ([]float32, error) { return nn.Download(l.seats[0].values[i]) }

// values copies everything learned to the host, in the device's layout.
func (l *loop) values() ([][]float32, error) {
	all := make([][]float32, len(l.learned))
	for i, t := range l.learned {
		var err error
		if all[i], err = l.value(i); err != nil {
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
		}{{&l.seats[0].values[i], values}, {&t.m, m}, {&t.v, v}} {
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
	l.stale()
	return nil
}

// close frees the device's memory.
func (l *loop) close() {
	for i := range l.seats {
		l.seats[i].close()
	}
	for _, t := range l.learned {
		finalize(t.m, t.v) // the run is over either way
	}
	for _, g := range l.programs {
		g.Free()
	}
}

var errNaN = errors.New("the loss is not a number")

// one makes a whole step: the micro-batches, those of each device one after the other,
// then the update.
func (l *loop) one(ctx context.Context, micro []batch, rate float64) (loss, norm float64, err error) {
	parts, err := l.deal(ctx, micro)
	if ctx.Err() != nil {
		return 0, 0, context.Cause(ctx)
	}
	if err != nil {
		return 0, 0, err
	}
	for _, part := range parts {
		loss += part
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return loss, 0, errNaN
	}
	norm, err = l.advance(rate)
	return loss, norm, err
}
