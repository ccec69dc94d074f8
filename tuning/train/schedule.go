package train

import "math"

// Schedule gives the learning rate of each step: a linear warm-up from 0, then the
// named decay, as transformers' get_scheduler.
type Schedule struct {
	Name   string // linear | cosine | constant
	Peak   float64
	Warmup int // steps
	Total  int // steps
}

// At is the rate of a step, which counts from 0.
func (s Schedule) At(step int) float64 {
	if step < s.Warmup {
		return s.Peak * float64(step) / float64(max(1, s.Warmup))
	}
	left := float64(s.Total - step)
	span := float64(max(1, s.Total-s.Warmup))
	switch s.Name {
	case "constant":
		return s.Peak
	case "cosine":
		return s.Peak * max(0, 0.5*(1+math.Cos(math.Pi*(1-left/span))))
	default:
		return s.Peak * max(0, left/span)
	}
}
