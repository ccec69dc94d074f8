package train

import (
	"lorikeet/adapters"
	"lorikeet/inference/nn"
)

// learn gives the graph the ranks of a plan.
func learn(plan adapters.Plan, dropout float64) *nn.Learn {
	return &nn.Learn{Dropout: dropout, Rank: func(path string) (int, float64) {
		r := plan.Ranks[path]
		return r.R, r.Scale
	}}
}
