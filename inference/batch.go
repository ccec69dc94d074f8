package inference

import (
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"github.com/gomlx/compute"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/nn"
)

// execute runs one batch on the device and answers its items. It runs on the owner's
// goroutine, and gives the tokens that were read.
func (e *Engine) execute(batch []*item) (tokens int) {
	start := time.Now()
	batch, rows, device, err := e.attempt(batch)
	ran := time.Since(start)
	for i, it := range batch {
		r := result{index: it.index, err: err, queued: start.Sub(it.since), ran: ran, device: device, batch: len(batch)}
		if err == nil {
			r.logits, r.err = rows[i], finite(it, rows[i])
			tokens += len(it.tokens.IDs)
		}
		it.answer <- r
	}
	return tokens
}

// finite refuses scores that no caller can use. Weights that are finite, and were
// taken for that, may still be so large that their products are not.
func finite(it *item, logits []float32) error {
	for _, x := range logits {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			if it.adapter != nil {
				return invalid.Field("adapter", "%s gives scores that are not finite numbers: its weights are too large", it.adapter.Ref)
			}
			return invalid.Field("model", "%s gives scores that are not finite numbers", it.model.name)
		}
	}
	return nil
}

// attempt seats and runs what it can of a batch. A panic is an error of this batch
// and of nothing else: the process has other callers.
func (e *Engine) attempt(batch []*item) (seated []*item, rows [][]float32, device time.Duration, err error) {
	seated = batch
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("batch of %d: panic: %v\n%s", len(seated), p, debug.Stack())
		}
	}()
	seated, adapters, err := e.seat(batch)
	if err != nil || len(seated) == 0 {
		return seated, nil, 0, err
	}
	start := time.Now()
	rows, err = e.forward(seated, adapters)
	return seated, rows, time.Since(start), err
}

// seat makes the adapters of a batch resident. Texts whose adapter finds no free
// slot go back to the queue; those of one that cannot have any are refused.
func (e *Engine) seat(batch []*item) ([]*item, []*Prepared, error) {
	var wanted []*Prepared
	place := map[string]int{}
	for _, it := range batch {
		if it.adapter != nil {
			if _, ok := place[it.adapter.Ref.Digest]; !ok {
				place[it.adapter.Ref.Digest] = len(wanted)
				wanted = append(wanted, it.adapter)
			}
		}
	}
	if len(wanted) == 0 {
		return batch, nil, nil
	}
	n, err := batch[0].model.bank.fit(wanted)
	if err != nil {
		return batch, nil, err
	}
	if n == len(wanted) {
		return batch, wanted, nil
	}
	var now, later []*item
	for _, it := range batch {
		switch {
		case it.adapter == nil || place[it.adapter.Ref.Digest] < n:
			now = append(now, it)
		case n == 0 && place[it.adapter.Ref.Digest] == 0: // nothing can be evicted for the first: waiting would not help
			it.answer <- result{index: it.index, err: fmt.Errorf("%w: adapter %s needs %d", ErrFull, wanted[0].Ref, wanted[0].Pages)}
		default:
			later = append(later, it)
		}
	}
	e.queue.back(later)
	return now, wanted[:n], nil
}

