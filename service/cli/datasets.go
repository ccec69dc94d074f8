package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"lorikeet/tuning/datasets"
)

func (a *app) datasets() *cobra.Command {
	sets := &cobra.Command{Use: "datasets", Short: "Upload, list, look at and clean data sets",
		Example: "  service datasets upload reviews.csv\n  service datasets preview ds_9f86d081884c7d659a2f\n  service datasets doctor ds_9f86d081884c7d659a2f"}
	sets.AddCommand(a.uploadDataset(), a.listDatasets(), a.getDataset(), a.previewDataset(), a.doctor(), a.cleanDataset(), a.quarantine(), a.deleteDatasets())
	return sets
}

// upload sends a file with a bar.
func upload(ctx context.Context, c *client, b *bar, file string, query url.Values) (d datasets.Dataset, text json.RawMessage, err error) {
	f, err := os.Open(file) // #nosec G304 -- the file that the user names
	if err != nil {
		return d, nil, err
	}
	defer func() { _ = f.Close() }() // read only
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder", file)
	}
	if err != nil {
		return d, nil, err
	}
	if query.Get("name") == "" {
		query.Set("name", filepath.Base(file))
	}
	r := request{method: http.MethodPost, path: "/datasets", query: query, kind: "application/octet-stream", size: info.Size(),
		body: &counted{Reader: f, size: info.Size(), bar: b, name: filepath.Base(file)}}
	text, err = c.into(ctx, r, &d)
	b.done()
	if err != nil {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return d, text, err
}

func (a *app) uploadDataset() *cobra.Command {
	var name, format, columns string
	var sample int
	cmd := &cobra.Command{Use: "upload FILE…", Short: "Upload files of rows: CSV, TSV, JSON lines, JSON or Parquet", Args: cobra.MinimumNArgs(1),
		Example: "  service datasets upload reviews.csv\n  service datasets upload dump.csv --columns '{\"text\": \"review\", \"label\": \"stars\"}' --sample 500"}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "name to remember it by; the file's")
	f.StringVar(&format, "format", "", "csv, jsonl, json or parquet; found out unless given")
	f.StringVar(&columns, "columns", "", "which column is which field, as JSON")
	f.IntVar(&sample, "sample", 0, "rows to draw at random; 0: all")
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, files []string) error {
		if name != "" && len(files) > 1 {
			return misuse(errors.New("--name is for one file"))
		}
		query := url.Values{}
		for k, v := range map[string]string{"name": name, "format": format, "columns": columns} {
			if v != "" {
				query.Set(k, v)
			}
		}
		if sample != 0 {
			query.Set("sample", fmt.Sprint(sample))
		}
		b := newBar(cmd.ErrOrStderr())
		var errs []error
		for _, file := range files {
			d, text, err := upload(ctx, c, b, file, maps.Clone(query))
			switch {
			case err != nil:
				errs = append(errs, err)
			case a.json:
				errs = append(errs, answer(out, text))
			default:
				for _, w := range d.Warnings {
					b.note("warning: %s", w)
				}
				errs = append(errs, showDataset(out, d))
			}
		}
		return errors.Join(errs...)
	})
	return cmd
}

func showDataset(out io.Writer, d datasets.Dataset) error {
	return facts(out, "id", d.ID, "name", d.Name, "kind", string(d.Kind), "rows", fmt.Sprint(d.Rows), "columns", strings.Join(d.Columns, ", "),
		"labels", labelCounts(d.Labels), "size", size(d.Bytes)+" of "+d.Format, "cleaned from", d.CleanedFrom, "left out", leftOut(d.Quarantine))
}

func (a *app) listDatasets() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List data sets, the newest first", Example: "  service datasets list"}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, _ []string) error {
		return tabled(ctx, a, c, out, "/datasets", nil, 0, []string{"ID", "NAME", "KIND", "ROWS", "SIZE", "CREATED"}, func(d datasets.Dataset) []string {
			return []string{d.ID, clip(d.Name, 40), string(d.Kind), fmt.Sprint(d.Rows), size(d.Bytes), ago(d.CreatedAt)}
		})
	})
	return cmd
}

func (a *app) getDataset() *cobra.Command {
	cmd := &cobra.Command{Use: "get ID", Short: "Show what was found in a data set", Args: cobra.ExactArgs(1), Example: "  service datasets get ds_9f86d081884c7d659a2f", ValidArgsFunction: a.suggest(datasetIDs)}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		var d datasets.Dataset
		text, err := c.get(ctx, path("datasets", args[0]), nil, &d)
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		return showDataset(out, d)
	})
	return cmd
}

func (a *app) previewDataset() *cobra.Command {
	var rows int
	cmd := &cobra.Command{Use: "preview ID", Short: "Print the first rows of a data set, as JSON lines", Args: cobra.ExactArgs(1), Example: "  service datasets preview ds_9f86d081884c7d659a2f --rows 3", ValidArgsFunction: a.suggest(datasetIDs)}
	cmd.Flags().IntVar(&rows, "rows", 10, "rows to print")
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		var p struct{ Rows []json.RawMessage }
		text, err := c.get(ctx, path("datasets", args[0], "preview"), url.Values{"limit": {fmt.Sprint(rows)}}, &p)
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		for _, r := range p.Rows {
			if err := answer(out, r); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}

func (a *app) deleteDatasets() *cobra.Command {
	cmd := &cobra.Command{Use: "delete ID…", Aliases: []string{"rm"}, Short: "Delete data sets; jobs that were given them keep their rows", Args: cobra.MinimumNArgs(1),
		Example: "  service datasets delete ds_9f86d081884c7d659a2f", ValidArgsFunction: a.suggest(datasetIDs)}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, ids []string) error {
		return a.deleteEach(ctx, c, out, ids, func(id string) string { return path("datasets", id) })
	})
	return cmd
}

// deleteEach deletes one after the other.
func (a *app) deleteEach(ctx context.Context, c *client, out io.Writer, names []string, at func(string) string) error {
	return a.each(out, names, func(name string) (string, json.RawMessage, error) {
		text, err := c.raw(ctx, request{method: del, path: at(name)})
		return "", text, err
	})
}
