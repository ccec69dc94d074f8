package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"lorikeet/tuning"
)

// plan is what a dry run answers.
type plan struct {
	Rows           int `json:"rows"`
	ValidationRows int `json:"validation_rows"`
	Steps          int `json:"steps"`
	StepsPerEpoch  int `json:"steps_per_epoch"`
	TruncatedRows  int `json:"truncated_rows"`
	Lengths        struct {
		Median int `json:"median"`
		P95    int `json:"p95"`
		Max    int `json:"max"`
	} `json:"lengths"`
	Labels    []string `json:"labels"`
	Trainable int64    `json:"trainable_parameters"`
	Total     int64    `json:"total_parameters"`
	Seconds   float64  `json:"estimated_seconds"`
	Memory    int64    `json:"estimated_memory_bytes"`
	Warnings  []string `json:"warnings"`
}

func (a *app) tune() *cobra.Command {
	cmd := &cobra.Command{Use: "tune", Short: "Tune an adapter, or a whole model, on rows of yours",
		Example: `  service tune lora -m bert -n imdb --data reviews.csv --validation 0.1 --wait
  service tune full -m bert -n whole --data ds_9f86d081884c7d659a2f --epochs 2
  service tune instruction -m t5 -n helper --data hf:bigscience/P3:train --set dataset.sample=400`}
	cmd.AddCommand(
		a.tuneKind(tuning.LoRA, "Tune a LoRA adapter: a new version of its name", `  service tune lora -m bert -n imdb --data reviews.csv --validation 0.1 --epochs 5 --wait
  service tune lora -m bert -n imdb --data reviews.csv --dry-run
  service tune lora -m bert -n imdb --data reviews.csv --validation 0.1 --gate eval_accuracy --gate-min-delta 0.01`),
		a.tuneKind(tuning.Full, "Tune all weights: a model of its own", `  service tune full -m bert -n whole --data reviews.csv --epochs 2 --wait`),
		a.tuneKind(tuning.Instruction, "Tune a base that writes, on instructions, conversations or translations",
			`  service tune instruction -m t5 -n helper --data rows.jsonl --validation 0.1 --set evaluate.generate_rows=50 --wait`))
	return cmd
}

// tuneFlags are the options that have a flag: its name, the path in the request, whether it
// is a text whatever it looks like, and help.
var tuneFlags = []struct {
	flag, at string
	text     bool
	help     string
}{
	{"epochs", "hyperparameters.epochs", false, "`N` passes over the rows"},
	{"max-steps", "hyperparameters.max_steps", false, "at most `N` steps"},
	{"batch-size", "hyperparameters.batch_size", false, "`N` rows in a step"},
	{"learning-rate", "hyperparameters.learning_rate", false, "`RATE`, such as 1e-3"},
	{"max-length", "hyperparameters.max_length", false, "`N` tokens of a text are read; the rest is cut"},
	{"seed", "hyperparameters.seed", false, "`N` for the order of the rows and the first weights"},
	{"rank", "lora.r", false, "rank `R` of the adapter"},
	{"alpha", "lora.alpha", false, "LoRA's `ALPHA`"},
	{"target-modules", "lora.target_modules", false, "`NAMES` of the modules that get an adapter, as query,value; or all-linear"},
	{"early-stopping", "early_stopping.patience", false, "stop after `N` evaluations without gain"},
	{"gate", "promote.if", true, "become current only if better in this `METRIC` of the rows held back, such as eval_accuracy"},
	{"gate-than", "promote.than", true, "better than the `current` version (the default), or than the base"},
	{"gate-min-delta", "promote.min_delta", false, "better by more than `X`"},
	{"method", "method", true, "of an instruction tune: lora or full"},
	{"template", "template", true, "of the prompts: plain, t5, alpaca or chat"},
	{"source-lang", "source_lang", true, "language of the sources of a translation"},
	{"target-lang", "target_lang", true, "language of its targets"},
	{"class", "class", true, "only workers of this class"},
	{"priority", "priority", false, "`N` from -100 to 100, among your jobs"},
	{"idempotency-key", "idempotency_key", true, "the same key and the same request make one job"},
}

