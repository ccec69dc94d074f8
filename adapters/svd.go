package adapters

import (
	"errors"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"lorikeet/adapters/invalid"
)

// largestUpdate bounds the updates that are decomposed whole, by their shorter side: the
// work grows with its square times the longer one. 768 by 768 takes seconds.
const largestUpdate = 1024

var errDecompose = errors.New("the singular values were not found")

// approximate merges the updates of a module, weight · scale · B·A, and gives the factors
// of the best approximation of the result that has a rank (Eckart and Young 1936):
// A [rank, in] has orthonormal rows, B [out, rank] their images. Where the update has a
// smaller rank, the rest is zeros.
func (m Merging) approximate(parts []*Adapter, have []int, mod Module, rank int) (a, b []float32, err error) {
	var u, v mat.Dense // [out, n], [in, n]
	var values []float64
	if sum := m.ranks(parts, have, mod); m.tasks() == MergeLinear && sum < min(mod.In, mod.Out) {
		values, err = m.thin(parts, have, mod, sum, &u, &v)
	} else if short := min(mod.In, mod.Out); short > largestUpdate {
		err = invalid.Field("method", "%s decomposes updates of up to %d rows or columns, %s has %d; svd and cat can merge it", m.Method, largestUpdate, mod.Path, short)
	} else {
		values, err = decompose(mat.NewDense(mod.Out, mod.In, m.update(parts, have, mod)), &u, &v)
	}
	if err != nil {
		return nil, nil, err
	}
	a, b = make([]float32, rank*mod.In), make([]float32, mod.Out*rank)
	for r := range min(rank, len(values)) {
		for i := range mod.In {
			a[r*mod.In+i] = float32(v.At(i, r))
		}
		for o := range mod.Out {
			b[o*rank+r] = float32(u.At(o, r) * values[r])
		}
	}
	return a, b, nil
}

// ranks is the sum of the ranks on a module.
func (m Merging) ranks(parts []*Adapter, have []int, mod Module) int {
	n := 0
	for _, i := range have {
		n += parts[i].Factors[mod.Path].Rank
	}
	return n
}

// thin decomposes the weighted sum of the updates without writing it out: it is the product
// of the factors side by side, B [out, n] · A [n, in], and with B = U₁S₁V₁ᵀ and Aᵀ = U₂S₂V₂ᵀ
// all that is left is S₁V₁ᵀV₂S₂, which is [n, n].
func (m Merging) thin(parts []*Adapter, have []int, mod Module, n int, u, v *mat.Dense) ([]float64, error) {
	down, up := cat(m, parts, have, mod, n)
	var u1, v1, u2, v2, uc, vc mat.Dense
	s1, err1 := decompose(mat.NewDense(mod.Out, n, wide(up)), &u1, &v1)
	s2, err2 := decompose(mat.DenseCopyOf(mat.NewDense(n, mod.In, wide(down)).T()), &u2, &v2)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	var core mat.Dense
	core.Mul(v1.T(), &v2)
	core.Apply(func(i, j int, x float64) float64 { return s1[i] * x * s2[j] }, &core)
	values, err := decompose(&core, &uc, &vc)
	if err != nil {
		return nil, err
	}
	u.Mul(&u1, &uc)
	v.Mul(&u2, &vc)
	return values, nil
}

// decompose gives a = u · diag(values) · vᵀ, the values falling.
func decompose(a *mat.Dense, u, v *mat.Dense) (values []float64, err error) {
	var d mat.SVD
	if !d.Factorize(a, mat.SVDThin) {
		r, c := a.Dims()
		return nil, fmt.Errorf("%w: of a matrix [%d, %d]", errDecompose, r, c)
	}
	d.UTo(u)
	d.VTo(v)
	return d.Values(nil), nil
}

// update merges the updates of a module as task vectors, [out, in].
func (m Merging) update(parts []*Adapter, have []int, mod Module) []float64 {
	tasks, weights := make([][]float32, len(have)), make([]float64, len(have))
	for k, i := range have {
		f := parts[i].Factors[mod.Path]
		var delta mat.Dense
		delta.Mul(mat.NewDense(mod.Out, f.Rank, wide(f.B)), mat.NewDense(f.Rank, mod.In, wide(f.A)))
		delta.Scale(f.Scale, &delta)
		task := make([]float32, mod.Out*mod.In)
		for j, x := range delta.RawMatrix().Data {
			task[j] = float32(x)
		}
		tasks[k], weights[k] = m.pruned(task, fmt.Sprintf("%d/%s/delta", i, mod.Path)), m.Parts[i].Weight
	}
	return wide(m.sum(tasks, weights))
}

func wide(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}
