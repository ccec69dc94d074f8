package train

import (
	"errors"
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/inference/nn"
)

// writing is a batch of texts at work. Its pages are the cache, which a step consumes
// and makes anew; what an encoder-decoder looks up in its source stays.
type writing struct {
	*loop
	scribe          scribe
	size            size
	room            int
	token, position []int32
	pages           []page
	source          []page
}

// read runs the batch's prompts or sources.
func (w *writing) read(b batch) error {
	layout, _, err := nn.Build(w.backend, "cache", func(p *nn.Pass) []*graph.Node { return w.scribe.blank(p, w.size, w.room) })
	if err != nil {
		return err
	}
	for _, q := range layout.Params {
		buffer, err := nn.Upload(w.backend, make([]float32, q.Shape.Size()), q.Shape.Dimensions...)
		if err != nil {
			return err
		}
		w.pages = append(w.pages, page{q.Name, buffer})
	}
	rows := make([]int32, w.size.rows)
	for i := range rows {
		rows[i] = int32(i)
	}
	b.ints["rows"] = rows
	_, given := w.scribe.start()
	out, err := w.run("read", w.scribe.reader, b)
	if err != nil {
		return err
	}
	if !given {
		return w.take(out)
	}
	for i, buffer := range out {
		w.source = append(w.source, page{fmt.Sprintf("source.%s.%d", []string{"keys", "values"}[i%2], i/2), buffer})
	}
	return nil
}

// step takes the last token of each row in, and finds the next.
func (w *writing) step(b batch) error {
	b.ints["token"], b.ints["position"] = w.token, w.position
	out, err := w.run("step", w.scribe.stepper, b)
	if err != nil {
		return err
	}
	for i := range w.position { // a row that is done goes on in its last place
		w.position[i] = min(w.position[i]+1, int32(w.room-1))
	}
	return w.take(out)
}

// run runs a graph on the learned values.
func (w *writing) run(name string, build func(*nn.Pass, size, int) []*graph.Node, b batch) (out []compute.Buffer, err error) {
	g, err := w.program(fmt.Sprintf("%s_%s_%d", name, w.size, w.room), func(p *nn.Pass) []*graph.Node {
		p.Learn = w.learn
		return build(p, w.size, w.room)
	})
	if err != nil {
		return nil, err
	}
	f := &feed{l: w.loop}
	defer func() { err = errors.Join(err, f.free()) }()
	return g.Run(func(p nn.Param) (compute.Buffer, bool, error) {
		if buf, ok := w.weights(p); ok {
			return buf, false, nil
		}
		for _, s := range w.source {
			if s.name == p.Name {
				return s.buffer, false, nil
			}
		}
		for i := range w.pages {
			if q := &w.pages[i]; q.name == p.Name {
				buf := q.buffer
				q.buffer = nil
				return buf, true, nil
			}
		}
		buf, ok, err := f.inputs(b, p)
		if err == nil && !ok {
			err = fmt.Errorf("%s: nothing to feed", p.Name)
		}
		return buf, false, err
	})
}

// take keeps what a run gave out: a token of each row, then the pages.
func (w *writing) take(out []compute.Buffer) error {
	for i := range w.pages {
		w.pages[i].buffer = out[i+1]
	}
	best, err := nn.Download(out[0])
	for i, id := range best {
		w.token[i] = int32(id)
	}
	return errors.Join(err, out[0].Finalize())
}

func (w *writing) close() error {
	var errs []error
	for _, p := range append(w.pages, w.source...) {
		if p.buffer != nil {
			errs = append(errs, p.buffer.Finalize())
		}
	}
	return errors.Join(errs...)
}
