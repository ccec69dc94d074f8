//go:build amd64 && goexperiment.simd

package goops

import "simd/archsimd"

type vector = archsimd.Float32x8

const lanes = 8

func all(x float32) vector { return archsimd.BroadcastFloat32x8(x) }

// load and store are of a vector, or of what is left of a row.
func load(x []float32) vector {
	if len(x) < lanes {
		return archsimd.LoadFloat32x8SlicePart(x)
	}
	return archsimd.LoadFloat32x8Slice(x)
}

func store(v vector, y []float32) {
	if len(y) < lanes {
		v.StoreSlicePart(y)
	} else {
		v.StoreSlice(y)
	}
}

// exp is that of Cephes: within 2 units of the last place; 0 below -87.
func exp(x vector) vector {
	small := x.Less(all(-87))
	x = all(88).Min(all(-87).Max(x)) // of two the second, where one is no number
	n := x.Mul(all(1.44269504088896341)).RoundToEven()
	x = n.MulAdd(all(-0.693359375), x)
	x = n.MulAdd(all(2.12194440e-4), x)
	y := all(1.9875691500e-4).MulAdd(x, all(1.3981999507e-3))
	y = y.MulAdd(x, all(8.3334519073e-3))
	y = y.MulAdd(x, all(4.1665795894e-2))
	y = y.MulAdd(x, all(1.6666665459e-1))
	y = y.MulAdd(x, all(5.0000001201e-1))
	y = y.MulAdd(x.Mul(x), x).Add(all(1))
	power := n.ConvertToInt32().Add(archsimd.BroadcastInt32x8(127)).ShiftAllLeft(23).AsFloat32x8()
	return all(0).Merge(y.Mul(power), small)
}

// erf is a quotient of polynomials in x², for |x| at most where it is 1.
func erf(x vector) vector {
	x = all(3.7439211627767994).Min(all(-3.7439211627767994).Max(x))
	s := x.Mul(x)
	p := s.MulAdd(all(0.00022905065861350646), all(0.0034082910107109506))
	p = p.MulAdd(s, all(0.050955695062380861))
	p = p.MulAdd(s, all(0.18520832239976145))
	p = p.MulAdd(s, all(1.128379143519084))
	q := s.MulAdd(all(-1.1791602954261697e-7), all(0.000023547966471313185))
	q = q.MulAdd(s, all(0.0010179625278914885))
	q = q.MulAdd(s, all(0.014070470171167667))
	q = q.MulAdd(s, all(0.11098505178285362))
	q = q.MulAdd(s, all(0.49746925110067538))
	q = q.MulAdd(s, all(1))
	return x.Mul(p).Div(q)
}

// sum and most are over the elements of a vector.
func sum(x vector) (s float32) {
	var l [lanes]float32
	x.Store(&l)
	for _, v := range l {
		s += v
	}
	return s
}

func most(x vector) float32 {
	var l [lanes]float32
	x.Store(&l)
	m := l[0]
	for _, v := range l[1:] {
		m = max(m, v)
	}
	return m
}
