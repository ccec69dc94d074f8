package main

import (
	"fmt"
	"math"
	"slices"
)

// aligned makes n batches of texts that student and teacher cut into the same pieces.
func aligned(all []batch, n, length int) []batch {
	var rows []example
	var out []batch
	for _, b := range all {
		if b.length != length {
			continue
		}
		for _, e := range b.rows {
			if slices.Equal(e.studentWord, e.teacherWord) {
				rows = append(rows, e)
			}
		}
	}
	for chunk := range slices.Chunk(rows, tokens/length) {
		if len(chunk) == tokens/length && len(out) < n {
			out = append(out, batch{length: length, rows: chunk})
		}
	}
	return out
}

// heads gives the matrices of the losses, and the pooler, values to start from: a least
// squares fit of the teacher's states and embeddings to the pruned student's. The
// pooler starts as the state of [CLS], each dimension centred and scaled to where tanh
// is nearly straight.
func (p *pruner) heads(probes, texts []batch) error {
	got, err := p.states(probes)
	if err != nil {
		return err
	}
	p.head("distil.words", got[p.s.Layers][0], p.samples[p.t.Layers][0])

	states, err := p.states(texts)
	if err != nil {
		return err
	}
	all := states[p.s.Layers][0]
	cls, want := sample{dim: p.s.Dim}, sample{dim: p.t.Dim}
	at := 0
	for _, b := range texts {
		_, text, err := p.t.answer(b)
		if err != nil {
			return err
		}
		want.rows = append(want.rows, text...)
		for _, e := range b.rows {
			cls.rows = append(cls.rows, all.rows[at*p.s.Dim:(at+1)*p.s.Dim]...)
			at += len(e.student)
		}
	}
	mean, n := means(cls), len(cls.rows)/cls.dim
	scale := make([]float64, cls.dim)
	for i, v := range cls.rows {
		d := float64(v) - mean[i%cls.dim]
		scale[i%cls.dim] += d * d / float64(n)
	}
	pooler, bias := make([]float32, p.s.Dim*p.s.Dim), make([]float32, p.s.Dim)
	for i := range scale {
		s := 0.5 / math.Sqrt(scale[i]+1e-6)
		pooler[i*p.s.Dim+i], bias[i] = float32(s), float32(-s*mean[i])
	}
	p.weights["bert.pooler.dense.weight"], p.weights["bert.pooler.dense.bias"] = pooler, bias
	for i := range cls.rows {
		c := i % cls.dim
		cls.rows[i] = float32(math.Tanh(float64(cls.rows[i]*pooler[c*p.s.Dim+c] + bias[c])))
	}
	p.head("distil.text", cls, want)
	return nil
}

// head fits a linear layer from x to y.
func (p *pruner) head(name string, x, y sample) {
	m, shift := regress(x, y)
	w, b := make([]float32, x.dim*y.dim), make([]float32, y.dim)
	for o := range y.dim {
		b[o] = float32(shift[o])
		for i := range x.dim {
			w[o*x.dim+i] = float32(m[i][o])
		}
	}
	left, whole := 0.0, 0.0
	for r := range len(x.rows) / x.dim {
		for o := range y.dim {
			v := y.rows[r*y.dim+o] - b[o]
			for i, a := range x.rows[r*x.dim : (r+1)*x.dim] {
				v -= a * w[o*x.dim+i]
			}
			left += float64(v) * float64(v)
			whole += float64(y.rows[r*y.dim+o]) * float64(y.rows[r*y.dim+o])
		}
	}
	fmt.Printf("%s: error %.3f\n", name, left/whole)
	p.weights[name+".weight"], p.weights[name+".bias"] = w, b
}
