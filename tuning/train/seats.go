package train

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"
	"golang.org/x/sync/errgroup"

	"lorikeet/inference/nn"
)

// seat is a device's part in a step: a copy of the weights, and the gradient that its
// micro-batches add up to. The first also makes the optimizer's step; what it learned is
// copied to the others by way of the host before their next turn, and their gradients to
// it. That is data-parallel training with whole copies (PyTorch's DistributedDataParallel)
// within one process: good for adapters, whose values and gradients are small.
type seat struct {
	device    compute.DeviceNum
	frozen    map[string]compute.Buffer // weights that stay, by name
	values    []compute.Buffer          // of what is learned; none: they are stale
	gradients []compute.Buffer          // none between steps
}

func seats(n int) []seat {
	all := make([]seat, max(n, 1))
	for i := range all {
		all[i].device, all[i].frozen = compute.DeviceNum(i), map[string]compute.Buffer{}
	}
	return all
}

// weights feeds the model's parameters.
func (s *seat) weights(l *loop, p nn.Param) (compute.Buffer, bool) {
	if i, ok := l.place[p.Name]; ok && p.Role != nn.Input {
		return s.values[i], true
	}
	b, ok := s.frozen[p.Name]
	return b, ok && p.Role == nn.Weight
}

// freeze puts a weight that stays into every seat.
func (l *loop) freeze(p nn.Param, v []float32) error {
	for i := range l.seats {
		b, err := nn.UploadTo(l.backend, l.seats[i].device, v, p.Shape.Dimensions...)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		l.seats[i].frozen[p.Name] = b
	}
	return nil
}

// deal runs the micro-batches, the i-th in seat i modulo their number, and gathers the
// gradients in the first. It gives the losses in the order of the batches, so that the
// same devices add up to the same bits.
func (l *loop) deal(ctx context.Context, micro []batch) ([]float64, error) {
	programs := make([]*nn.Program, len(micro))
	for i, b := range micro {
		var err error
		if programs[i], err = l.backward(b, i >= len(l.seats)); err != nil {
			return nil, err
		}
	}
	if err := l.spread(min(len(micro), len(l.seats))); err != nil {
		return nil, err
	}
	parts := make([]float64, len(micro))
	group, ctx := errgroup.WithContext(ctx)
	for n := range l.seats {
		group.Go(func() (err error) {
			for i := n; i < len(micro) && err == nil; i += len(l.seats) {
				if err = ctx.Err(); err == nil {
					parts[i], err = l.accumulate(&l.seats[n], programs[i], micro[i], i)
				}
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return parts, l.gather()
}

// spread copies what is learned from the first seat to the stale ones of the first n.
func (l *loop) spread(n int) error {
	for s := 1; s < n; s++ {
		to := &l.seats[s]
		if len(to.values) > 0 {
			continue
		}
		for i, t := range l.learned {
			v, err := l.value(i)
			if err != nil {
				return fmt.Errorf("%s: %w", t.param.Name, err)
			}
			b, err := nn.UploadTo(l.backend, to.device, v, t.param.Shape.Dimensions...)
			if err != nil {
				return fmt.Errorf("%s: %w", t.param.Name, err)
			}
			to.values = append(to.values, b)
		}
	}
	return nil
}

// gather adds the other seats' gradients to the first's.
func (l *loop) gather() error {
	first := &l.seats[0]
	for s := 1; s < len(l.seats); s++ {
		from := &l.seats[s]
		for i, g := range from.gradients {
			sum, err := nn.Download(first.gradients[i])
			if err != nil {
				return err
			}
			more, err := nn.Download(g)
			if err != nil {
				return err
			}
			for j, v := range more {
				sum[j] += v
			}
			finalize(g, first.gradients[i])
			from.gradients[i], first.gradients[i] = nil, nil
			if first.gradients[i], err = nn.Upload(l.backend, sum, l.learned[i].param.Shape.Dimensions...); err != nil {
				return err
			}
		}
		from.gradients = nil
	}
	return nil
}

// stale says that the first seat's values are new.
func (l *loop) stale() {
	for s := 1; s < len(l.seats); s++ {
		finalize(l.seats[s].values...)
		l.seats[s].values = nil
	}
}

func (s *seat) close() {
	for _, b := range s.frozen {
		finalize(b)
	}
	finalize(s.values...)
	finalize(s.gradients...)
}

// finalize frees buffers that nothing will be asked of; some may be nil.
func finalize(buffers ...compute.Buffer) {
	for _, b := range buffers {
		if b != nil {
			_ = b.Finalize()
		}
	}
}
