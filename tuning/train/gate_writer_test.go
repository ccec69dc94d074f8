package train

import (
	"strings"
	"testing"

	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/inferencetest"
	"lorikeet/tuning"
)

// The gate of a model that writes: base, current version and candidate answer the same
// rows, each asked by the template that it was taught with.
func TestAGateComparesModelsThatWrite(t *testing.T) {
	backend := devicetest.Go(t)
	for _, c := range []struct {
		name, method string
		base         func(testing.TB) string
	}{{"llama", "lora", inferencetest.Llama}, {"t5", "full", inferencetest.T5}} {
		t.Run(c.name+" "+c.method, func(t *testing.T) {
			dir := c.base(t)
			rows := write(t, `{"instruction":"Say","input":"a","output":"b"}`, `{"instruction":"Say","input":"c","output":"d"}`, `{"instruction":"Say","input":"e","output":"f"}`)
			run := func(steps int, template string, p tuning.Promote, current *tuning.Current) tuning.Outcome {
				t.Helper()
				s := writerSpec(c.method, steps)
				s.Template, s.Promote = template, &p
				s.Hyperparameters.MaxLength, s.Hyperparameters.MaxTargetLength = of(24), of(4)
				out, err := newTrainer(t, backend, dir).Train(t.Context(), tuning.Task{Job: "job_x", Spec: s, Train: rows, Validation: rows, Dir: t.TempDir(), Current: current}, newDiary(t))
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			good := run(25, "plain", tuning.Promote{If: "eval_loss", Than: "base"}, nil)
			if g := good.Gate; !g.Promoted || g.Base == nil || !(*g.Base > g.Candidate) || good.Metrics["base_loss"] != *g.Base {
				t.Fatalf("a trained model beside the base: %+v", g)
			}
			poor := run(1, "t5", tuning.Promote{If: "eval_loss", Than: "current"}, moved(t, good, 3))
			g := poor.Gate
			if g.Promoted || g.Version != 3 || g.Current == nil || !strings.Contains(g.Reason, "x@3") || g.Base == nil {
				t.Errorf("a model that learned for one step beside a good one: %+v", g)
			}
			compared := 0
			for metric, want := range good.Metrics { // scored again, the current version is what it was
				if name, ok := strings.CutPrefix(metric, "eval_"); ok && name != "samples" {
					compared++
					if got, ok := poor.Metrics["current_"+name]; !ok || got < want-1e-4 || got > want+1e-4 {
						t.Errorf("current_%s is %v, as a candidate it was %v", name, got, want)
					}
				}
			}
			if compared < 10 {
				t.Errorf("only %d metrics: %v", compared, good.Metrics)
			}
			if g := run(25, "plain", tuning.Promote{If: "eval_perplexity", Than: "current"}, moved(t, poor, 4)).Gate; !g.Promoted || g.If != "eval_perplexity" {
				t.Errorf("a good model beside a poor one: %+v", g)
			}
			// What is as good is not better.
			if g := run(25, "plain", tuning.Promote{If: "eval_rougeL", Than: "current"}, moved(t, good, 3)).Gate; g.Promoted || g.Current == nil || *g.Current != g.Candidate {
				t.Errorf("the same model again: %+v", g)
			}
		})
	}
}
