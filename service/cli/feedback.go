package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"lorikeet/tuning/datasets"
	"lorikeet/tuning/feedback"
)

func (a *app) feedback() *cobra.Command {
	f := &cobra.Command{Use: "feedback", Short: "Tell what was right of an answer, and make data sets of that",
		Example: "  service feedback add mood --text \"Worth the wait.\" --label positive --adapter mood@1 --wrong\n  service feedback dataset mood --with ds_9f86d081884c7d659a2f"}
	f.AddCommand(a.addFeedback(), a.listFeedback(), a.getFeedback(), a.feedbackRows(), a.feedbackDataset(), a.deleteFeedback())
	return f
}

func (a *app) addFeedback() *cobra.Command {
	var text, label, file string
	var correct, wrong bool
	body := map[string]any{}
	cmd := &cobra.Command{Use: "add COLLECTION", Short: "Tell the right answer to a text", Args: cobra.ExactArgs(1),
		Long: `Keeps texts with the right answer in a collection: one of --text and --label, or the rows of --file,
one JSON object a line, as data sets have them.`,
		Example: `  service feedback add mood --text "Worth the wait." --label positive --adapter mood@1 --wrong
  echo '{"instruction": "Rate this.", "input": "Fine.", "output": "stars: 3 of 5"}' | service feedback add stars --file -`,
		ValidArgsFunction: a.suggest(collections)}
	f := cmd.Flags()
	f.StringVar(&text, "text", "", "the text that was asked")
	f.StringVar(&label, "label", "", "the right label")
	f.StringVarP(&file, "file", "f", "", "file of rows, one JSON object a line; -: standard input")
	f.BoolVar(&correct, "correct", false, "the model's answer was right")
	f.BoolVar(&wrong, "wrong", false, "the model's answer was wrong")
	for name, about := range map[string]string{"model": "base that answered", "adapter": "adapter that answered, as mood@3", "request-id": "id of the request, as the header X-Request-Id told it"} {
		f.String(name, "", about)
	}
	a.completes(cmd, "adapter", adapterRefs)
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		body["collection"] = args[0]
		for _, name := range []string{"model", "adapter", "request-id"} {
			if v, _ := f.GetString(name); v != "" { // it is a string
				body[strings.ReplaceAll(name, "-", "_")] = v
			}
		}
		switch {
		case correct && wrong:
			return misuse(errors.New("--correct and --wrong exclude each other"))
		case correct || wrong:
			body["correct"] = correct
		}
		switch {
		case file == "" && text != "" && label != "":
			body["row"] = map[string]string{"text": text, "label": label}
			return a.sendFeedback(ctx, c, out, body)
		case file == "" || text != "" || label != "":
			return misuse(errors.New("give --text and --label, or --file"))
		}
		rows, err := texts(nil, file, cmd.InOrStdin())
		if err != nil {
			return err
		}
		for i, row := range rows {
			if !json.Valid([]byte(row)) {
				return misuse(fmt.Errorf("row %d of %s is not JSON; %d before it were taken", i+1, file, i))
			}
			body["row"] = json.RawMessage(row)
			if err := a.sendFeedback(ctx, c, out, body); err != nil {
				return fmt.Errorf("row %d of %s; %d before it were taken: %w", i+1, file, i, err)
			}
		}
		return nil
	})
	return cmd
}

func (a *app) sendFeedback(ctx context.Context, c *client, out io.Writer, body map[string]any) error {
	var e feedback.Entry
	answered, err := c.post(ctx, "/feedback", body, &e)
	if err != nil || a.json {
		return orAnswer(out, answered, err)
	}
	_, err = fmt.Fprintln(out, clean(e.ID))
	return err
}

func (a *app) listFeedback() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List collections of feedback", Example: "  service feedback list"}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, _ []string) error {
		return tabled(ctx, a, c, out, "/feedback", nil, 0, []string{"COLLECTION", "KIND", "ROWS", "CREATED"}, func(f feedback.Collection) []string {
			return []string{f.Name, string(f.Kind), fmt.Sprint(f.Rows), ago(f.CreatedAt)}
		})
	})
	return cmd
}