func (a *app) tuneKind(kind tuning.Kind, short, example string) *cobra.Command {
	var model, name, data, validation, spec string
	var set []string
	var dry, wait bool
	given := make([]string, len(tuneFlags))
	cmd := &cobra.Command{Use: string(kind), Short: short, Example: example,
		Long: short + `.

--data is a file, which is uploaded first, the id of an uploaded one (ds_…), or a data set of the hub
(hf:owner/name:split). --validation is a share of the rows, or a source like --data. Every other option of the
API can be given with --set, for example --set hyperparameters.warmup_ratio=0.1, or in a file with --spec.
With --wait the exit status is 3 when the job does not succeed.`}
	f := cmd.Flags()
	f.StringVarP(&model, "model", "m", "", "base to tune")
	f.StringVarP(&name, "name", "n", "", "name of the adapter or variant")
	f.StringVarP(&data, "data", "d", "", "rows: a file, ds_…, or hf:owner/name[:split]")
	f.StringVar(&validation, "validation", "", "rows held back: a share such as 0.1, or a source like --data")
	f.StringVar(&spec, "spec", "", "file with the request as JSON; -: standard input. Flags go over it")
	f.StringArrayVar(&set, "set", nil, "any option, as PATH=VALUE; VALUE is JSON, or a text (repeatable)")
	f.BoolVar(&dry, "dry-run", false, "say what it would cost, and queue nothing")
	f.BoolVarP(&wait, "wait", "w", false, "follow the job to its end")
	for i, o := range tuneFlags {
		if kind != tuning.Instruction && (o.flag == "method" || o.flag == "template" || strings.HasSuffix(o.flag, "-lang")) || kind == tuning.Full && strings.HasPrefix(o.at, "lora.") {
			continue
		}
		f.StringVar(&given[i], o.flag, "", o.help)
	}
	a.completes(cmd, "model", bases)
	a.completes(cmd, "name", adapterNames)
	a.completes(cmd, "gate-than", func(context.Context, *client) []string { return []string{"current", "base"} })
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, _ []string) error {
		body, err := readSpec(spec, cmd.InOrStdin())
		if err != nil {
			return err
		}
		for i, o := range tuneFlags {
			if f.Changed(o.flag) {
				var value any = given[i]
				if !o.text {
					value = valueOf(o.flag, given[i])
				}
				if err := put(body, o.at, value); err != nil {
					return misuse(fmt.Errorf("--%s: %w", o.flag, err))
				}
			}
		}
		for at, value := range map[string]string{"model": model, "name": name} {
			if value != "" {
				body[at] = value
			}
		}
		b := newBar(cmd.ErrOrStderr())
		defer b.done()
		for _, o := range []struct{ flag, at, value string }{{"data", "dataset", data}, {"validation", "validation", validation}} {
			if o.value == "" {
				continue
			}
			if body[o.at], err = source(ctx, c, b, o.value, o.flag == "validation"); err != nil {
				return fmt.Errorf("--%s: %w", o.flag, err)
			}
		}
		for _, s := range set { // last: into the sources too
			path, value, ok := strings.Cut(s, "=")
			if !ok {
				return misuse(fmt.Errorf("--set %q is not PATH=VALUE", s))
			}
			if err := put(body, path, valueOf("", value)); err != nil {
				return misuse(fmt.Errorf("--set %s: %w", s, err))
			}
		}
		return a.submit(ctx, c, out, b, kind, body, dry, wait)
	})
	return cmd
}

func (a *app) submit(ctx context.Context, c *client, out io.Writer, b *bar, kind tuning.Kind, body map[string]any, dry, wait bool) error {
	r, err := jsonRequest("/tune/"+string(kind), body)
	if err != nil {
		return err
	}
	if dry {
		r.query = url.Values{"dry_run": {"true"}}
		var p plan
		text, err := c.into(ctx, r, &p)
		b.done()
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		return p.show(out, b)
	}
	var j tuning.Job
	text, err := c.into(ctx, r, &j)
	if err != nil {
		return err
	}
	if wait {
		b.note("%s", j.ID)
		return a.waitFor(ctx, c, out, b, j.ID)
	}
	b.done()
	if a.json {
		return answer(out, text)
	}
	_, err = fmt.Fprintf(out, "%s\n", clean(j.ID)) // for JOB=$(service tune …)
	b.note("%s; follow it with `service jobs wait %s`", j.Status, j.ID)
	return err
}

func orAnswer(out io.Writer, text json.RawMessage, err error) error {
	if err != nil {
		return err
	}
	return answer(out, text)
}

func (p plan) show(out io.Writer, b *bar) error {
	rows := fmt.Sprint(p.Rows)
	if p.ValidationRows > 0 {
		rows += fmt.Sprintf(" and %d held back", p.ValidationRows)
	}
	took, cut := "not known yet", ""
	if p.Seconds > 0 {
		took = "about " + seconds(p.Seconds)
	}
	if p.TruncatedRows > 0 {
		cut = fmt.Sprintf("%d rows are longer than the longest text", p.TruncatedRows)
	}
	lengths := ""
	if n := p.Lengths; n.Max > 0 {
		lengths = fmt.Sprintf("%d tokens, 95 of 100 up to %d, the longest %d", n.Median, n.P95, n.Max)
	}
	for _, w := range p.Warnings {
		b.note("warning: %s", w)
	}
	return facts(out, "rows", rows, "median row", lengths, "labels", strings.Join(p.Labels, ", "), "steps", fmt.Sprintf("%d, %d an epoch", p.Steps, p.StepsPerEpoch),
		"learns", count(p.Trainable)+" of "+count(p.Total)+" parameters", "time", took, "memory", "about "+size(p.Memory), "cut", cut)
}
