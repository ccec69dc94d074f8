package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lorikeet/inference/text"
)

// A student of random weights needs days to learn what its teacher knows. So it starts
// as the teacher with parts taken out: some layers, and of every layer some of the
// dimensions, heads and neurons. What stays makes up for what goes by least squares, as
// in ThiNet (Luo et al. 2017): a part that goes is nearly a linear function of those
// that stay, and the matrix that read it reads that function instead.

// keep chooses n of a sample's columns, in groups of width (1, or a head's): those that
// matter most to what reads them. gain is the weight of a column: its reader's norm.
func keep(s sample, n, width int, gain []float64) []int {
	score := make([]float64, s.dim/width)
	for i, v := range s.rows {
		c := i % s.dim
		score[c/width] += float64(v) * float64(v) * gain[c]
	}
	order := make([]int, len(score))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(score[b], score[a]) })
	var cols []int
	for _, g := range order[:n/width] {
		for j := range width {
			cols = append(cols, g*width+j)
		}
	}
	slices.Sort(cols)
	return cols
}

// pruner makes a student out of a teacher.
type pruner struct {
	t       *teacher
	s       shape
	layers  []int // the teacher's layers that stay
	dims    []int // its dimensions that stay
	weights map[string][]float32
	samples [][taps]sample // of each of the teacher's layers

	last      *sample // what lastMap and lastShift restate
	lastMap   [][]float64
	lastShift []float64
}

// prune gives the student's first weights by name, in the checkpoint's layout.
func prune(t *teacher, s shape, layers []int, student *text.Tokenizer, probes, texts []batch) (map[string][]float32, error) {
	p := &pruner{t: t, s: s, layers: layers, weights: map[string][]float32{}}
	for _, b := range probes {
		got, err := t.probe(b)
		if err != nil {
			return nil, err
		}
		p.samples = gather(p.samples, got)
	}
	p.chooseDims()
	if err := p.embeddings(student); err != nil {
		return nil, err
	}
	for i, from := range layers {
		if err := p.layer(i, from); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
	}
	if err := p.fit(probes); err != nil {
		return nil, err
	}
	return p.weights, p.heads(probes, texts)
}

func (p *pruner) tensor(name string) ([]float32, error) {
	v, err := p.t.base.Tensor("bert." + name)
	if err == nil && v == nil {
		err = fmt.Errorf("the teacher has no %s", name)
	}
	return v, err
}

// chooseDims picks the dimensions that explain most of all the states: pivoted Cholesky
// on their covariance, the greedy choice.
func (p *pruner) chooseDims() {
	d := p.t.Dim
	cov := make([][]float64, d)
	for i := range cov {
		cov[i] = make([]float64, d)
	}
	for _, l := range p.samples[:p.t.Layers] {
		for _, s := range []sample{l[tapIn], l[tapMiddle]} {
			n := len(s.rows) / d
			mean := make([]float64, d)
			for i, v := range s.rows {
				mean[i%d] += float64(v) / float64(n)
			}
			row := make([]float64, d)
			for r := range n {
				for c := range row {
					row[c] = float64(s.rows[r*d+c]) - mean[c]
				}
				for i, x := range row {
					for j, y := range row {
						cov[i][j] += x * y
					}
				}
			}
		}
	}
	taken := make([]bool, d)
	for range p.s.Dim {
		best, at := -1.0, 0
		for i := range d {
			if taken[i] || cov[i][i] <= 0 {
				continue
			}
			gain := 0.0
			for j := range d {
				gain += cov[i][j] * cov[i][j]
			}
			if gain /= cov[i][i]; gain > best {
				best, at = gain, i
			}
		}
		taken[at] = true
		p.dims = append(p.dims, at)
		pivot := slices.Clone(cov[at])
		for i := range d {
			for j := range d {
				cov[i][j] -= pivot[i] * pivot[j] / (pivot[at] + 1e-9)
			}
		}
	}
	slices.Sort(p.dims)
}

// columns keeps the student's dimensions of a table [rows, dim].
func (p *pruner) columns(v []float32) []float32 {
	var out []float32
	for r := 0; r < len(v); r += p.t.Dim {
		for _, c := range p.dims {
			out = append(out, v[r+c])
		}
	}
	return out
}

// embeddings gives each piece of the student's vocabulary the teacher's vector for it,
// or the mean of the pieces that the teacher cuts it into.
func (p *pruner) embeddings(student *text.Tokenizer) error {
	const at = "embeddings.word_embeddings.weight"
	table, err := p.tensor(at)
	if err != nil {
		return err
	}
	words := make([]float32, p.s.Vocab*p.t.Dim)
	for id := range student.VocabSize() {
		token, _ := student.Token(int32(id))
		ids := p.cut(token)
		for _, t := range ids {
			for c := range p.t.Dim {
				words[id*p.t.Dim+c] += table[int(t)*p.t.Dim+c] / float32(len(ids))
			}
		}
	}
	p.weights["bert."+at] = p.columns(words)
	for _, name := range []string{"position_embeddings.weight", "token_type_embeddings.weight", "LayerNorm.weight", "LayerNorm.bias"} {
		v, err := p.tensor("embeddings." + name)
		if err != nil {
			return err
		}
		v = p.columns(v)
		if strings.HasPrefix(name, "position") {
			v = v[:p.s.Positions*p.s.Dim]
		}
		p.weights["bert.embeddings."+name] = v
	}
	return nil
}

