package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/adapters"
	"lorikeet/adapters/safetensors/safetensorstest"
	"lorikeet/adapters/sharedtest"
	"lorikeet/inference"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/nn"
	"lorikeet/inference/prompt"
	"lorikeet/tuning"
	"lorikeet/tuning/data"
	"lorikeet/tuning/metrics"
)

// TestWhatEvaluationWritesIsWhatTransformersWrites holds greedy search against the
// fixtures' greedy ids.
func TestWhatEvaluationWritesIsWhatTransformersWrites(t *testing.T) {
	for _, name := range []string{"t5", "marian", "llama", "llama3-tied", "qwen2"} {
		t.Run(name, func(t *testing.T) {
			dir := sharedtest.Fixture(t, name)
			raw, err := os.ReadFile(filepath.Join(dir, "expected.json"))
			if err != nil {
				t.Fatal(err)
			}
			var expected struct {
				Generate struct {
					Greedy struct {
						Params struct {
							Most int `json:"max_new_tokens"`
						}
						Sequences [][]int32
					}
				}
			}
			if err := json.Unmarshal(raw, &expected); err != nil {
				t.Fatal(err)
			}
			base := openFixture(t, name, "")
			f := safetensorstest.Open(t, filepath.Join(dir, "io.safetensors"))
			ids, err := f.Int64s("gen.input_ids")
			if err != nil {
				t.Fatal(err)
			}
			mask, err := f.Int64s("gen.attention_mask")
			if err != nil {
				t.Fatal(err)
			}
			info, _ := f.Info("gen.input_ids")
			width := info.Shape[1]
			rows := make([]example, info.Shape[0])
			for i, m := range mask {
				if e := &rows[i/width]; m == 1 {
					e.tokens.IDs = append(e.tokens.IDs, int32(ids[i]))
					e.prompt = e.tokens.IDs
				}
			}
			devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
				a := &attempt{spec: tuning.Spec{}.WithDefaults(), base: base}
				a.loop = &loop{backend: backend, base: base, model: a.family()}
				defer a.close()
				if err := a.loop.prepare(func(string) bool { return false }, base.Value); err != nil {
					t.Fatal(err)
				}
				got, err := a.loop.greedy(t.Context(), rows, len(rows), a.written(expected.Generate.Greedy.Params.Most), base.Ends())
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range expected.Generate.Greedy.Sequences {
					if base.Seq2Seq != nil {
						want = want[1:]
					} else {
						want = want[width:]
					}
					if end := slices.IndexFunc(want, func(id int32) bool { return slices.Contains(base.Ends(), id) }); end >= 0 {
						want = want[:end]
					}
					if !slices.Equal(got[i], want) {
						t.Errorf("row %d: %v, transformers has %v", i, got[i], want)
					}
				}
			})
		})
	}
}

