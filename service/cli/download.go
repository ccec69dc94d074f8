package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) downloadAdapter() *cobra.Command {
	var to, archive string
	var merged bool
	cmd := &cobra.Command{Use: "download NAME[@VERSION]", Short: "Take a version as the PEFT folder that it is, or merged with its base", Args: cobra.ExactArgs(1),
		Long: `Takes a version as the PEFT folder that it is. With --merged it is the base with the adapter folded into its weights: a folder
that transformers reads without PEFT, made while it is sent. --tar keeps that as one file.`,
		Example: `  service adapters download imdb@3 --to ./imdb
  service adapters download imdb@3 --merged --to ./imdb-merged
  service adapters download imdb@3 --merged --tar - | ssh elsewhere tar x`, ValidArgsFunction: a.suggest(adapterRefs)}
	cmd.Flags().StringVar(&to, "to", "", "`FOLDER` for the files; NAME in this one, or NAME-VERSION with --merged, which must be new or empty")
	cmd.Flags().BoolVar(&merged, "merged", false, "a model of its own, merged with the base")
	cmd.Flags().StringVar(&archive, "tar", "", "with --merged: `FILE` for the tar file; -: standard output")
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		switch {
		case archive != "" && !merged:
			return misuse(errors.New("--tar is for --merged"))
		case archive != "" && to != "":
			return misuse(errors.New("--to and --tar exclude each other"))
		}
		if _, person := terminal(out); person && archive == "-" {
			return misuse(errors.New("a tar file is nothing for a terminal: say where it goes with --tar FILE"))
		}
		v, _, err := find(ctx, c, args[0])
		if err != nil {
			return err
		}
		b := newBar(cmd.ErrOrStderr())
		defer b.done()
		var written []string
		switch {
		case archive == "-":
			return c.mergedTar(ctx, v, out, b)
		case archive != "":
			written = []string{archive}
			err = into(archive, func(f io.Writer) error { return c.mergedTar(ctx, v, f, b) })
		case merged:
			written, err = c.mergedFolder(ctx, v, cmp.Or(to, fmt.Sprintf("%s-%d", filepath.Base(v.Name), v.Version)), b)
		default:
			written, err = c.peftFolder(ctx, v, cmp.Or(to, filepath.Base(v.Name)), b)
		}
		if err != nil {
			return err
		}
		if a.json {
			_, text, err := find(ctx, c, v.String())
			return orAnswer(out, text, err)
		}
		_, err = fmt.Fprintln(out, strings.Join(written, "\n"))
		return err
	})
	return cmd
}

// peftFolder takes the files of a version, and tells their paths.
func (c *client) peftFolder(ctx context.Context, v adapter, dir string, b *bar) (written []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- as mkdir makes it; less the umask
		return nil, err
	}
	for _, file := range slices.Sorted(maps.Keys(v.Files)) {
		if !filepath.IsLocal(file) || filepath.Base(file) != file {
			return written, fmt.Errorf("the service names a file %q, which is not one of this folder", clean(file))
		}
		to := filepath.Join(dir, file)
		if err := into(to, func(f io.Writer) error {
			return c.download(ctx, v.path()+path("files", file), v.Files[file].Bytes, f, b, file)
		}); err != nil {
			return written, fmt.Errorf("%s: %w", clean(file), err)
		}
		written = append(written, to)
	}
	return written, nil
}

// download writes a file of so many bytes; 0: not known.
func (c *client) download(ctx context.Context, from string, bytes int64, to io.Writer, b *bar, name string) error {
	res, err := c.send(ctx, request{method: get, path: from})
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // read only
	n, err := io.Copy(to, &counted{Reader: res.Body, size: bytes, bar: b, name: name})
	if err == nil && bytes > 0 && n != bytes {
		err = fmt.Errorf("%d bytes came of %d", n, bytes)
	}
	return err
}

// into has a file written, which stands under its name only once it is whole.
func into(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	if err = errors.Join(write(f), f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
