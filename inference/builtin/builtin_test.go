package builtin_test

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"lorikeet/adapters/invalid"
	"lorikeet/inference"
	"lorikeet/inference/builtin"
	"lorikeet/inference/checkpoint"
	"lorikeet/inference/device"
	"lorikeet/inference/device/devicetest"
	"lorikeet/tuning"
)

// most is how many bytes a model may add to the binary.
const most = 12e6

func TestModelsAreWhole(t *testing.T) {
	if !slices.Contains(builtin.Names(), "tiny-bert") {
		t.Fatal(builtin.Names())
	}
	for _, name := range builtin.Names() {
		t.Run(name, func(t *testing.T) {
			dir, err := builtin.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			var size int64
			err = fs.WalkDir(dir, ".", func(_ string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				info, err := d.Info()
				size += info.Size()
				return err
			})
			if err != nil || size > most {
				t.Errorf("%d bytes, at most %v are wanted; %v", size, most, err)
			}
			f, err := dir.Open(checkpoint.WeightsFile)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := f.(io.ReaderAt); !ok {
				t.Error("the weights are copied to memory to be read")
			}
			model, err := checkpoint.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range model.Names() {
				v, err := model.Float32s(n)
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range v {
					if x := float64(x); math.IsNaN(x) || math.Abs(x) > 1000 { // the pooler scales dimensions that hardly vary by 500
						t.Fatalf("%s holds %v", n, x)
					}
				}
			}
			card, err := builtin.Card(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{"Recipe", "Text and licences", "Apache-2.0", "Limits"} {
				if !strings.Contains(card, part) {
					t.Errorf("the card does not speak of %q", part)
				}
			}
		})
	}
}

func TestUnknownName(t *testing.T) {
	for _, name := range []string{"", "tiny", "../builtin", "tiny-bert/config.json"} {
		if _, err := builtin.Open(name); len(invalid.Faults(err)) != 1 {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := builtin.Card("none"); err == nil {
		t.Error("a card of no model")
	}
}

// tinyBERT opens strictly: graph and checkpoint name the same weights.
func tinyBERT(t *testing.T) *inference.Base {
	t.Helper()
	dir, err := builtin.Open("tiny-bert")
	if err != nil {
		t.Fatal(err)
	}
	base, err := inference.OpenBase("tiny-bert", "builtin:tiny-bert", dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = base.Close() })
	return base
}

func TestTinyBERT(t *testing.T) {
	base := tinyBERT(t)
	f := base.Arch.Facts()
	if f.Family != "bert" || f.Vocab != base.Text.VocabSize() || f.MaxLength != 256 || len(f.Labels) != 0 {
		t.Errorf("%+v, %d tokens", f, base.Text.VocabSize())
	}
	for text, want := range map[string]string{
		"A wonderful MOVIE!":       "[CLS] a wonderful movie ! [SEP]",
		"café":                     "[CLS] cafe [SEP]",
		"the battery doesn’t last": "[CLS] the battery doesn ’ t last [SEP]",
		"日本":                       "[CLS] [UNK] [UNK] [SEP]",
	} {
		e := base.Text.Encode(text, nil, 0)
		if got := base.Text.Decode(e.IDs, false); strings.ReplaceAll(got, " !", "!") != strings.ReplaceAll(want, " !", "!") {
			t.Errorf("%q → %q, want %q", text, got, want)
		}
	}
}

// reviews are rows of two words' worth of opinion.
func reviews() (rows [][]byte) {
	for i := range 32 {
		text, label := fmt.Sprintf("I love it, chapter %d is wonderful.", i), "good"
		if i%2 == 1 {
			text, label = fmt.Sprintf("I hate it, chapter %d is terrible.", i), "bad"
		}
		b, _ := json.Marshal(map[string]string{"text": text, "label": label}) // strings always marshal
		rows = append(rows, b)
	}
	return rows
}

// losses is a Reporter that keeps the training losses.
type losses struct {
	scores
	steps []float64
}

func (l *losses) Event(typ string, data any) {
	if s, ok := data.(tuning.StepData); ok {
		l.steps = append(l.steps, s.Loss)
	}
	l.scores.Event(typ, data)
}

func TestTinyBERTLearns(t *testing.T) {
	devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
		size, epochs, rate := 16, 6.0, 5e-3
		var l losses
		spec := tuning.Spec{Kind: tuning.LoRA, Model: "tiny-bert", Name: "reviews",
			Hyperparameters: &tuning.Hyperparameters{BatchSize: &size, Epochs: &epochs, LearningRate: &rate}}
		tune(t, &device.Device{Backend: backend}, spec, reviews(), nil, &l)
		if first, last := l.steps[0], l.steps[len(l.steps)-1]; !(last < 0.8*first) {
			t.Errorf("the loss went from %v to %v", first, last)
		}
	})
}