// write writes rows as a file of canonical rows.
func write(t *testing.T, rows ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(rows, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// writerSpec is a run that is long and warm enough for the fixtures, whose weights are random.
func writerSpec(method string, steps int) tuning.Spec {
	s := tuning.Spec{Kind: tuning.Instruction, Method: method, Model: "tiny", Name: "x", Hyperparameters: &tuning.Hyperparameters{
		MaxSteps: of(steps), BatchSize: of(4), LearningRate: of(0.003), MaxLength: of(64), MaxTargetLength: of(16)}}
	if method == "lora" {
		s.Hyperparameters.LearningRate = of(0.01)
		s.LoRA = &tuning.LoRAOptions{R: of(8), TargetModules: json.RawMessage(`"all-linear"`)}
	}
	return s
}

var capitals = []string{
	`{"instruction":"Name the capital.","input":"France","output":"Paris"}`, `{"instruction":"Name the capital.","input":"Italy","output":"Rome"}`,
	`{"instruction":"Name the capital.","input":"Peru","output":"Lima"}`, `{"instruction":"Name the capital.","input":"Japan","output":"Tokyo"}`,
}

// TestATunedWriterAnswersAsItWasEvaluated teaches answers by heart, registers the files,
// and holds what the engine answers to the same instructions against the evaluation.
func TestATunedWriterAnswersAsItWasEvaluated(t *testing.T) {
	for _, c := range []struct{ base, method, template string }{{"llama3-tied", "lora", "chat"}, {"t5", "full", "plain"}, {"llama3-tied", "full", "alpaca"}, {"flan-t5", "lora", "t5"}} {
		t.Run(c.base+" "+c.method, func(t *testing.T) {
			dir := sharedtest.Fixture(t, c.base)
			each, s := devicetest.Each, writerSpec(c.method, 40)
			if c.template == "alpaca" || c.template == "t5" { // not the base's own
				s.Template = c.template
				// Compiling takes XLA longer than the run.
				each = func(t *testing.T, f func(*testing.T, compute.Backend)) { f(t, devicetest.Go(t)) }
			}
			each(t, func(t *testing.T, backend compute.Backend) {
				d := newDiary(t)
				rows := write(t, capitals...)
				out, err := newTrainer(t, backend, dir).Train(t.Context(), tuning.Task{Job: "job_x", Spec: s, Train: rows, Validation: rows, Dir: t.TempDir()}, d)
				if err != nil {
					t.Fatal(err)
				}
				m := out.Metrics
				if first, last := d.steps[0].Loss, d.steps[len(d.steps)-1].Loss; !(last < 0.7*first) || !(m["eval_loss"] < 0.7*m["base_loss"]) || m["eval_exact_match"] < 0.75 || m["base_exact_match"] > 0 {
					t.Errorf("loss %v at first and %v at last, metrics %v: nothing was learned", first, last, m)
				}
				if math.Abs(m["eval_perplexity"]-math.Exp(m["eval_loss"])) > 1e-9 {
					t.Errorf("perplexity %v of loss %v", m["eval_perplexity"], m["eval_loss"])
				}
				for _, name := range []string{"loss", "bleu", "chrf", "rouge1", "rouge2", "rougeL", "rougeLsum", "meteor", "exact_match", "perplexity", "token_accuracy"} {
					for _, of := range []string{"eval_", "base_"} {
						if _, ok := m[of+name]; !ok {
							t.Errorf("%s%s is not reported", of, name)
						}
					}
				}
				if e := d.evals[0]; e.Step != 0 || e.Metrics["eval_bleu"] != m["base_bleu"] || e.Metrics["eval_loss"] != m["base_loss"] {
					t.Errorf("the first evaluation is %+v, the base's scores %v", e, m)
				}
				if out.Template != c.template {
					t.Errorf("taught by %q", out.Template)
				}
				if path, ok := out.Files[adapters.WeightsFile]; ok {
					if got := safetensorstest.Open(t, path).Metadata()["lorikeet.template"]; got != c.template {
						t.Errorf("the file says it was taught by %q", got)
					}
				}
				var texts, refs []string
				e := serve(t, c.method == "full", dir, out, backend)
				for _, row := range capitals {
					r := rowOf(t, row)
					p := inference.DefaultParameters()
					p.MaxNewTokens = 16
					g, err := e.Generate(t.Context(), inference.GenerateRequest{Model: "x", Ask: &prompt.Ask{Instruction: r.Instruction, Input: r.Input}, Parameters: p}, nil)
					if err != nil {
						t.Fatal(err)
					}
					texts, refs = append(texts, strings.TrimSpace(g.Text)), append(refs, r.Output)
				}
				for name, want := range metrics.Generation(texts, refs) {
					if got := m["eval_"+name]; math.Abs(got-want) > 1e-9 {
						t.Errorf("%s is %v as evaluated, %v as served: %q", name, got, want, texts)
					}
				}
			})
		})
	}
}

func TestAResumedInstructionTuneEqualsOneThatNeverStopped(t *testing.T) {
	dir := sharedtest.Fixture(t, "llama3-tied")
	devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
		s := writerSpec("lora", 9)
		s.Hyperparameters.BatchSize, s.Hyperparameters.GradientAccumulation = of(2), of(2)
		s.LoRA.Dropout = of(0.1)
		s.Evaluate = &tuning.Evaluate{EverySteps: 3, GenerateRows: of(2)}
		resumes(t, newTrainer(t, backend, dir), tuning.Task{Job: "job_x", Spec: s,
			Train: write(t, append(slices.Repeat([]string{talk}, 3), capitals...)...), Validation: write(t, capitals[:2]...)})
	})
}

// TestTranslationsAreMeasuredAsTheFieldDoes runs source and target rows through /tune/lora.
func TestTranslationsAreMeasuredAsTheFieldDoes(t *testing.T) {
	dir := sharedtest.Fixture(t, "marian")
	s := writerSpec("lora", 2)
	s.Kind, s.Method, s.SourceLang, s.TargetLang = tuning.LoRA, "", "English", "German"
	rows := write(t, `{"source":"The house is small.","target":"Das Haus ist klein."}`, `{"source":"Good morning","target":"Guten Morgen"}`)
	out, err := newTrainer(t, devicetest.Go(t), dir).Train(t.Context(), tuning.Task{Spec: s, Train: rows, Validation: rows, Dir: t.TempDir()}, newDiary(t))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range out.Metrics {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"base_bleu", "base_chrf", "base_loss", "base_perplexity", "base_token_accuracy", "eval_bleu", "eval_chrf", "eval_loss",
		"eval_perplexity", "eval_samples", "eval_token_accuracy", "train_loss", "train_runtime_seconds", "train_samples"}; !slices.Equal(names, want) {
		t.Errorf("measured %q, want %q", names, want)
	}
	if out.Template != "" {
		t.Errorf("taught by %q: sources are read as they stand", out.Template)
	}
}

