package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/compute"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/inference"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/inferencetest"
	"lorikeet/tuning"
)

// diary is a Reporter that writes everything down.
type diary struct {
	dir         string
	steps       []tuning.StepData
	evals       []tuning.EvalData
	checkpoints map[int]string // step to folder
	stopAt      int            // asks for a stop after this step; 0: never
	stop        chan struct{}
}

func newDiary(t *testing.T) *diary {
	return &diary{dir: t.TempDir(), checkpoints: map[int]string{}, stop: make(chan struct{})}
}

func (d *diary) Phase(string)          {}
func (d *diary) Stop() <-chan struct{} { return d.stop }

func (d *diary) Event(_ string, data any) {
	switch e := data.(type) {
	case tuning.StepData:
		d.steps = append(d.steps, e)
		if e.Step == d.stopAt {
			close(d.stop)
		}
	case tuning.EvalData:
		d.evals = append(d.evals, e)
	}
}

func (d *diary) Checkpoint(_ context.Context, step int, files map[string]string) error {
	to := filepath.Join(d.dir, fmt.Sprint(step))
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for name, from := range files {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
			return err
		}
	}
	d.checkpoints[step] = to
	return nil
}

// reviews writes n rows whose label follows from one word.
func reviews(t *testing.T, n int, row func(i int, positive bool) string) string {
	t.Helper()
	good := []string{"great", "lovely", "superb", "wonderful", "happy", "best"}
	bad := []string{"awful", "boring", "dull", "terrible", "worst", "sad"}
	var b strings.Builder
	for i := range n {
		words := bad
		if i%2 == 0 {
			words = good
		}
		text := fmt.Sprintf("the %s was %s", []string{"movie", "food", "phone"}[i%3], words[i/2%6])
		b.WriteString(strings.Replace(row(i, i%2 == 0), "TEXT", text, 1) + "\n")
	}
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func labelled(_ int, positive bool) string {
	return fmt.Sprintf(`{"text":"TEXT","label":"%s"}`, map[bool]string{true: "yes", false: "no"}[positive])
}

func of[V any](v V) *V { return &v }

func newTrainer(t *testing.T, backend compute.Backend, dir string) *Trainer {
	return &Trainer{Backend: backend, Log: slog.New(slog.DiscardHandler), CheckpointEvery: time.Hour,
		Base: func(context.Context, string) (*inference.Base, error) {
			return inference.OpenBase("tiny", dir, os.DirFS(dir))
		}}
}

func specOf(kind tuning.Kind, steps int) tuning.Spec {
	s := tuning.Spec{Kind: kind, Model: "tiny", Name: "x", Hyperparameters: &tuning.Hyperparameters{
		MaxSteps: of(steps), BatchSize: of(8), LearningRate: of(0.01), Dropout: of(0.1)}}
	if kind == tuning.LoRA {
		s.LoRA = &tuning.LoRAOptions{R: of(4), Dropout: of(0.1)}
	}
	return s
}

// courseOf is a run that is long and warm enough for the tiny model, whose weights are
// random.
func courseOf(kind tuning.Kind) tuning.Spec {
	s := specOf(kind, 120)
	s.Hyperparameters.LearningRate = of(map[tuning.Kind]float64{tuning.LoRA: 0.02, tuning.Full: 0.003}[kind])
	s.Hyperparameters.Dropout = of(0.0)
	return s
}

// TestATunedModelAnswersAsItWasEvaluated trains on each backend, registers the files
// and compares what the engine answers with the evaluation at the end of training.
func TestATunedModelAnswersAsItWasEvaluated(t *testing.T) {
	for _, kind := range []tuning.Kind{tuning.LoRA, tuning.Full} {
		t.Run(string(kind), func(t *testing.T) {
			devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
				dir := inferencetest.BERT(t)
				d := newDiary(t)
				s := courseOf(kind)
				task := tuning.Task{Job: "job_x", Spec: s, Train: reviews(t, 48, labelled), Validation: reviews(t, 24, labelled), Dir: t.TempDir()}
				before, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
				if err != nil {
					t.Fatal(err)
				}
				out, err := newTrainer(t, backend, dir).Train(t.Context(), task, d)
				if err != nil {
					t.Fatal(err)
				}
				if first, last := d.steps[0].Loss, d.steps[len(d.steps)-1].Loss; len(d.steps) != 120 || !(last < first/2) {
					t.Errorf("%d steps, loss %v at first and %v at last: nothing was learned", len(d.steps), first, last)
				}
				if out.Metrics["eval_accuracy"] < 0.9 || !slices.Equal(out.Labels, []string{"no", "yes"}) {
					t.Errorf("metrics %v, labels %q", out.Metrics, out.Labels)
				}
				loss := servedLoss(t, kind, dir, out, task.Validation, backend)
				if math.Abs(loss-out.Metrics["eval_loss"]) > 1e-4 {
					t.Errorf("served, the loss is %v; evaluated it was %v", loss, out.Metrics["eval_loss"])
				}
				after, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
				if err != nil || !bytes.Equal(before, after) {
					t.Errorf("the base's file has changed (%v)", err)
				}
			})
		})
	}
}

