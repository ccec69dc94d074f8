package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// inputsAtOnce is how many texts the service takes in one request.
const inputsAtOnce = 256

type prediction struct {
	Results []struct {
		Scores []struct {
			Label string  `json:"label"`
			Score float64 `json:"score"`
		} `json:"scores"`
		Abstained bool `json:"abstained"`
	} `json:"results"`
}

func (a *app) predict() *cobra.Command {
	var model, file string
	var adapters []string
	var bare, calibrated bool
	var top int
	var below float64
	cmd := &cobra.Command{Use: "predict [TEXT…]", Short: "Score texts with a base and its adapters", Args: cobra.ArbitraryArgs,
		Long: `Scores texts: those on the command line, else the lines of --file or of standard input.
Several adapters are asked about every text, in one batch, and shown side by side. Below --abstain-below
there is no label; the adapter's metric abstain_below recommends a threshold. With --json there is one answer
of the API for every 256 results.`,
		Example: `  service predict -m bert -a imdb "A wonderful, moving film."
  service predict -m bert --adapters imdb,topic,imdb@1 --file reviews.txt
  service predict -m bert -a imdb --abstain-below 0.8 "It has a door."
  head -5 reviews.txt | service predict -m bert -a imdb@1 --json`}
	f := cmd.Flags()
	f.StringVarP(&model, "model", "m", "", "base or variant; may be left out where there is only one")
	f.StringSliceVarP(&adapters, "adapter", "a", nil, "`ADAPTERS` as imdb or imdb@3, with commas or repeated; also --adapters")
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "adapters" {
			name = "adapter"
		}
		return pflag.NormalizedName(name)
	})
	f.BoolVar(&bare, "bare", false, "ask the bare base too, beside the adapters")
	f.StringVarP(&file, "file", "f", "", "file with one text a line; -: standard input")
	f.IntVar(&top, "top-k", 1, "labels to show of each text")
	f.BoolVar(&calibrated, "calibrated", false, "scores that are right as often as they say; refused where an adapter has no calibration")
	f.Float64Var(&below, "abstain-below", 0, "give no label where the best `SCORE` is lower, from 0 to 1")
	a.completes(cmd, "model", models)
	a.completes(cmd, "adapter", adapterRefs)
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		if top < 1 {
			return misuse(errors.New("--top-k must be at least 1"))
		}
		all, err := texts(args, file, cmd.InOrStdin())
		if err != nil {
			return err
		}
		asked := make([]*string, 0, len(adapters)+1)
		if bare || len(adapters) == 0 {
			asked = append(asked, nil)
		}
		for i := range adapters {
			asked = append(asked, &adapters[i])
		}
		options := map[string]any{"top_k": top}
		if model != "" {
			options["model"] = model
		}
		if calibrated {
			options["calibrated"] = true
		}
		if f.Changed("abstain-below") {
			options["abstain_below"] = below
		}
		b := newBar(cmd.ErrOrStderr())
		defer b.done()
		var rows [][]string
		step := max(1, inputsAtOnce/len(asked))
		for at := 0; at < len(all); at += step {
			part := all[at:min(at+step, len(all))]
			if len(all) > step {
				b.draw(float64(at)/float64(len(all)), fmt.Sprintf("%d of %d texts", at, len(all)))
			}
			p, text, err := ask(ctx, c, options, part, asked)
			if err != nil {
				return err
			}
			if a.json {
				if err := answer(out, text); err != nil {
					return err
				}
				continue
			}
			for i, t := range part {
				row := []string{clip(t, 60)}
				for j := range asked {
					row = append(row, scored(p, i*len(asked)+j))
				}
				rows = append(rows, row)
			}
		}
		b.done()
		if a.json {
			return nil
		}
		heads := []string{"TEXT"}
		for _, name := range asked {
			switch {
			case name != nil:
				heads = append(heads, strings.ToUpper(*name))
			case len(asked) > 1:
				heads = append(heads, "BARE BASE")
			default:
				heads = append(heads, "LABEL")
			}
		}
		return table(out, heads, rows)
	})
	return cmd
}

// ask scores texts, each by everyone who is asked, in one request.
func ask(ctx context.Context, c *client, options map[string]any, texts []string, asked []*string) (p prediction, text json.RawMessage, err error) {
	body := maps.Clone(options)
	body["inputs"] = texts
	switch {
	case len(asked) > 1:
		body["fan_out"] = asked
	case asked[0] != nil:
		body["adapter"] = *asked[0]
	}
	text, err = c.post(ctx, "/predict", body, &p)
	if err == nil && len(p.Results) != len(texts)*len(asked) {
		err = fmt.Errorf("POST /predict answers %d results, not %d", len(p.Results), len(texts)*len(asked))
	}
	return p, text, err
}

func scored(p prediction, i int) string {
	var parts []string
	for _, s := range p.Results[i].Scores {
		parts = append(parts, fmt.Sprintf("%s %.3f", s.Label, s.Score))
	}
	all := strings.Join(parts, ", ")
	if p.Results[i].Abstained {
		return "abstains (" + all + ")"
	}
	return all
}
