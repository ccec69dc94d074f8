package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lorikeet/adapters"
)

func (a *app) mergeAdapters() *cobra.Command {
	var name, method, sign string
	var density float64
	var seed uint64
	cmd := &cobra.Command{Use: "merge ADAPTER[=WEIGHT]…", Short: "Make an adapter of others of the same base", Args: cobra.MinimumNArgs(2),
		Long: `Makes an adapter of others of the same base and registers it as the next version of --name. The methods are
those of PEFT's add_weighted_adapter: linear, cat, ties, dare_linear and dare_ties. All but cat need equal ranks.
A WEIGHT that is not given is 1.`,
		Example: `  service adapters merge imdb@3=0.7 reviews=0.3 --name both
  service adapters merge imdb reviews topic --name all --method ties --density 0.5`, ValidArgsFunction: a.suggest(adapterRefs)}
	f := cmd.Flags()
	f.StringVarP(&name, "name", "n", "", "name of the merged adapter")
	f.StringVar(&method, "method", "", "`METHOD`: linear (the default), cat, ties, dare_linear or dare_ties")
	f.Float64Var(&density, "density", 0, "`SHARE` of the values that stay, of ties and dare; 0.5")
	f.StringVar(&sign, "sign", "", "how ties elects signs: by the `total` of the values (the default), or by their frequency")
	f.Uint64Var(&seed, "seed", 0, "of dare's draws")
	a.completes(cmd, "name", adapterNames)
	a.completes(cmd, "method", func(context.Context, *client) []string { return adapters.MergeMethods })
	a.completes(cmd, "sign", func(context.Context, *client) []string { return []string{"total", "frequency"} })
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		if name == "" {
			return misuse(errors.New("--name is missing"))
		}
		parts, err := partsOf(args)
		if err != nil {
			return misuse(err)
		}
		body := map[string]any{"name": name, "adapters": parts}
		for _, o := range []struct {
			flag, at string
			value    any
		}{{"method", "method", method}, {"density", "density", density}, {"sign", "majority_sign_method", sign}, {"seed", "seed", seed}} {
			if f.Changed(o.flag) {
				body[o.at] = o.value
			}
		}
		var v adapter
		text, err := c.post(ctx, "/adapters/merge", body, &v)
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		_, err = fmt.Fprintln(out, clean(v.String()))
		return err
	})
	return cmd
}

// partsOf reads imdb@3=0.7.
func partsOf(args []string) ([]map[string]any, error) {
	var parts []map[string]any
	for _, arg := range args {
		ref, text, weighted := strings.Cut(arg, "=")
		part := map[string]any{"adapter": ref}
		if weighted {
			w, err := strconv.ParseFloat(text, 64)
			if err != nil || w-w != 0 { // JSON has no NaN and no infinity
				return nil, fmt.Errorf("%q is not an adapter with its weight, such as imdb@3=0.7", arg)
			}
			part["weight"] = w
		}
		parts = append(parts, part)
	}
	return parts, nil
}
