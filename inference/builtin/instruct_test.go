package builtin_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/compute"

	"lorikeet/examples"
	"lorikeet/inference/device"
	"lorikeet/inference/device/devicetest"
	"lorikeet/tuning"
)

// TestTinyT5LearnsAnInstruction tunes a LoRA on sixty reviews with stars, which the base
// never gives, and asks for those of twenty others.
func TestTinyT5LearnsAnInstruction(t *testing.T) {
	var rows [][]byte
	for line := range strings.Lines(examples.Instructions) {
		rows = append(rows, []byte(strings.TrimSpace(line)))
	}
	devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
		epochs, rate := 30.0, 3e-3
		full := !strings.HasSuffix(t.Name(), "/go") // which takes ten times as long: it is shown to begin
		if !full {
			epochs = 1
		}
		var l losses
		start := time.Now()
		spec := tuning.Spec{Kind: tuning.Instruction, Model: "tiny-t5", Name: "stars", Hyperparameters: &tuning.Hyperparameters{Epochs: &epochs, LearningRate: &rate},
			LoRA: &tuning.LoRAOptions{TargetModules: json.RawMessage(`"all-linear"`)}, Evaluate: &tuning.Evaluate{EverySteps: 1000}}
		tune(t, &device.Device{Backend: backend}, spec, rows[:60], rows[60:], &l)
		before, m := l.first.Metrics, l.last.Metrics
		t.Logf("%v: exact match %.2f → %.2f, token F1 %.2f → %.2f, perplexity %.1f → %.2f", time.Since(start).Round(time.Second),
			before["eval_exact_match"], m["eval_exact_match"], before["eval_token_f1"], m["eval_token_f1"], before["eval_perplexity"], m["eval_perplexity"])
		if m["eval_perplexity"] > before["eval_perplexity"]/20 {
			t.Error(before, m)
		}
		if full && (before["eval_exact_match"] > 0 || m["eval_exact_match"] < 0.4 || m["eval_token_f1"] < 0.8) { // by chance 0.25 are right
			t.Error(before, m)
		}
	})
}
