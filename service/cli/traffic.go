package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// traffic is how the requests for a name are split.
type traffic struct {
	Name     string         `json:"name"`
	Active   bool           `json:"active"`
	Versions map[string]int `json:"versions"`
	Sticky   string         `json:"sticky"`
}

// String tells the shares of the versions, by their numbers; "" where all requests go to
// the current one.
func (t *traffic) String() string {
	if t == nil || !t.Active {
		return ""
	}
	total := 0
	for _, weight := range t.Versions {
		total += weight
	}
	byNumber := func(a, b string) int {
		x, _ := strconv.Atoi(a) // the service's; what is no number comes first
		y, _ := strconv.Atoi(b)
		return x - y
	}
	var shares []string
	for _, v := range slices.SortedFunc(maps.Keys(t.Versions), byNumber) {
		shares = append(shares, fmt.Sprintf("@%s %.3g %%", v, 100*float64(t.Versions[v])/float64(max(total, 1))))
	}
	return strings.Join(shares, ", ") + ", sticky by " + t.Sticky
}

func (a *app) traffic() *cobra.Command {
	var sticky string
	var clear bool
	cmd := &cobra.Command{Use: "traffic NAME [VERSION=WEIGHT…]", Short: "Show, split, or no longer split the requests for a name between its versions: a canary", Args: cobra.MinimumNArgs(1),
		Long: `Shows how the requests for a bare name are split between its versions. With weights it splits them;
a weight counts beside the others, so that 3=90 4=10 and 3=9 4=1 are the same. NAME@VERSION stays that version.
--clear, and a rollback, end a split.`,
		Example: `  service adapters traffic imdb
  service adapters traffic imdb 3=90 4=10 --sticky client
  service adapters traffic imdb --clear`, ValidArgsFunction: a.suggest(adapterNames)}
	cmd.Flags().StringVar(&sticky, "sticky", "", "what keeps a caller on one version: `header` (X-Canary-Key, the default), client (the API key) or none")
	cmd.Flags().BoolVar(&clear, "clear", false, "let the current version answer all again")
	a.completes(cmd, "sticky", func(context.Context, *client) []string { return []string{"header", "client", "none"} })
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		at := path("adapters", args[0], "traffic")
		weights, err := weightsOf(args[1:])
		switch {
		case err != nil:
			return misuse(err)
		case clear && (len(weights) > 0 || sticky != ""):
			return misuse(errors.New("--clear takes neither weights nor --sticky"))
		case sticky != "" && len(weights) == 0:
			return misuse(errors.New("--sticky needs the weights of the versions"))
		}
		r := request{method: get, path: at}
		switch {
		case clear:
			r.method = del
		case len(weights) > 0:
			body := map[string]any{"versions": weights}
			if sticky != "" {
				body["sticky"] = sticky
			}
			if r, err = jsonRequest(at, body); err != nil {
				return err
			}
		}
		var t traffic
		text, err := c.raw(ctx, r)
		if err == nil && len(text) > 0 {
			err = decode(r, text, &t)
		}
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		line := t.String()
		if line == "" {
			line = "not split: the current version answers all"
		}
		_, err = fmt.Fprintf(out, "%s: %s\n", clean(args[0]), clean(line))
		return err
	})
	return cmd
}

// weightsOf reads 3=90. Whether there is such a version, and what a weight may be, is for
// the service to say.
func weightsOf(args []string) (map[string]int, error) {
	weights := map[string]int{}
	for _, arg := range args {
		version, text, _ := strings.Cut(arg, "=")
		n, err := strconv.Atoi(version)
		weight, err2 := strconv.Atoi(text)
		if errors.Join(err, err2) != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a version with its weight, such as 3=90", arg)
		}
		if _, twice := weights[strconv.Itoa(n)]; twice {
			return nil, fmt.Errorf("version %d has two weights", n)
		}
		weights[strconv.Itoa(n)] = weight
	}
	return weights, nil
}
