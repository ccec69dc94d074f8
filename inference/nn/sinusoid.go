package nn

import "math"

// Sinusoids are the fixed positions of Vaswani et al. 2017, [positions, dim], with the
// sines in the first half of each row and the cosines in the second, as Marian has
// them. They are computed in float64: at position 1000 a float32 angle is off by 6e-5.
func Sinusoids(positions, dim int) [][]float32 {
	table := make([][]float32, positions)
	sines := (dim + 1) / 2
	for p := range table {
		table[p] = make([]float32, dim)
		for j := range dim {
			angle := float64(p) / math.Pow(10000, float64(2*(j/2))/float64(dim))
			if j%2 == 0 {
				table[p][j/2] = float32(math.Sin(angle))
			} else {
				table[p][sines+j/2] = float32(math.Cos(angle))
			}
		}
	}
	return table
}