// cut finds the teacher's tokens for a token of the student's, which may go on a word.
func (p *pruner) cut(token string) []int32 {
	t := p.t.base.Text
	if id, ok := t.ID(token); ok {
		return []int32{id}
	}
	rest, within := strings.CutPrefix(token, "##")
	if !within {
		return t.EncodePlain(token)
	}
	var ids []int32
	for rest != "" {
		n := len(rest)
		for ; n > 0; n-- {
			if id, ok := t.ID("##" + rest[:n]); ok {
				ids = append(ids, id)
				break
			}
		}
		if n == 0 {
			return t.EncodePlain(rest)
		}
		rest = rest[n:]
	}
	return ids
}

// norms gives, of each column of a matrix [out, in], the squared norm.
func norms(w []float32, in int) []float64 {
	n := make([]float64, in)
	for i, v := range w {
		n[i%in] += float64(v) * float64(v)
	}
	return n
}

// layer prunes the teacher's layer from into the student's layer i. The matrices that
// write to the state are cut without more ado: fit makes up for that.
func (p *pruner) layer(i, from int) error {
	own := "encoder.layer." + strconv.Itoa(from) + "."
	to := "bert.encoder.layer." + strconv.Itoa(i) + "."
	s := p.samples[from]
	out, err := p.tensor(own + "attention.output.dense.weight")
	if err != nil {
		return err
	}
	second, err := p.tensor(own + "output.dense.weight")
	if err != nil {
		return err
	}
	heads := keep(s[tapContext], p.s.Dim, p.t.Dim/p.t.Heads, norms(out, p.t.Dim))
	neurons := keep(s[tapActive], p.s.FFN, 1, norms(second, p.t.FFN))
	for _, m := range []struct {
		name string
		in   *sample // nil: no least squares
		cols []int   // inputs that stay
		rows []int   // outputs that stay
	}{
		{"attention.self.query", &s[tapIn], p.dims, heads}, {"attention.self.key", &s[tapIn], p.dims, heads}, {"attention.self.value", &s[tapIn], p.dims, heads},
		{"attention.output.dense", nil, heads, p.dims},
		{"intermediate.dense", &s[tapMiddle], p.dims, neurons}, {"output.dense", nil, neurons, p.dims},
	} {
		if err := p.linear(own+m.name, to+m.name, m.in, m.cols, m.rows); err != nil {
			return err
		}
	}
	// The second norm is that of the layer before the next one that stays.
	last := "encoder.layer." + strconv.Itoa(p.before(i)) + "."
	for name, from := range map[string]string{"attention.output.LayerNorm.": own, "output.LayerNorm.": last} {
		for _, part := range []string{"weight", "bias"} {
			v, err := p.tensor(from + name + part)
			if err != nil {
				return err
			}
			p.weights[to+name+part] = p.columns(v)
		}
	}
	return nil
}

// before is the teacher's layer whose output the student's layer i is to give.
func (p *pruner) before(i int) int {
	if i+1 < len(p.layers) {
		return p.layers[i+1] - 1
	}
	return p.t.Layers - 1
}

// linear prunes a matrix [out, in] and its bias.
func (p *pruner) linear(from, to string, in *sample, cols, rows []int) error {
	w, err := p.tensor(from + ".weight")
	if err != nil {
		return err
	}
	bias, err := p.tensor(from + ".bias")
	if err != nil {
		return err
	}
	dim := len(w) / len(bias)
	weight, b := make([]float32, 0, len(rows)*len(cols)), make([]float32, 0, len(rows))
	if in == nil {
		for _, r := range rows {
			b = append(b, bias[r])
			for _, c := range cols {
				weight = append(weight, w[r*dim+c])
			}
		}
		p.weights[to+".weight"], p.weights[to+".bias"] = weight, b
		return nil
	}
	if p.last != in { // query, key and value read the same
		p.last = in
		p.lastMap, p.lastShift = restate(*in, cols)
	}
	m, shift := p.lastMap, p.lastShift
	for _, r := range rows {
		row := w[r*dim : (r+1)*dim]
		moved := float64(bias[r])
		for c, v := range row {
			moved += float64(v) * shift[c]
		}
		b = append(b, float32(moved))
		for i := range cols {
			sum := 0.0
			for c, v := range row {
				sum += float64(v) * m[i][c]
			}
			weight = append(weight, float32(sum))
		}
	}
	p.weights[to+".weight"], p.weights[to+".bias"] = weight, b
	return nil
}
