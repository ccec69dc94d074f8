package routes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"lorikeet/adapters"
	"lorikeet/inference"
)

// mergeRequest asks for an adapter that is made of others.
type mergeRequest struct {
	Name     string      `json:"name" example:"both"`
	Adapters []mergePart `json:"adapters"`
	Method   string      `json:"method,omitempty" example:"ties" enums:"linear,cat,ties,dare_linear,dare_ties,magnitude_prune,svd,ties_svd,dare_linear_svd,dare_ties_svd,magnitude_prune_svd" default:"linear"`
	Rank     int         `json:"svd_rank,omitempty" example:"8"`                                                         // of the result, with svd and the methods that end with _svd; default the largest of the parts
	Density  *float64    `json:"density,omitempty" example:"0.5"`                                                        // share of the values that stay; of ties, dare and magnitude_prune, default 0.5
	Sign     string      `json:"majority_sign_method,omitempty" example:"total" enums:"total,frequency" default:"total"` // of ties: by the sum of the values, or by their number
	Seed     *uint64     `json:"seed,omitempty" example:"42"`                                                            // of dare's draws; default 42
} // @name MergeRequest

// mergePart is an adapter with its weight.
type mergePart struct {
	Adapter string   `json:"adapter" example:"imdb@3"`
	Weight  *float64 `json:"weight,omitempty" example:"0.5"` // default 1
} // @name MergePart

// merge makes an adapter of others.
//
//	@Summary		Merge adapters
//	@Description	Merges LoRA adapters of one base and registers the result as the next version of a name. The methods are those of PEFT's add_weighted_adapter, and give its numbers: linear (weighted sum of the factors), cat (exactly the weighted sum of the updates; the ranks add up), ties (trim, elect signs, merge), dare_linear and dare_ties (drop at random, by seed, and rescale), magnitude_prune (trim, weighted sum). svd makes the best approximation of the weighted sum of the updates that has the rank svd_rank; ties_svd, dare_linear_svd, dare_ties_svd and magnitude_prune_svd merge the updates in their way before, which takes up to minutes for a large base. cat and those with svd take adapters of different ranks, the others need equal ones. Heads that were replaced whole are averaged by weight; adapters with different labels, DoRA or biases are refused.
//	@ID				mergeAdapters
//	@Tags			adapters
//	@Accept			json
//	@Produce		json
//	@Param			request	body		mergeRequest	true	"what to merge, and how"
//	@Success		201		{object}	adapterVersion
//	@Failure		default	{object}	Problem
//	@Router			/adapters/merge [post]
func (a adapterRoutes) merge(ctx context.Context, in mergeRequest) (createdAdapter, error) {
	if err := a.engine.Ready(); err != nil {
		return createdAdapter{}, err
	}
	how := adapters.Merging{Method: cmp.Or(in.Method, adapters.MergeLinear), Rank: in.Rank, Sign: cmp.Or(in.Sign, "total")}
	if how.Draws() {
		how.Seed = 42
		if in.Seed != nil {
			how.Seed = *in.Seed
		}
	}
	if how.Prunes() {
		how.Density = 0.5
		if in.Density != nil {
			how.Density = *in.Density
		}
	}
	m := inference.Merge{Name: in.Name, How: how}
	faults := []error{checkImport(in.Name, "")}
	for i, p := range in.Adapters {
		weight := 1.0
		if p.Weight != nil {
			weight = *p.Weight
		}
		faults = append(faults, checkRef(fmt.Sprintf("adapters[%d].adapter", i), p.Adapter))
		m.Adapters = append(m.Adapters, p.Adapter)
		m.How.Parts = append(m.How.Parts, adapters.Part{Weight: weight})
	}
	if err := errors.Join(append(faults, m.How.Check())...); err != nil {
		return createdAdapter{}, err
	}
	v, err := a.engine.Merge(ctx, m)
	if err != nil {
		return createdAdapter{}, err
	}
	note(ctx, slog.String("adapter", v.String()))
	view, err := a.view(ctx, v)
	return createdAdapter{view}, err
}
