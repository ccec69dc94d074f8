package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lorikeet/tuning/data"
	"lorikeet/tuning/datasets"
)

func (a *app) doctor() *cobra.Command {
	var validation string
	cmd := &cobra.Command{Use: "doctor ID", Short: "Look for duplicates, contradictions, leakage and other ailments of a data set", Args: cobra.ExactArgs(1),
		Example: "  service datasets doctor ds_9f86d081884c7d659a2f --validation ds_2c26b46b68ffc68ff99b", ValidArgsFunction: a.suggest(datasetIDs)}
	cmd.Flags().StringVar(&validation, "validation", "", "`ID` of the data set to validate with, whose rows must not be in this one")
	a.completes(cmd, "validation", datasetIDs)
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		query := url.Values{}
		if validation != "" {
			query.Set("validation", validation)
		}
		var e datasets.Examination
		text, err := c.get(ctx, path("datasets", args[0], "doctor"), query, &e)
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		return showExamination(out, e)
	})
	return cmd
}

func showExamination(out io.Writer, e datasets.Examination) error {
	fmt.Fprintf(out, "%d of %d rows have nothing the matter\n", e.Sound, e.Rows) //nolint:errcheck // the table reports it
	if len(e.Findings) == 0 {
		return nil
	}
	var rows [][]string
	for _, f := range e.Findings {
		rows = append(rows, []string{f.Kind, fmt.Sprint(f.Count), clip(traces(f.Examples), 60), f.Advice})
	}
	return table(out, []string{"FOUND", "COUNT", "ROWS", "WHY IT MATTERS"}, rows)
}

// shownTraces is how many rows of an ailment are named; --json has more.
const shownTraces = 4

// traces points at the first rows of an ailment.
func traces(all []data.Trace) string {
	var parts []string
	for i, t := range all {
		switch {
		case i == shownTraces:
			return strings.Join(append(parts, "…"), ", ")
		case t.Of > 0:
			parts = append(parts, fmt.Sprintf("%d (as %d)", t.Row, t.Of))
		case t.Row > 0:
			parts = append(parts, fmt.Sprint(t.Row))
		default:
			parts = append(parts, t.Detail)
		}
	}
	return strings.Join(parts, ", ")
}

func (a *app) cleanDataset() *cobra.Command {
	var validation, name string
	var drop []string
	cmd := &cobra.Command{Use: "clean ID", Short: "Make a data set of the sound rows; the others are kept in quarantine", Args: cobra.ExactArgs(1),
		Example: "  service datasets clean ds_9f86d081884c7d659a2f\n  service datasets clean ds_9f86d081884c7d659a2f --drop duplicate,near_duplicate --name 'reviews, once each'", ValidArgsFunction: a.suggest(datasetIDs)}
	f := cmd.Flags()
	f.StringSliceVar(&drop, "drop", nil, "`AILMENTS` that a row must not have; "+strings.Join(data.Cures, ",")+" unless given. There are also near_duplicate and length")
	f.StringVar(&validation, "validation", "", "`ID` of the data set to validate with, whose rows must not be in this one")
	f.StringVar(&name, "name", "", "name of the new data set")
	a.completes(cmd, "validation", datasetIDs)
	a.completes(cmd, "drop", func(context.Context, *client) []string { return data.Ailments })
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		body := map[string]any{}
		if len(drop) > 0 {
			body["drop"] = drop
		}
		for at, value := range map[string]string{"validation": validation, "name": name} {
			if value != "" {
				body[at] = value
			}
		}
		var d datasets.Dataset
		text, err := c.post(ctx, path("datasets", args[0], "clean"), body, &d)
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		if d.ID == args[0] {
			newBar(cmd.ErrOrStderr()).note("there is nothing to leave out")
		}
		return showDataset(out, d)
	})
	return cmd
}

// leftOut tells how many rows a cleaned data set left out, and why; "" for another.
func leftOut(q *datasets.Quarantine) string {
	if q == nil {
		return ""
	}
	var why []string
	for _, kind := range slices.Sorted(maps.Keys(q.Reasons)) {
		why = append(why, fmt.Sprintf("%s %d", kind, q.Reasons[kind]))
	}
	return fmt.Sprintf("%d rows: %s", q.Rows, strings.Join(why, ", "))
}

func (a *app) quarantine() *cobra.Command {
	cmd := &cobra.Command{Use: "quarantine ID", Short: "Print the rows that were left out of a cleaned data set, as JSON lines", Args: cobra.ExactArgs(1),
		Example: "  service datasets quarantine ds_2c26b46b68ffc68ff99b | jq -c '[.row, .reasons]'", ValidArgsFunction: a.suggest(datasetIDs)}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		return c.download(ctx, path("datasets", args[0], "quarantine"), 0, out, newBar(cmd.ErrOrStderr()), "")
	})
	return cmd
}
