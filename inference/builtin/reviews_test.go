package builtin_test

import (
	"encoding/csv"
	"os"
	"strings"
	"testing"

	"lorikeet/examples"
	"lorikeet/inference/builtin/greedy"
	"lorikeet/inference/device"
)

// TestTinyT5OnReviews asks tiny-t5, as it is, for the sentiment of the demonstration's
// reviews: they were written by hand, the ones that it learned from come from a grammar.
//
//	go test ./inference/builtin -run OnReviews -v -accuracy 1 -backend xla:cpu
func TestTinyT5OnReviews(t *testing.T) {
	if *seeds == 0 {
		t.Skip("missing -accuracy N")
	}
	rows, err := csv.NewReader(strings.NewReader(examples.Reviews)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	d, err := device.Open(t.Context(), *backend, device.FromEnv(os.Getenv))
	if err != nil {
		t.Skip(err)
	}
	w, err := greedy.New(d.Backend, tinyT5(t))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var prompts []string
	for _, r := range rows[1:] {
		prompts = append(prompts, "Is this review positive or negative?\n"+r[0])
	}
	answers, err := w.Answer(t.Context(), prompts, 4)
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for i, r := range rows[1:] {
		if answers[i] == r[1] {
			right++
		}
	}
	t.Logf("%d of %d", right, len(prompts))
	if right*100 < len(prompts)*65 {
		t.Errorf("%d of %d are right", right, len(prompts))
	}
}
