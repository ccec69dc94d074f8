package builtin_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lorikeet/adapters/sharedtest"
	"lorikeet/inference"
	"lorikeet/inference/builtin"
	"lorikeet/inference/device"
	"lorikeet/tuning"
	"lorikeet/tuning/train"
)

// The accuracy check takes a minute for each seed, so it is asked for:
//
//	go test ./inference/builtin -run Accuracy -v -accuracy 3 -backend xla:cpu
var (
	seeds   = flag.Int("accuracy", 0, "seeds to tune an adapter with; 0: no accuracy check")
	backend = flag.String("backend", "xla:cpu", "what computes the accuracy check")
	folder  = flag.String("model", "", "model folder to check in place of the built-in one")
	extra   = flag.String("spec", "{}", "JSON to lay over the job's default specification")
)

// held is how many rows are held back, and bar the share of them to get right.
const (
	held = 250
	bar  = 0.78
)

// scores is a Reporter that keeps the first evaluation and the last.
type scores struct {
	any         bool
	first, last tuning.EvalData
}

func (s *scores) Phase(string) {}
func (s *scores) Event(_ string, data any) {
	if e, ok := data.(tuning.EvalData); ok {
		if !s.any {
			s.any, s.first = true, e
		}
		s.last = e
	}
}
func (s *scores) Checkpoint(context.Context, int, map[string]string) error { return nil }
func (s *scores) Stop() <-chan struct{}                                    { return nil }

// TestAccuracy tunes a LoRA with the service's defaults on reviews that neither the
// vocabulary nor the weights have seen, and scores it on rows held back.
func TestAccuracy(t *testing.T) {
	if *seeds == 0 {
		t.Skip("missing -accuracy N")
	}
	var rows [][]byte
	for _, name := range []string{"imdb", "amazon_cells"} {
		b, err := os.ReadFile(sharedtest.Data(t, "sentiment/uci_sentences/"+name+"_labelled.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
			var row struct {
				Text  string `json:"text"`
				Label any    `json:"label"`
			}
			if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
				t.Fatal(err)
			}
			line, err := json.Marshal(map[string]string{"text": row.Text, "label": fmt.Sprint(row.Label)})
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, line)
		}
	}
	d, err := device.Open(t.Context(), *backend, device.FromEnv(os.Getenv))
	if err != nil {
		t.Skip(err)
	}
	sum := 0.0
	for seed := range *seeds {
		r := rand.New(rand.NewPCG(uint64(seed)+1, 1))
		r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		spec := tuning.Spec{Kind: tuning.LoRA, Model: "tiny-bert", Name: "reviews"}
		if err := json.Unmarshal([]byte(*extra), &spec); err != nil {
			t.Fatal(err)
		}
		var s scores
		start := time.Now()
		tune(t, d, spec, rows[held:], rows[:held], &s)
		sum += s.last.Metrics["eval_accuracy"]
		t.Logf("seed %d: %v in %v", seed+1, s.last, time.Since(start).Round(time.Millisecond))
	}
	mean := sum / float64(*seeds)
	t.Logf("mean accuracy over %d seeds: %.4f", *seeds, mean)
	if mean < bar {
		t.Errorf("accuracy %.3f, want %.2f", mean, bar)
	}
}

// tune runs one job on the built-in model.
func tune(t *testing.T, d *device.Device, spec tuning.Spec, rows, held [][]byte, report tuning.Reporter) {
	t.Helper()
	dir := t.TempDir()
	task := tuning.Task{Job: "job", Spec: spec, Train: filepath.Join(dir, "train"), Dir: dir}
	files := map[string][][]byte{task.Train: rows}
	if len(held) > 0 {
		task.Validation = filepath.Join(dir, "held")
		files[task.Validation] = held
	}
	for file, rows := range files {
		if err := os.WriteFile(file, append(bytes.Join(rows, []byte("\n")), '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trainer := &train.Trainer{Backend: d.Backend, Log: slog.New(slog.DiscardHandler), CheckpointEvery: time.Hour, Base: openBase}
	if _, err := trainer.Train(t.Context(), task, report); err != nil {
		t.Fatal(err)
	}
}

func openBase(_ context.Context, name string) (*inference.Base, error) {
	if *folder != "" {
		return inference.OpenBase(name, *folder, os.DirFS(*folder))
	}
	dir, err := builtin.Open(name)
	if err != nil {
		return nil, err
	}
	return inference.OpenBase(name, "builtin:"+name, dir)
}