// serve registers the files of an outcome as "x", on an engine that serves the base.
func serve(t *testing.T, variant bool, dir string, out tuning.Outcome, backend compute.Backend) *inference.Engine {
	t.Helper()
	e, stop := inferencetest.Engine(t, backend, inferencetest.Base(t, "tiny", dir))
	t.Cleanup(stop)
	v := adapters.Version{Ref: adapters.Ref{Name: "x"}, Kind: adapters.KindAdapter, Base: "tiny", Template: out.Template, Files: map[string]adapters.File{}}
	if variant {
		v.Kind = adapters.KindVariant
	}
	for name, p := range out.Files {
		f, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		if v.Files[name], err = e.Registry.Put(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	if _, err := e.Registry.Register(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	return e
}

// servedLoss is the mean cross entropy of the files of an outcome, as the engine
// serves them.
func servedLoss(t *testing.T, kind tuning.Kind, dir string, out tuning.Outcome, path string, backend compute.Backend) float64 {
	t.Helper()
	e := serve(t, kind == tuning.Full, dir, out, backend)
	rows, err := readRows(path)
	if err != nil {
		t.Fatal(err)
	}
	var inputs []inference.Input
	for _, r := range rows {
		inputs = append(inputs, inference.Input{Text: r.Text})
	}
	a, err := e.Predict(t.Context(), inference.Request{Model: "x", Inputs: inputs})
	if err != nil {
		t.Fatal(err)
	}
	var loss float64
	for i, r := range a.Rows {
		if r.Temperature == 0 || math.Abs(r.Temperature-out.Metrics["temperature"]) > 1e-9 {
			t.Fatalf("served, the temperature is %v, fitted was %v", r.Temperature, out.Metrics["temperature"])
		}
		loss += crossEntropy(r.Logits, slices.Index(r.Labels, rows[i].Label))
	}
	return loss / float64(len(rows))
}

// TestAResumedRunEqualsOneThatNeverStopped compares the files bit for bit, with
// dropout, gradient accumulation and early stopping on.
func TestAResumedRunEqualsOneThatNeverStopped(t *testing.T) {
	for _, kind := range []tuning.Kind{tuning.LoRA, tuning.Full} {
		t.Run(string(kind), func(t *testing.T) {
			devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
				s := specOf(kind, 12)
				s.Hyperparameters.GradientAccumulation = of(2)
				s.EarlyStopping = &tuning.EarlyStopping{Patience: 9}
				s.Evaluate = &tuning.Evaluate{EverySteps: 2}
				resumes(t, newTrainer(t, backend, inferencetest.BERT(t, "no", "yes")), tuning.Task{Job: "job_x", Spec: s,
					Train: reviews(t, 44, labelled), Validation: reviews(t, 20, labelled)})
			})
		})
	}
}

// resumes runs a task in one, and stopped after step 5, and wants no difference.
func resumes(t *testing.T, trainer *Trainer, task tuning.Task) {
	t.Helper()
	run := func(d *diary, resume string) (tuning.Outcome, error) {
		task := task
		task.Resume, task.Dir = resume, t.TempDir()
		return trainer.Train(t.Context(), task, d)
	}
	whole, first, second := newDiary(t), newDiary(t), newDiary(t)
	want, err := run(whole, "")
	if err != nil {
		t.Fatal(err)
	}
	first.stopAt = 5
	if _, err := run(first, ""); !errors.Is(err, tuning.ErrStopped) {
		t.Fatalf("asked to stop, it says %v", err)
	}
	got, err := run(second, first.checkpoints[5])
	if err != nil {
		t.Fatal(err)
	}
	if steps := append(slices.Clone(first.steps), second.steps...); len(steps) != len(whole.steps) {
		t.Errorf("%d steps in two parts, %d in one", len(steps), len(whole.steps))
	} else {
		for i := range steps {
			if steps[i].Loss != whole.steps[i].Loss || steps[i].GradNorm != whole.steps[i].GradNorm {
				t.Errorf("step %d: loss %v resumed, %v in one", i+1, steps[i].Loss, whole.steps[i].Loss)
			}
		}
	}
	for name, path := range want.Files {
		if !sameFile(t, path, got.Files[name]) {
			t.Errorf("%s differs after a resume", name)
		}
	}
	for _, m := range []map[string]float64{want.Metrics, got.Metrics} {
		delete(m, "train_runtime_seconds")
	}
	if !maps.Equal(want.Metrics, got.Metrics) {
		t.Errorf("metrics %v resumed, %v in one", got.Metrics, want.Metrics)
	}
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	var both [2][]byte
	for i, path := range []string{a, b} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if both[i], err = io.ReadAll(f); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	return bytes.Equal(both[0], both[1])
}

func TestEarlyStoppingKeepsTheBest(t *testing.T) {
	s := specOf(tuning.LoRA, 60)
	s.Hyperparameters.LearningRate = of(0.5) // so high that it gets worse again
	s.EarlyStopping = &tuning.EarlyStopping{Patience: 2, Metric: "eval_loss"}
	s.Evaluate = &tuning.Evaluate{EverySteps: 1, Metrics: []string{"accuracy"}}
	d := newDiary(t)
	out, err := newTrainer(t, devicetest.Go(t), inferencetest.BERT(t)).Train(t.Context(), tuning.Task{Spec: s, Train: reviews(t, 32, labelled),
		Validation: reviews(t, 20, labelled), Dir: t.TempDir()}, d)
	if err != nil {
		t.Fatal(err)
	}
	best, at := math.Inf(1), 0
	for _, e := range d.evals {
		if e.Metrics["eval_loss"] < best {
			best, at = e.Metrics["eval_loss"], e.Step
		}
		if _, ok := e.Metrics["eval_f1"]; ok {
			t.Error("a metric that was not asked for is reported")
		}
	}
	if len(d.steps) >= 60 || len(d.steps) != at+2 {
		t.Errorf("stopped after %d steps; the best was at %d and patience is 2", len(d.steps), at)
	}
	if out.Metrics["eval_loss"] != best || out.Metrics["best_step"] != float64(at) {
		t.Errorf("the outcome has %v, the best was %v at %d", out.Metrics, best, at)
	}
}

func TestRegression(t *testing.T) {
	rows := reviews(t, 48, func(i int, positive bool) string {
		return fmt.Sprintf(`{"text":"TEXT","target":%v}`, map[bool]float64{true: 1.5, false: -0.5}[positive])
	})
	d := newDiary(t)
	out, err := newTrainer(t, devicetest.Go(t), inferencetest.BERT(t)).Train(t.Context(), tuning.Task{Spec: courseOf(tuning.Full), Train: rows, Validation: rows, Dir: t.TempDir()}, d)
	if err != nil {
		t.Fatal(err)
	}
	if out.Metrics["eval_mse"] > 0.1 || out.Metrics["eval_pearson"] < 0.95 {
		t.Errorf("nothing was learned: %v", out.Metrics)
	}
}

func TestFaultsOfAJobAreForGood(t *testing.T) {
	one := func(int, bool) string { return `{"text":"TEXT","label":"same"}` }
	for name, c := range map[string]struct {
		spec  func(*tuning.Spec)
		rows  func(int, bool) string
		held  func(int, bool) string
		field string
	}{
		"one label":            {nil, one, nil, "dataset"},
		"rows of another kind": {nil, func(int, bool) string { return `{"source":"TEXT","target":"x"}` }, nil, "dataset"},
		"an unknown target": {func(s *tuning.Spec) {
			s.LoRA.TargetModules = json.RawMessage(`["nope"]`)
			s.LoRA.ModulesToSave = []string{"nope"}
		}, labelled, nil, "target_modules"},
		"a body module saved whole":  {func(s *tuning.Spec) { s.LoRA.ModulesToSave = []string{"pooler.dense"} }, labelled, nil, "lora.modules_to_save"},
		"an unknown label held back": {nil, labelled, one, "label"},
		"a loss that explodes": {func(s *tuning.Spec) {
			s.Hyperparameters.LearningRate = of(1e30)
			s.Hyperparameters.MaxGradNorm = of(0.0)
		}, labelled, nil, "hyperparameters.learning_rate"},
		"an unknown metric": {func(s *tuning.Spec) { s.EarlyStopping = &tuning.EarlyStopping{Patience: 1, Metric: "eval_bleu"} }, labelled, labelled, "early_stopping.metric"},
	} {
		s := specOf(tuning.LoRA, 8)
		if c.spec != nil {
			c.spec(&s)
		}
		task := tuning.Task{Spec: s, Train: reviews(t, 16, c.rows), Dir: t.TempDir()}
		if c.held != nil {
			task.Validation = reviews(t, 8, c.held)
		}
		_, err := newTrainer(t, devicetest.Go(t), inferencetest.BERT(t)).Train(t.Context(), task, newDiary(t))
		if f := invalid.Faults(err); len(f) == 0 || f[0].Field != c.field {
			t.Errorf("%s: %v, want a fault of %s", name, err, c.field)
		}
	}
}

func TestEveryExampleIsSeenOnceAnEpoch(t *testing.T) {
	length := func(i int) int { return i % 17 }
	for _, shuffle := range []bool{true, false} {
		for epoch := range 3 {
			batches := order(103, 8, 42, epoch, shuffle, length)
			all := slices.Concat(batches...)
			slices.Sort(all)
			if len(batches) != 13 || len(batches[12]) != 7 {
				t.Errorf("%d batches, the last of %d", len(batches), len(batches[len(batches)-1]))
			}
			for i, v := range all {
				if i != v {
					t.Fatalf("example %d is missing or doubled", i)
				}
			}
			if again := order(103, 8, 42, epoch, shuffle, length); !slices.EqualFunc(again, batches, slices.Equal) {
				t.Error("the same seed and epoch give another order")
			}
		}
	}
	if slices.Equal(slices.Concat(order(103, 8, 1, 0, true, length)...), slices.Concat(order(103, 8, 1, 1, true, length)...)) {
		t.Error("two epochs have the same order")
	}
}

func TestAPlanRefusesTextsForABaseThatOnlyScores(t *testing.T) {
	base := inferencetest.Base(t, "tiny", inferencetest.BERT(t))
	rows, err := readRows(reviews(t, 16, labelled))
	if err != nil {
		t.Fatal(err)
	}
	for field, s := range map[string]tuning.Spec{
		"model":       {Kind: tuning.Instruction, Method: "full"},
		"template":    {Kind: tuning.LoRA, Template: "plain"},
		"source_lang": {Kind: tuning.Full, SourceLang: "English", TargetLang: "German"},
	} {
		if f := invalid.Faults(Check(base, s, rows, nil, Limits{})); len(f) != 1 || f[0].Field != field {
			t.Errorf("%v, want a fault of %s", f, field)
		}
	}
}

func TestAPlanRefusesMetricsThatAreNotMeasured(t *testing.T) {
	dir := inferencetest.BERT(t)
	base := inferencetest.Base(t, "tiny", dir)
	rows, err := readRows(reviews(t, 16, labelled))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		stop     string // what early stopping watches
		measured []string
		field    string // of the fault; empty: none
	}{
		"the loss":                       {"eval_loss", []string{"accuracy", "loss"}, ""},
		"one of the metrics":             {"eval_f1", nil, ""},
		"a metric of another task":       {"eval_bleu", nil, "early_stopping.metric"},
		"a metric that is not asked for": {"eval_f1", []string{"accuracy"}, "early_stopping.metric"},
		"an unknown metric to measure":   {"eval_loss", []string{"accuracy", "pearson"}, "evaluate.metrics[1]"},
	} {
		s := specOf(tuning.LoRA, 8)
		s.EarlyStopping = &tuning.EarlyStopping{Patience: 1, Metric: c.stop}
		s.Evaluate = &tuning.Evaluate{Metrics: c.measured}
		f := invalid.Faults(Check(base, s, rows, rows, Limits{}))
		if c.field == "" && len(f) != 0 || c.field != "" && (len(f) != 1 || f[0].Field != c.field) {
			t.Errorf("%s: %v, want a fault of %q", name, f, c.field)
		}
	}
}