func TestPlansOfWriters(t *testing.T) {
	rows := func(all ...string) (rows []data.Row) {
		for _, r := range all {
			rows = append(rows, rowOf(t, r))
		}
		return rows
	}
	t5, llama := openFixture(t, "t5", ""), openFixture(t, "llama3-tied", "")
	long := fmt.Sprintf(`{"instruction":%q,"input":"","output":"a"}`, strings.Repeat("word ", 200))
	s := writerSpec("lora", 0)
	s.Hyperparameters.Epochs = of(2.0)
	s.LoRA = &tuning.LoRAOptions{R: of(4), TargetModules: json.RawMessage(`["q","v"]`)}
	p, err := NewPlan(t5, s, rows(append(capitals, capitals[0], long)...), rows(capitals[0]), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var trainable int64
	for _, m := range t5.Layout {
		if strings.HasSuffix(m.Path, ".q") || strings.HasSuffix(m.Path, ".v") {
			trainable += int64(4 * (m.In + m.Out))
		}
	}
	if p.Rows != 6 || p.ValidationRows != 1 || p.StepsPerEpoch != 2 || p.Steps != 4 || p.TruncatedRows != 1 || p.Trainable != trainable || p.Total != t5.Parameters() || p.MemoryBytes < 4*p.Total {
		t.Errorf("%+v, want %d to train", p, trainable)
	}
	p, err = NewPlan(llama, writerSpec("full", 0), rows(talk, talk), nil, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Trainable != llama.Parameters() || p.Steps != 3 || p.TruncatedRows != 0 || p.Tokens != 2*int64(len(mustPupil(t, llama, talk).tokens.IDs)) {
		t.Errorf("%+v", p)
	}
}

func mustPupil(t *testing.T, base *inference.Base, row string) example {
	t.Helper()
	a, err := pupil(base, tuning.Spec{}, rowOf(t, row))
	if err != nil {
		t.Fatal(err)
	}
	return a.train[0]
}

// TestFrozenTablesHaveNoGradient looks for a node of a frozen table's shape among those
// that the outputs of the gradient's graph are made of: LoRA on the attention, and on the
// output layer itself, tied or not. GoMLX writes down the gradient of both sides of every
// product; what no output needs is never computed.
func TestFrozenTablesHaveNoGradient(t *testing.T) {
	for _, name := range []string{"llama", "llama3-tied", "t5", "flan-t5"} {
		base := openFixture(t, name, "")
		for _, targets := range []string{`["q_proj","v_proj","q","v"]`, `["lm_head"]`} {
			if _, own := base.Layout.Find("lm_head"); !own && strings.Contains(targets, "lm_head") {
				continue
			}
			a := &attempt{spec: tuning.Spec{Kind: tuning.LoRA, LoRA: &tuning.LoRAOptions{TargetModules: json.RawMessage(targets)}}.WithDefaults(), base: base}
			if err := a.plan(); err != nil {
				t.Errorf("%s, %s: %v", name, targets, err)
				continue
			}
			a.loop = &loop{backend: devicetest.Go(t), base: base, model: a.family(), learn: learn(a.ranks, 0)}
			if err := a.loop.prepare(a.saves, a.first); err != nil {
				t.Fatal(err)
			}
			_, outputs, err := nn.Build(devicetest.Go(t), "gradient", a.loop.gradient(size{rows: 3, length: 7, target: 5}, false))
			if err != nil {
				t.Fatal(err)
			}
			tables := 0
			seen := map[*graph.Node]bool{}
			for todo := outputs; len(todo) > 0; {
				n := todo[len(todo)-1]
				if todo = todo[:len(todo)-1]; seen[n] {
					continue
				}
				seen[n], todo = true, append(todo, n.Inputs()...)
				d := n.Shape().Dimensions
				vocab, dim := base.Facts().Vocab, base.Facts().Hidden
				if n.Type() == graph.NodeTypeParameter || len(d) != 2 || !(d[0] == vocab && d[1] == dim || d[0] == dim && d[1] == vocab) {
					continue
				}
				tables++
				t.Logf("%s: %s", name, n)
			}
			if tables > 0 {
				t.Errorf("%s, %s: %d nodes have the shape of a frozen table", name, targets, tables)
			}
			a.close()
		}
	}
}
