package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// readSpec reads the request that --spec names; an empty one without.
func readSpec(file string, in io.Reader) (map[string]any, error) {
	body := map[string]any{}
	if file == "" {
		return body, nil
	}
	r, done, err := open(file, in)
	if err != nil {
		return nil, err
	}
	defer done()
	d := json.NewDecoder(io.LimitReader(r, 64<<20))
	d.UseNumber() // seeds are larger than a float64 holds
	if err := d.Decode(&body); err != nil {
		return nil, misuse(fmt.Errorf("--spec %s: %w", file, err))
	}
	return body, nil
}

// valueOf reads a value of the command line: JSON where it is some, else a text. Modules
// may be given as a list with commas.
func valueOf(flag, text string) any {
	if flag == "target-modules" {
		if text == "all-linear" || strings.ContainsAny(text, "()[]*+?|^$\\") {
			return text
		}
		return strings.Split(text, ",")
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.More() {
		return text
	}
	return v
}

// put sets body's value at a path such as lora.r.
func put(body map[string]any, path string, value any) error {
	names := strings.Split(path, ".")
	for i, name := range names {
		if name == "" {
			return errors.New("is not a path such as hyperparameters.epochs")
		}
		if i == len(names)-1 {
			body[name] = value
			return nil
		}
		next, ok := body[name].(map[string]any)
		if !ok {
			if body[name] != nil {
				return fmt.Errorf("%s is a value, not an object", strings.Join(names[:i+1], "."))
			}
			next = map[string]any{}
			body[name] = next
		}
		body = next
	}
	return nil
}

// source is what --data or --validation means; a file is uploaded.
func source(ctx context.Context, c *client, b *bar, s string, share bool) (map[string]any, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil && share {
		return map[string]any{"split": f}, nil
	}
	if hub, ok := strings.CutPrefix(s, "hf:"); ok {
		name, split, ok := strings.Cut(hub, ":")
		if !ok {
			split = "train"
		}
		return map[string]any{"hf": name, "split": split}, nil
	}
	if _, err := os.Stat(s); err != nil {
		if strings.HasPrefix(s, "ds_") {
			return map[string]any{"id": s}, nil
		}
		return nil, misuse(fmt.Errorf("%s is no file, no id of a data set (ds_…), and no data set of the hub (hf:owner/name)", s))
	}
	d, _, err := upload(ctx, c, b, s, url.Values{})
	if err != nil {
		return nil, err
	}
	b.note("%s: %s, %d rows of kind %s", s, d.ID, d.Rows, d.Kind)
	return map[string]any{"id": d.ID}, nil
}

func underscored(s string) string { return strings.ReplaceAll(s, "-", "_") }

// path joins the parts of an address; each may hold anything.
func path(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

const get, del = http.MethodGet, http.MethodDelete
