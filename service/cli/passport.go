package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lorikeet/adapters"
	"lorikeet/tuning"
)

func (a *app) passport() *cobra.Command {
	cmd := &cobra.Command{Use: "passport NAME[@VERSION]", Short: "Tell what a version was made from: base, rows, hyperparameters, gate, files", Args: cobra.ExactArgs(1),
		Example: "  service adapters passport imdb@3\n  service adapters passport imdb --json | jq .training.dataset.digest", ValidArgsFunction: a.suggest(adapterRefs)}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		v, _, err := find(ctx, c, args[0])
		if err != nil {
			return err
		}
		var p adapters.Passport
		text, err := c.get(ctx, v.path()+"/passport", nil, &p)
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		return showPassport(out, p)
	})
	return cmd
}

func showPassport(out io.Writer, p adapters.Passport) error {
	pairs := []string{"name", adapters.Ref{Name: p.Name, Version: p.Version}.String(), "kind", p.Kind, "digest", p.Digest,
		"base", strings.TrimSpace(p.Base.Name + " " + p.Base.Source), "base digest", p.Base.Digest, "tokenizer digest", p.Base.TokenizerDigest, "base license", p.Base.License,
		"task", p.Task, "problem", p.Problem, "labels", clip(strings.Join(p.Labels, ", "), 200), "template", p.Template}
	if p.Rank > 0 {
		pairs = append(pairs, "rank", fmt.Sprintf("%d on %s", p.Rank, strings.Join(p.Targets, ", ")))
	}
	if t := p.Training; t != nil {
		pairs = append(pairs, "tune", strings.TrimSpace(t.Kind+" "+t.Method), "steps", fmt.Sprint(t.Steps), "rows", rowsOf(t.Dataset))
		if t.Validation != nil {
			pairs = append(pairs, "held back", rowsOf(*t.Validation))
		}
		pairs = append(pairs, "hyperparameters", string(t.Hyperparameters), "lora", string(t.LoRA))
	}
	if m := p.Merged; m != nil {
		var parts []string
		for _, part := range m.Parts {
			parts = append(parts, fmt.Sprintf("%s × %g", part.Ref, part.Weight))
		}
		pairs = append(pairs, "merged", m.Method+" of "+strings.Join(parts, ", "))
	}
	pairs = append(pairs, "gate", gated(p.Gate), "job", p.Job, "source", p.Source, "software", p.Software, "created", p.CreatedAt.Local().Format(time.DateTime))
	for _, name := range slices.Sorted(maps.Keys(p.Files)) {
		pairs = append(pairs, name, size(p.Files[name].Size)+", "+p.Files[name].Digest)
	}
	return facts(out, withMetrics(pairs, p.Metrics)...)
}

// rowsOf is where rows came from, and their digest.
func rowsOf(r adapters.Rows) string {
	return strings.TrimSpace(string(r.Source) + " " + r.Digest)
}

// gated tells what a version's gate decided; "" where it had none.
func gated(g *adapters.Gate) string {
	if g == nil {
		return ""
	}
	return decided(g.Promoted, g.Reason)
}

// verdict is gated for what a job registered.
func verdict(r *tuning.Result) string {
	if r == nil || r.Promoted == nil {
		return ""
	}
	return decided(*r.Promoted, r.Reason)
}

func decided(promoted bool, reason string) string {
	if promoted {
		return "passed: " + reason
	}
	return "held back: " + reason
}

func (a *app) card() *cobra.Command {
	cmd := &cobra.Command{Use: "card NAME[@VERSION]", Short: "Print the model card of a version, in Markdown", Args: cobra.ExactArgs(1),
		Example: "  service adapters card imdb@3 > README.md", ValidArgsFunction: a.suggest(adapterRefs)}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		v, _, err := find(ctx, c, args[0])
		if err != nil {
			return err
		}
		text, err := c.text(ctx, request{method: get, path: v.path() + path("files", adapters.CardFile)})
		if err != nil {
			return err
		}
		_, err = io.WriteString(out, forTerminal(out, string(text)))
		return err
	})
	return cmd
}
