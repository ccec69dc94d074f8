package main

import (
	"fmt"
	"strconv"

	"github.com/gomlx/compute"

	"lorikeet/inference"
	"lorikeet/inference/nn"
)

// fit goes through the pruned student layer by layer and refits the two matrices of
// each that write to the state, by least squares on what the student itself computes,
// so that its states come near the teacher's. The probes must be texts that both cut
// into the same pieces.
func (p *pruner) fit(probes []batch) error {
	for i, from := range p.layers {
		to := "bert.encoder.layer." + strconv.Itoa(i) + "."
		for _, part := range []struct {
			name           string
			residual, read int
			want           sample
		}{
			{"attention.output.dense", tapIn, tapContext, p.samples[from][tapFirst]},
			{"output.dense", tapMiddle, tapActive, p.samples[p.before(i)][tapSecond]},
		} {
			got, err := p.states(probes)
			if err != nil {
				return err
			}
			l := got[i]
			before, after := p.refit(to+part.name, l[part.read], l[part.residual], part.want)
			fmt.Printf("%s%s: error %.3f, refitted %.3f\n", to, part.name, before, after)
		}
	}
	return nil
}

// states runs the student as it stands.
func (p *pruner) states(probes []batch) (all [][taps]sample, err error) {
	for _, b := range probes {
		of := func(e example) []int32 { return e.student }
		ids := pad(b.rows, b.length, of, 0)
		mask := present(b.rows, b.length, of)
		got, err := p.t.prober("bert", p.s).run(b, mask, func(held *[]compute.Buffer) nn.Feed {
			return func(q nn.Param) (buf compute.Buffer, _ bool, err error) {
				switch {
				case q.Name == "ids":
					buf, err = nn.Upload(p.t.backend, ids, q.Shape.Dimensions...)
				case q.Name == "mask":
					buf, err = nn.Upload(p.t.backend, mask, q.Shape.Dimensions...)
				default:
					v := p.weights[q.Name]
					if dims := q.CheckpointDims(); q.Transposed {
						v = inference.Transpose(v, dims[0], dims[1])
					}
					buf, err = nn.Upload(p.t.backend, v, q.Shape.Dimensions...)
				}
				*held = append(*held, buf)
				return buf, false, err
			}
		})
		if err != nil {
			return nil, err
		}
		all = gather(all, got)
	}
	return all, nil
}

// refit changes a matrix and its bias so that residual + matrix·read + bias comes near
// the student's dimensions of want. It returns the squared errors before and after,
// relative to the variance of want.
func (p *pruner) refit(name string, read, residual, want sample) (before, after float64) {
	w, bias := p.weights[name+".weight"], p.weights[name+".bias"]
	n, in, out := len(read.rows)/read.dim, read.dim, len(bias)
	missing := make([]float32, n*out)
	spread, mean := 0.0, make([]float64, out)
	for r := range n {
		x := read.rows[r*in : (r+1)*in]
		for o := range out {
			t := want.rows[r*want.dim+p.dims[o]]
			mean[o] += float64(t) / float64(n)
			spread += float64(t) * float64(t)
			v := t - residual.rows[r*out+o] - bias[o]
			for c, a := range x {
				v -= a * w[o*in+c]
			}
			missing[r*out+o] = v
			before += float64(v) * float64(v)
		}
	}
	for _, m := range mean {
		spread -= float64(n) * m * m
	}
	m, shift := regress(read, sample{out, missing})
	for o := range out {
		bias[o] += float32(shift[o])
		for c := range in {
			w[o*in+c] += float32(m[c][o])
		}
	}
	for r := range n {
		for o := range out {
			v := float64(missing[r*out+o]) - shift[o]
			for c, a := range read.rows[r*in : (r+1)*in] {
				v -= float64(a) * m[c][o]
			}
			after += v * v
		}
	}
	return before / spread, after / spread
}
