package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"lorikeet/adapters"
)

// peft are the files of a PEFT folder, the configuration first.
var peft = []string{adapters.ConfigFile, adapters.WeightsFile}

func (a *app) importAdapter() *cobra.Command {
	var name, model string
	cmd := &cobra.Command{Use: "import SOURCE", Short: "Bring an adapter: a PEFT folder, hf:owner/repo, or file:DIR on the server", Args: cobra.ExactArgs(1),
		Example: "  service adapters import ./imdb --name imdb --model bert\n  service adapters import hf:owner/repo --name imdb"}
	cmd.Flags().StringVarP(&name, "name", "n", "", "name of the adapter")
	cmd.Flags().StringVarP(&model, "model", "m", "", "its base; may be left out where there is only one")
	a.completes(cmd, "model", bases)
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		if name == "" {
			return misuse(errors.New("--name is missing"))
		}
		fields := map[string]string{"name": name}
		if model != "" {
			fields["model"] = model
		}
		var r request
		var err error
		if strings.HasPrefix(args[0], "hf:") || strings.HasPrefix(args[0], "file:") {
			fields["source"] = args[0]
			r, err = jsonRequest("/adapters", fields)
		} else {
			var done func()
			r, done, err = folder(args[0], fields, newBar(cmd.ErrOrStderr()))
			defer done()
		}
		if err != nil {
			return err
		}
		var v adapter
		text, err := c.into(ctx, r, &v)
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		_, err = fmt.Fprintln(out, clean(v.String()))
		return err
	})
	return cmd
}

// folder is a form of a PEFT folder, sent as it is read. done is for when it is sent.
func folder(dir string, fields map[string]string, b *bar) (form request, done func(), err error) {
	files := make([]*os.File, 0, len(peft))
	shut := func() {
		for _, f := range files {
			_ = f.Close() // read only
		}
		b.done()
	}
	for _, name := range peft {
		f, err := os.Open(filepath.Join(dir, name)) // #nosec G304 -- the file that the user names
		if err != nil {
			return request{}, shut, err
		}
		files = append(files, f)
	}
	r, w := io.Pipe()
	m := multipart.NewWriter(w)
	var writing sync.WaitGroup
	writing.Go(func() { w.CloseWithError(writeForm(m, fields, files, b)) })
	return request{method: http.MethodPost, path: "/adapters", kind: m.FormDataContentType(), body: r}, func() {
		_ = r.Close() // ends the writing, where the service has not read to the end
		writing.Wait()
		shut()
	}, nil
}

func writeForm(m *multipart.Writer, fields map[string]string, files []*os.File, b *bar) error {
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if err := m.WriteField(k, fields[k]); err != nil {
			return err
		}
	}
	for i, f := range files {
		part, err := m.CreateFormFile(peft[i], peft[i])
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if _, err := io.Copy(part, &counted{Reader: f, size: info.Size(), bar: b, name: peft[i]}); err != nil {
			return err
		}
	}
	return m.Close()
}
