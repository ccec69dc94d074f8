package inference

import (
	"fmt"
	"math"

	"lorikeet/adapters"
	"lorikeet/inference/arch"
	"lorikeet/inference/nn"
)

// Prepared is an adapter ready to be copied into slots of the bank: its factors in
// the layout of the device, α/r folded in, biases as differences from the base's.
type Prepared struct {
	Ref      adapters.Ref
	Pages    int
	Profile  nn.Profile // what a batch with it needs of the graph
	Labels   []string   // nil: the base's
	Problem  arch.Problem
	Template string // how instructions become prompts
	// Temperature makes calibrated scores of its logits; 0: it is not calibrated.
	Temperature float64
	Bytes       int64

	// rows by the names of the bank's tensors: factors have Pages*PageRank*dim
	// values, everything else one slot's.
	rows map[string][]float32
	// embed is lora_embedding_A transposed, [vocabulary, Pages*PageRank].
	embed []float32
}

// Prepare turns an adapter's files into rows of the bank.
func (b *Base) Prepare(ref adapters.Ref, a *adapters.Adapter) (*Prepared, error) {
	p := &Prepared{Ref: ref, Template: a.Meta.Template, Pages: max(1, (a.Rank()+nn.PageRank-1)/nn.PageRank), rows: map[string][]float32{}}
	p.Profile = nn.Profile{Pages: p.Pages, Targets: map[string]bool{}}
	if a.Calibration != nil {
		p.Temperature = a.Calibration.Temperature
	}
	heads := false
	for _, m := range b.Layout {
		f, adapted := a.Factors[m.Path]
		_, saved := a.Saved[m.Path]
		bias := a.Biases[m.Path]
		var err error
		switch {
		case m.Kind == adapters.Head:
			heads = heads || adapted || saved || bias != nil
		case m.Kind == adapters.Embedding && adapted:
			p.embedding(m, f)
		case m.Kind == adapters.Output && saved:
			p.Profile.Heads = true
			d := a.Saved[m.Path]
			p.rows[m.Path+".weight"] = Transpose(d.Weight, d.Out, d.In)
		default:
			err = b.module(p, m, f, adapted, bias)
		}
		if err != nil {
			return nil, err
		}
	}
	facts := b.Facts()
	p.Problem = facts.Problem
	if heads {
		if err := b.heads(p, a); err != nil {
			return nil, err
		}
	} else if len(facts.Labels) == 0 && !b.Generates() {
		return nil, fmt.Errorf("%w: the adapter brings no head (modules_to_save %q) and base %s has none", ErrNoHead, facts.Heads, b.Name)
	}
	switch {
	case a.Meta.Problem != "":
		p.Problem = arch.Problem(a.Meta.Problem)
	case p.Problem == arch.MultiLabel:
	case len(p.Labels) == 1: // as transformers reads a head of one output
		p.Problem = arch.Regression
	case len(p.Labels) > 1:
		p.Problem = arch.SingleLabel
	}
	for _, r := range p.rows {
		p.Bytes += int64(4 * len(r))
	}
	p.Bytes += int64(4 * len(p.embed))
	return p, nil
}

// matrix is the base's weight of a linear layer, [out, in].
func (b *Base) matrix(m adapters.Module) ([]float32, error) {
	if m.Tied != "" {
		return b.Tensor(m.Tied + ".weight")
	}
	return b.Tensor(m.Path + ".weight")
}

// module prepares the factors and the bias of a layer that is not part of the head.
func (b *Base) module(p *Prepared, m adapters.Module, f adapters.Factors, adapted bool, bias []float32) error {
	rank := p.Pages * nn.PageRank
	var shift []float32
	if bias != nil {
		old, err := b.Tensor(m.Path + ".bias")
		if err != nil {
			return err
		}
		shift = subtract(bias, old)
	}
	if adapted {
		p.Profile.Targets[m.Path] = true
		scale, err := b.doraScale(m, f)
		if err != nil {
			return err
		}
		p.rows[m.Path+".lora_A"] = pad(f.A, f.Rank, f.In, rank, f.In)
		up := Transpose(f.B, f.Out, f.Rank) // [rank, out]
		multiply(up, f.Scale, scale)
		p.rows[m.Path+".lora_B"] = pad(up, f.Rank, f.Out, rank, f.Out)
		if scale != nil {
			p.rows[m.Path+".scale"] = scale
			p.Profile.Extras = true
		}
		if f.UpBias != nil {
			up := append([]float32(nil), f.UpBias...)
			multiply(up, f.Scale, scale)
			shift = add(up, shift)
		}
	}
	if shift != nil {
		p.rows[m.Path+".shift"] = shift
		p.Profile.Extras = true
	}
	return nil
}

func (p *Prepared) embedding(m adapters.Module, f adapters.Factors) {
	rank := p.Pages * nn.PageRank
	p.Profile.Targets[m.Path] = true
	p.Profile.Embed = true
	p.embed = Transpose(pad(f.A, f.Rank, f.In, rank, f.In), rank, f.In)
	up := Transpose(f.B, f.Out, f.Rank)
	multiply(up, f.Scale, nil)
	p.rows[m.Path+".lora_B"] = pad(up, f.Rank, f.Out, rank, f.Out)
}

