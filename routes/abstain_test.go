package routes

import (
	"math"
	"slices"
	"testing"
	"time"

	"lorikeet/adapters"
	"lorikeet/inference"
	"lorikeet/inference/arch"
)

func TestCalibratedScoresAndAbstaining(t *testing.T) {
	s := newService(t, nil)
	plain := s.register("plain")
	if _, err := s.registry.Register(t.Context(), adapters.Version{Ref: adapters.Ref{Name: "calm"}, Kind: "adapter", Base: "bert", Files: plain.Files,
		Metrics: map[string]float64{"temperature": 2}, CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	// The fake's logits are 0 and the number of letters.
	for name, c := range map[string]struct {
		body                 string
		score                float64
		calibrated, abstains *bool
	}{
		"not asked for":                          {`{"adapter":"calm","inputs":"aa"}`, sigmoid(2), nil, nil},
		"asked for":                              {`{"adapter":"calm","inputs":"aa","calibrated":true}`, sigmoid(1), new(true), nil},
		"implied by a threshold that is met":     {`{"adapter":"calm","inputs":"aa","abstain_below":0.7}`, sigmoid(1), new(true), new(false)},
		"implied by a threshold that is not met": {`{"adapter":"calm","inputs":"aa","abstain_below":0.8}`, sigmoid(1), new(true), new(true)},
		"of an adapter without calibration":      {`{"adapter":"plain","inputs":"aa","abstain_below":0.8}`, sigmoid(2), new(false), new(false)},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			var p struct {
				Results []struct {
					Label                 *string
					Index                 *int
					Score                 float64
					Scores                []score
					Calibrated, Abstained *bool
				}
			}
			s.want(200, "POST", "/predict", c.body).into(&p)
			r := p.Results[0]
			same := func(a, b *bool) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }
			if math.Abs(r.Score-c.score) > 1e-6 || !same(r.Calibrated, c.calibrated) || !same(r.Abstained, c.abstains) || r.Scores[0].Label != "positive" {
				t.Errorf("%+v", r)
			}
			if abstained := c.abstains != nil && *c.abstains; (r.Label == nil) != abstained || (r.Index == nil) != abstained {
				t.Errorf("label %v, index %v", r.Label, r.Index)
			}
		})
	}
	for name, c := range map[string]struct{ field, body string }{
		"a threshold above 1":           {"abstain_below", `{"inputs":"a","abstain_below":1.5}`},
		"a threshold below 0":           {"abstain_below", `{"inputs":"a","abstain_below":-0.1}`},
		"calibration that is not there": {"calibrated", `{"adapter":"plain","inputs":"a","calibrated":true}`},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			s := s.on(t)
			if p := s.want(422, "POST", "/predict", c.body).problem(); !slices.Equal(p.fields(), []string{c.field}) {
				t.Errorf("%+v", p)
			}
		})
	}
	if _, err := (predictRequest{AbstainBelow: new(0.5)}).result(inference.Row{Logits: []float32{1}, Problem: arch.Regression}); err == nil {
		t.Error("a regression abstains")
	}
}
