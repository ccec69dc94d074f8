package train

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/inferencetest"
	"lorikeet/tuning"
)

// moved copies the files of an outcome to where the worker would have brought them.
func moved(t *testing.T, out tuning.Outcome, version int) *tuning.Current {
	t.Helper()
	dir := t.TempDir()
	for name, from := range out.Files {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &tuning.Current{Dir: dir, Version: version, Template: out.Template}
}

func TestAGateComparesOnTheSameRows(t *testing.T) {
	backend := devicetest.Go(t)
	for _, kind := range []tuning.Kind{tuning.LoRA, tuning.Full} {
		t.Run(string(kind), func(t *testing.T) {
			dir := inferencetest.BERT(t, "yes", "no") // a head of its own, with the labels in this order
			train, held := reviews(t, 48, labelled), reviews(t, 24, labelled)
			run := func(steps int, p *tuning.Promote, current *tuning.Current) tuning.Outcome {
				t.Helper()
				s := courseOf(kind)
				s.Hyperparameters.MaxSteps, s.Promote = &steps, p
				out, err := newTrainer(t, backend, dir).Train(t.Context(), tuning.Task{Job: "job_x", Spec: s, Train: train, Validation: held, Dir: t.TempDir(), Current: current}, newDiary(t))
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			than := func(metric, than string) *tuning.Promote { return &tuning.Promote{If: metric, Than: than} }
			good := run(120, than("eval_loss", "base"), nil)
			if g := good.Gate; !g.Promoted || g.Base == nil || *g.Base <= g.Candidate || good.Metrics["base_loss"] != *g.Base {
				t.Errorf("a trained model beside the base: %+v", g)
			}
			poor := run(1, than("eval_accuracy", "current"), moved(t, good, 3))
			if g := poor.Gate; g.Promoted || g.Version != 3 || g.Current == nil || !strings.Contains(g.Reason, "x@3") {
				t.Errorf("a model that learned for one step beside a good one: %+v", g)
			}
			for metric, want := range good.Metrics { // scored again, the current version is what it was
				if name, ok := strings.CutPrefix(metric, "eval_"); ok && !strings.HasPrefix(name, "ece") && name != "samples" {
					if got := poor.Metrics["current_"+name]; got < want-1e-5 || got > want+1e-5 {
						t.Errorf("current_%s is %v, as a candidate it was %v", name, got, want)
					}
				}
			}
			if g := run(120, than("eval_loss", "current"), moved(t, poor, 4)).Gate; !g.Promoted {
				t.Errorf("a good model beside a poor one: %+v", g)
			}
		})
	}
}

func TestWhatCannotBeScoredIsNotBeaten(t *testing.T) {
	backend := devicetest.Go(t)
	dir := inferencetest.BERT(t)
	s := courseOf(tuning.LoRA)
	s.Hyperparameters.MaxSteps, s.Promote = of(1), &tuning.Promote{If: "eval_accuracy", Than: "current"}
	base := inferencetest.Base(t, "tiny", dir)
	for name, labels := range map[string][]string{"other labels": {"good", "bad"}, "more labels": {"yes", "no", "perhaps"}} {
		config, weights := inferencetest.Adapter(t, base, 1, 2, labels...)
		at := t.TempDir()
		for file, b := range map[string][]byte{adapters.ConfigFile: config, adapters.WeightsFile: weights} {
			if err := os.WriteFile(filepath.Join(at, file), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := newTrainer(t, backend, dir).Train(t.Context(), tuning.Task{Job: "job_x", Spec: s, Train: reviews(t, 16, labelled), Validation: reviews(t, 8, labelled), Dir: t.TempDir(),
			Current: &tuning.Current{Dir: at, Version: 2}}, newDiary(t))
		if err != nil {
			t.Fatal(err)
		}
		if g := out.Gate; g.Promoted || g.Current != nil || !strings.Contains(g.Reason, labels[1]) {
			t.Errorf("%s: %+v", name, g)
		}
	}
	// A bare encoder has no head: that is told before anything runs.
	s.Promote.Than = "base"
	rows, err := readRows(reviews(t, 16, labelled))
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(base, s, rows, rows, Limits{}); !invalid.Is(err) || invalid.Faults(err)[0].Field != "promote.than" {
		t.Errorf("a base without a head: %v", err)
	}
	s.Promote = &tuning.Promote{If: "eval_bleu", Than: "current"}
	if err := Check(base, s, rows, rows, Limits{}); !invalid.Is(err) || invalid.Faults(err)[0].Field != "promote.if" {
		t.Errorf("a metric that is not measured: %v", err)
	}
}

func TestDecide(t *testing.T) {
	n := func(v float64) *float64 { return &v }
	for name, c := range map[string]struct {
		g    adapters.Gate
		want bool
	}{
		"better":                           {adapters.Gate{If: "eval_accuracy", Than: "current", Version: 1, Candidate: .9, Current: n(.8)}, true},
		"as good":                          {adapters.Gate{If: "eval_accuracy", Than: "current", Version: 1, Candidate: .8, Current: n(.8)}, false},
		"not better by enough":             {adapters.Gate{If: "eval_accuracy", Than: "current", Version: 1, Candidate: .85, Current: n(.8), MinDelta: .1}, false},
		"worse, by less than is allowed":   {adapters.Gate{If: "eval_accuracy", Than: "current", Version: 1, Candidate: .79, Current: n(.8), MinDelta: -.1}, true},
		"a lower loss":                     {adapters.Gate{If: "eval_loss", Than: "current", Version: 1, Candidate: .3, Current: n(.4)}, true},
		"a higher loss":                    {adapters.Gate{If: "eval_loss", Than: "current", Version: 1, Candidate: .5, Current: n(.4)}, false},
		"the first of its name":            {adapters.Gate{If: "eval_accuracy", Than: "current", Candidate: .1}, true},
		"the first, and than the base":     {adapters.Gate{If: "eval_accuracy", Than: "base", Candidate: .1, Base: n(.5)}, false},
		"a current one that is not scored": {adapters.Gate{If: "eval_accuracy", Than: "current", Version: 1, Candidate: .9}, false},
	} {
		g := c.g
		decide(&g, "imdb", map[string]string{"current": "no"})
		if g.Promoted != c.want || g.Reason == "" {
			t.Errorf("%s: %+v", name, g)
		}
	}
}

// What is on the disk is what counts: a file that answers otherwise is not registered.
func TestSmokeFindsAFileThatAnswersOtherwise(t *testing.T) {
	backend := devicetest.Go(t)
	dir := inferencetest.BERT(t)
	was := recipes[tuning.LoRA]
	defer func() { recipes[tuning.LoRA] = was }()
	broken := was
	broken.export = func(a *attempt) (map[string]string, error) {
		files, err := was.export(a)
		values, verr := a.loop.values()
		values[0][0] += 1
		again := errors.Join(err, verr, a.loop.restore(values, nil, nil))
		other, oerr := was.export(a)
		values[0][0] -= 1
		_ = files
		return other, errors.Join(again, oerr, a.loop.restore(values, nil, nil))
	}
	recipes[tuning.LoRA] = broken
	s := courseOf(tuning.LoRA)
	s.Hyperparameters.MaxSteps = of(2)
	_, err := newTrainer(t, backend, dir).Train(t.Context(), tuning.Task{Job: "job_x", Spec: s, Train: reviews(t, 16, labelled), Dir: t.TempDir()}, newDiary(t))
	if err == nil || !strings.Contains(fmt.Sprint(err), "to be registered") {
		t.Errorf("the error is %v", err)
	}
}