// forward pads the batch to a compiled shape, runs it and gives each text's logits.
func (e *Engine) forward(batch []*item, adapters []*Prepared) ([][]float32, error) {
	m := batch[0].model
	length := 0
	for _, it := range batch {
		length = max(length, len(it.tokens.IDs))
	}
	labels := len(m.base.Facts().Labels)
	profile := union(adapters, labels == 0, e.pages())
	c := m.programs.pick(len(batch), length, profile)
	if c == nil { // nothing covers it yet: a variant's first request, or a test
		b := m.programs.smallest(len(batch), length)
		if err := m.programs.compile(b, profile); err != nil {
			return nil, err
		}
		c = m.programs.pick(len(batch), length, profile)
	}
	in, err := e.inputs(batch, m, c)
	if err != nil {
		return nil, err
	}
	out, err := c.program.Run(func(p nn.Param) (compute.Buffer, bool, error) {
		switch p.Role {
		case nn.Weight:
			return m.weights[p.Name], false, nil
		case nn.Slots:
			b, err := m.bank.buffer(p)
			return b, false, err
		}
		return in[p.Name], false, nil
	})
	if err != nil {
		return nil, err
	}
	values, err := nn.Download(out[0])
	if err != nil {
		return nil, err
	}
	for _, b := range out {
		_ = b.Finalize() // the values are here
	}
	if err := free(in); err != nil {
		return nil, err
	}
	e.count(batch, c)
	e.meters.batch(len(batch), len(adapters))
	width := len(values) / c.batch
	rows := make([][]float32, len(batch))
	for i, it := range batch {
		n := labels
		if it.adapter != nil && it.adapter.Labels != nil {
			n = len(it.adapter.Labels)
		}
		rows[i] = values[i*width : i*width+n]
	}
	return rows, nil
}

func (e *Engine) count(batch []*item, c *compiled) {
	e.stats.batches.Add(1)
	e.stats.rows.Add(int64(len(batch)))
	e.stats.padded.Add(int64(c.batch * c.length))
	for _, it := range batch {
		e.stats.tokens.Add(int64(len(it.tokens.IDs)))
	}
}

// inputs builds the arrays of a batch. Rows and positions beyond the texts are
// padding: masked, on slot 0.
func (e *Engine) inputs(batch []*item, m *served, c *compiled) (map[string]compute.Buffer, error) {
	ids := make([]int32, c.batch*c.length)
	mask := make([]int32, c.batch*c.length)
	types := make([]int32, c.batch*c.length)
	fillInt(ids, m.base.Text.PadID())
	for i, it := range batch {
		at := i * c.length
		copy(ids[at:], it.tokens.IDs)
		copy(types[at:], it.tokens.TypeIDs)
		fillInt(mask[at:at+len(it.tokens.IDs)], 1)
	}
	in := map[string]compute.Buffer{}
	var err error
	put := func(name string, v []int32, dims ...int) {
		if err == nil {
			in[name], err = nn.Upload(e.Backend, v, dims...)
		}
	}
	put("ids", ids, c.batch, c.length)
	put("mask", mask, c.batch, c.length)
	put("types", types, c.batch, c.length)
	if p := c.profile; p != nil {
		slots := make([]int32, c.batch*p.Pages)
		for i, it := range batch {
			if it.adapter != nil {
				copy(slots[i*p.Pages:], m.bank.loaded[it.adapter.Ref.Digest].slots)
			}
		}
		put("slots", slots, c.batch, p.Pages)
		if p.Embed && err == nil {
			in["token_factors"], err = nn.Upload(e.Backend, tokenFactors(batch, c), c.batch, c.length, p.Pages*nn.PageRank)
		}
	}
	return in, err
}

// tokenFactors gathers lora_embedding_A for each token, [batch, length, rank].
func tokenFactors(batch []*item, c *compiled) []float32 {
	rank := c.profile.Pages * nn.PageRank
	v := make([]float32, c.batch*c.length*rank)
	for i, it := range batch {
		if it.adapter != nil {
			it.adapter.embedded(v[i*c.length*rank:], it.tokens.IDs, rank)
		}
	}
	return v
}

// embedded writes the rows of lora_embedding_A for each token, in a width of rank.
func (p *Prepared) embedded(v []float32, ids []int32, rank int) {
	if p.embed == nil {
		return
	}
	r := p.Pages * nn.PageRank
	for t, id := range ids {
		copy(v[t*rank:(t+1)*rank], p.embed[int(id)*r:(int(id)+1)*r])
	}
}

func fillInt(v []int32, x int32) {
	for i := range v {
		v[i] = x
	}
}
