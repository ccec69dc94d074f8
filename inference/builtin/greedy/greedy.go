// Package greedy is the plainest way to make an encoder-decoder write: the likeliest
// token each time, the whole target scored anew for every token. It is for measuring
// the built-in models; what serves requests keeps a cache.
package greedy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive,staticcheck // graph code reads as algebra

	"lorikeet/inference"
	"lorikeet/inference/nn"
)

// rows is how many prompts are answered at once.
const rows = 16

// Writer holds a base on a device.
type Writer struct {
	base     *inference.Base
	backend  compute.Backend
	weights  map[string]compute.Buffer
	programs map[string]*nn.Program
}

// New uploads a base that is an encoder-decoder.
func New(backend compute.Backend, base *inference.Base) (*Writer, error) {
	if base.Seq2Seq == nil {
		return nil, fmt.Errorf("%s is no encoder-decoder", base.Name)
	}
	weights, err := base.Upload(backend)
	return &Writer{base: base, backend: backend, weights: weights, programs: map[string]*nn.Program{}}, err
}

// Close releases what is on the device.
func (w *Writer) Close() error {
	var errs []error
	for _, b := range w.weights {
		errs = append(errs, b.Finalize())
	}
	for _, p := range w.programs {
		p.Free()
	}
	return errors.Join(errs...)
}

// Answer writes at most most tokens for each prompt.
func (w *Writer) Answer(ctx context.Context, prompts []string, most int) ([]string, error) {
	var out []string
	for some := range slices.Chunk(prompts, rows) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		texts, err := w.answer(some, most)
		if err != nil {
			return nil, err
		}
		out = append(out, texts...)
	}
	return out, nil
}

// rounded is the next multiple of 16: lengths that share a graph.
func rounded(n int) int { return (n + 15) / 16 * 16 }

func (w *Writer) answer(prompts []string, most int) (texts []string, err error) {
	f := w.base.Seq2Seq.Facts()
	ids := make([][]int32, len(prompts))
	longest := 1
	for i, p := range prompts {
		ids[i] = w.base.Text.Encode(p, nil, f.MaxLength).IDs
		longest = max(longest, len(ids[i]))
	}
	source := rounded(longest)
	in := map[string][]int32{"ids": slices.Repeat([]int32{f.Pad}, rows*source), "mask": make([]int32, rows*source)}
	for i := range rows {
		in["mask"][i*source] = 1 // attention to nothing is not a number
		if i < len(ids) {
			copy(in["ids"][i*source:], ids[i])
			for j := range ids[i] {
				in["mask"][i*source+j] = 1
			}
		}
	}
	states, err := w.run(fmt.Sprintf("read_%d", source), in, nil, func(p *nn.Pass) []*Node {
		return []*Node{w.base.Seq2Seq.Encode(p.Root(), p.Input("ids", dtypes.Int32, rows, source), p.Input("mask", dtypes.Int32, rows, source))}
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, states.Finalize()) }()
	shape, err := states.Shape()
	if err != nil {
		return nil, err
	}
	written, done := make([][]int32, len(prompts)), make([]bool, len(prompts))
	length := min(4, most) // of the target that is scored: it doubles when it is full
	for at := range most {
		if at == length {
			length = min(2*length, most)
		}
		in["decoder"] = slices.Repeat([]int32{f.Pad}, rows*length)
		for i := range rows {
			in["decoder"][i*length] = f.Start
			if i < len(written) {
				copy(in["decoder"][i*length+1:(i+1)*length], written[i])
			}
		}
		best, err := w.run(fmt.Sprintf("write_%d_%d", source, length), in, states, func(p *nn.Pass) []*Node {
			logits := w.base.Seq2Seq.Decode(p.Root(), p.Input("decoder", dtypes.Int32, rows, length),
				p.Input("states", dtypes.Float32, shape.Dimensions...), p.Input("mask", dtypes.Int32, rows, source))
			return []*Node{ConvertDType(ArgMax(logits, -1, dtypes.Int32), dtypes.Float32)}
		})
		if err != nil {
			return nil, err
		}
		tokens, err := nn.Download(best)
		if err = errors.Join(err, best.Finalize()); err != nil {
			return nil, err
		}
		for i := range written {
			id := int32(tokens[i*length+at])
			if done[i] = done[i] || slices.Contains(f.EOS, id); !done[i] {
				written[i] = append(written[i], id)
			}
		}
		if !slices.Contains(done, false) {
			break
		}
	}
	for _, ids := range written {
		texts = append(texts, w.base.Text.Decode(ids, true))
	}
	return texts, nil
}

// run runs a graph of one output, compiled when it is first asked for.
func (w *Writer) run(name string, in map[string][]int32, states compute.Buffer, build func(*nn.Pass) []*Node) (compute.Buffer, error) {
	g, ok := w.programs[name]
	if !ok {
		var err error
		if g, err = nn.Compile(w.backend, name, func(p *nn.Pass) []*Node {
			p.Untied = true // as the base was uploaded
			return build(p)
		}); err != nil {
			return nil, err
		}
		w.programs[name] = g
	}
	var held []compute.Buffer
	out, err := g.Run(func(p nn.Param) (compute.Buffer, bool, error) {
		switch {
		case p.Role == nn.Weight:
			return w.weights[p.Name], false, nil
		case p.Name == "states":
			return states, false, nil
		}
		b, err := nn.Upload(w.backend, in[p.Name], p.Shape.Dimensions...)
		held = append(held, b)
		return b, false, err
	})
	for _, h := range held {
		err = errors.Join(err, h.Finalize())
	}
	if err != nil {
		return nil, err
	}
	return out[0], nil
}