// heads prepares the whole head, in one of three ways for each layer of it: stored
// whole, the base's with LoRA merged in, or the base's as it is.
func (b *Base) heads(p *Prepared, a *adapters.Adapter) error {
	p.Profile.Heads = true
	for _, m := range b.Layout {
		if m.Kind != adapters.Head {
			continue
		}
		d, saved := a.Saved[m.Path]
		if !saved {
			var err error
			if d, err = b.dense(m); err != nil {
				return err
			}
			if bias := a.Biases[m.Path]; bias != nil {
				d.Bias = bias
			}
			if f, ok := a.Factors[m.Path]; ok {
				if d, err = b.merge(m, d, f); err != nil { // adds lora_B's own bias to the layer's
					return err
				}
			}
		}
		if m.Labels {
			if d.Out > nn.MaxLabels {
				return fmt.Errorf("the head has %d labels, at most %d are served", d.Out, nn.MaxLabels)
			}
			p.Labels = b.labels(a, d.Out)
		}
		putHead(p.rows, m, d)
	}
	return nil
}

// labels names the outputs of a head: the adapter's own names, the base's when they
// are as many, else LABEL_0 and on, as transformers does.
func (b *Base) labels(a *adapters.Adapter, n int) []string {
	if len(a.Meta.Labels) == n {
		return a.Meta.Labels
	}
	if l := b.Facts().Labels; len(l) == n {
		return l
	}
	l := make([]string, n)
	for i := range l {
		l[i] = fmt.Sprintf("LABEL_%d", i)
	}
	return l
}

// dense is a layer of the base's own head.
func (b *Base) dense(m adapters.Module) (adapters.Dense, error) {
	d := adapters.Dense{In: m.In, Out: m.Out}
	var err error
	if d.Weight, err = b.Tensor(m.Path + ".weight"); err != nil {
		return d, err
	}
	if d.Weight == nil {
		return d, fmt.Errorf("%w: neither the adapter nor base %s has %s", ErrNoHead, b.Name, m.Path)
	}
	d.Bias, err = b.Tensor(m.Path + ".bias")
	return d, err
}

// merge folds LoRA into a layer: W + s·B·A, or DoRA's m·(W + s·B·A)/‖W + s·B·A‖.
func (b *Base) merge(m adapters.Module, d adapters.Dense, f adapters.Factors) (adapters.Dense, error) {
	scale, err := b.doraScale(m, f)
	if err != nil {
		return d, err
	}
	d.Weight = plusBA(d.Weight, f)
	if scale != nil {
		for o := range d.Out {
			for i := range d.In {
				d.Weight[o*d.In+i] *= scale[o]
			}
		}
	}
	if f.UpBias != nil {
		up := append([]float32(nil), f.UpBias...)
		multiply(up, f.Scale, scale)
		d.Bias = add(up, d.Bias)
	}
	return d, nil
}

// doraScale is DoRA's m/‖W + s·B·A‖ for each output (Liu et al. 2024, eq. 5; the
// norm is over the inputs), nil for plain LoRA.
func (b *Base) doraScale(m adapters.Module, f adapters.Factors) ([]float32, error) {
	if f.Magnitude == nil {
		return nil, nil
	}
	w, err := b.matrix(m)
	if err != nil {
		return nil, err
	}
	w = plusBA(w, f)
	scale := make([]float32, m.Out)
	for o := range scale {
		var sum float64
		for _, x := range w[o*m.In : (o+1)*m.In] {
			sum += float64(x) * float64(x)
		}
		scale[o] = float32(float64(f.Magnitude[o]) / math.Sqrt(sum))
	}
	return scale, nil
}

// plusBA is W + s·B·A, a new slice.
func plusBA(w []float32, f adapters.Factors) []float32 {
	sum := append([]float32(nil), w...)
	for o := range f.Out {
		row := sum[o*f.In : (o+1)*f.In]
		for r := range f.Rank {
			s := float32(f.Scale) * f.B[o*f.Rank+r]
			for i, a := range f.A[r*f.In : (r+1)*f.In] {
				row[i] += s * a
			}
		}
	}
	return sum
}

// putHead adds a head layer's rows, [in, width] and [width], padded with zeros.
func putHead(rows map[string][]float32, m adapters.Module, d adapters.Dense) {
	width := m.Out
	if m.Labels {
		width = nn.MaxLabels
	}
	rows[m.Path+".weight"] = pad(Transpose(d.Weight, d.Out, d.In), d.In, d.Out, d.In, width)
	rows[m.Path+".bias"] = pad(d.Bias, 1, d.Out, 1, width)
}

// pad copies a matrix [rows, cols] into the corner of a larger one of zeros.
func pad(v []float32, rows, cols, toRows, toCols int) []float32 {
	if rows == toRows && cols == toCols {
		return v
	}
	p := make([]float32, toRows*toCols)
	for i := range rows {
		copy(p[i*toCols:], v[i*cols:(i+1)*cols])
	}
	return p
}

// multiply scales v [rows, len(each)] by a number and, column by column, by each.
func multiply(v []float32, by float64, each []float32) {
	for i := range v {
		v[i] *= float32(by)
		if each != nil {
			v[i] *= each[i%len(each)]
		}
	}
}

func subtract(a, b []float32) []float32 {
	d := append([]float32(nil), a...)
	for i := range b {
		d[i] -= b[i]
	}
	return d
}

// add is a + b; a nil b is zero.
func add(a, b []float32) []float32 {
	for i := range b {
		a[i] += b[i]
	}
	return a
}