func (a *app) getFeedback() *cobra.Command {
	cmd := &cobra.Command{Use: "get COLLECTION", Short: "Count a collection: texts, labels, and who was right how often", Args: cobra.ExactArgs(1), Example: "  service feedback get mood", ValidArgsFunction: a.suggest(collections)}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		var s feedback.Summary
		text, err := c.get(ctx, path("feedback", args[0]), nil, &s)
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		if err := facts(out, "collection", s.Name, "kind", string(s.Kind), "rows", fmt.Sprint(s.Rows), "texts", fmt.Sprint(s.Texts), "labels", labelCounts(s.Labels)); err != nil {
			return err
		}
		rows := [][]string{{"all", fmt.Sprint(s.Answers.Correct), fmt.Sprint(s.Answers.Wrong), fmt.Sprint(s.Answers.Unknown)}}
		for _, w := range s.Adapters {
			rows = append(rows, []string{w.Adapter, fmt.Sprint(w.Correct), fmt.Sprint(w.Wrong), fmt.Sprint(w.Unknown)})
		}
		return table(out, []string{"ADAPTER", "CORRECT", "WRONG", "UNKNOWN"}, rows)
	})
	return cmd
}

func (a *app) feedbackRows() *cobra.Command {
	var most int
	cmd := &cobra.Command{Use: "rows COLLECTION", Short: "Print rows of feedback as JSON lines, the newest first", Args: cobra.ExactArgs(1), Example: "  service feedback rows mood --limit 5", ValidArgsFunction: a.suggest(collections)}
	cmd.Flags().IntVar(&most, "limit", 20, "rows to print; 0: all")
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		_, raw, err := pages[feedback.Entry](ctx, c, path("feedback", args[0], "rows"), nil, most)
		if err != nil {
			return err
		}
		if a.json {
			return answers(out, raw)
		}
		for _, r := range raw {
			if err := answer(out, r); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}

func (a *app) feedbackDataset() *cobra.Command {
	var with, name string
	var clears bool
	cmd := &cobra.Command{Use: "dataset COLLECTION", Short: "Make a data set of a collection, alone or together with another", Args: cobra.ExactArgs(1),
		Example: "  service feedback dataset mood --with ds_9f86d081884c7d659a2f --clear", ValidArgsFunction: a.suggest(collections)}
	f := cmd.Flags()
	f.StringVar(&with, "with", "", "data set to correct and complete")
	f.StringVar(&name, "name", "", "name to remember it by")
	f.BoolVar(&clears, "clear", false, "take the rows out of the collection then")
	a.completes(cmd, "with", datasetIDs)
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		body := map[string]any{}
		for k, v := range map[string]string{"with": with, "name": name} {
			if v != "" {
				body[k] = v
			}
		}
		if clears {
			body["clear"] = true
		}
		var d datasets.Dataset
		text, err := c.post(ctx, path("feedback", args[0], "datasets"), body, &d)
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		return showDataset(out, d)
	})
	return cmd
}

func (a *app) deleteFeedback() *cobra.Command {
	var row string
	cmd := &cobra.Command{Use: "delete COLLECTION…", Aliases: []string{"rm"}, Short: "Delete collections of feedback, or one row", Args: cobra.MinimumNArgs(1),
		Example: "  service feedback delete mood\n  service feedback delete mood --row fb_06451f3a7c2d1eq3v9k2mzt7", ValidArgsFunction: a.suggest(collections)}
	cmd.Flags().StringVar(&row, "row", "", "the row to delete; the others stay")
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, names []string) error {
		if row == "" {
			return a.deleteEach(ctx, c, out, names, func(name string) string { return path("feedback", name) })
		}
		if len(names) > 1 {
			return misuse(errors.New("--row is for one collection"))
		}
		_, err := c.raw(ctx, request{method: http.MethodDelete, path: path("feedback", names[0], "rows", row)})
		return err
	})
	return cmd
}

func collections(ctx context.Context, c *client) (names []string) {
	all, _, _ := pages[feedback.Collection](ctx, c, "/feedback", nil, 50)
	for _, f := range all {
		names = append(names, f.Name)
	}
	return names
}
