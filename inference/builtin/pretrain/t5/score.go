package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/gomlx/compute"

	"lorikeet/inference"
	"lorikeet/inference/builtin/greedy"
	"lorikeet/inference/builtin/tasks"
)

// report answers held-out examples of each task and says how many answers are right
// to the letter.
func (o options) report(ctx context.Context, backend compute.Backend, maker *tasks.Maker) error {
	base, err := inference.OpenBase("tiny-t5", o.model(), os.DirFS(o.model()))
	if err != nil {
		return err
	}
	defer base.Close()
	w, err := greedy.New(backend, base)
	if err != nil {
		return err
	}
	defer w.Close()
	right, all := 0, 0
	for _, name := range tasks.Names() {
		r := rand.New(rand.NewPCG(o.seed, 77))
		var asked []tasks.Example
		seen := map[string]bool{}
		for range 4 * o.score {
			e, ok := maker.Held(name, r)
			if ok && !seen[e.Prompt()] && len(asked) < o.score {
				seen[e.Prompt()] = true
				asked = append(asked, e)
			}
		}
		if len(asked) == 0 {
			continue
		}
		var prompts []string
		for _, e := range asked {
			prompts = append(prompts, e.Prompt())
		}
		answers, err := w.Answer(ctx, prompts, 32)
		if err != nil {
			return err
		}
		n, wrong := 0, ""
		for i, e := range asked {
			if answers[i] == e.Output {
				n++
			} else {
				wrong = fmt.Sprintf("%q → %q, not %q", strings.ReplaceAll(prompts[i], "\n", " ⏎ "), answers[i], e.Output)
			}
		}
		right, all = right+n, all+len(asked)
		fmt.Printf("%-12s %3d of %3d  %s\n", name, n, len(asked), wrong)
	}
	fmt.Printf("%-12s %3d of %3d, %.3f\n", "all", right, all, float64(right)/float64(max(1, all)))
	return nil
}
