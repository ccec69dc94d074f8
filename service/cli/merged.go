package cli

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of a merged folder, which is a few files of transformers.
const (
	mostFiles = 256
	longName  = 255
)

// What a merged folder has at least; the service sends the weights last.
var mergedFiles = []string{"config.json", "model.safetensors"}

// mergedTar takes a version merged with its base as the tar file that comes. It is read on
// its way: what is broken or no such folder is an error.
func (c *client) mergedTar(ctx context.Context, v adapter, to io.Writer, b *bar) error {
	return c.merged(ctx, v, func(body io.Reader) error {
		all := io.TeeReader(body, to)
		if _, err := untar(all, b, func(string) (io.WriteCloser, error) { return discard{}, nil }); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, all) // the blocks at the end
		return err
	})
}

// mergedFolder takes a version merged with its base as a folder, and tells the paths of its
// files. They stand there only once all are whole.
func (c *client) mergedFolder(ctx context.Context, v adapter, dir string, b *bar) (written []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- as mkdir makes it; less the umask
		return nil, err
	}
	switch all, err := os.ReadDir(dir); {
	case err != nil:
		return nil, err
	case len(all) > 0: // what lies there would be taken for part of the model
		return nil, fmt.Errorf("%s is not empty", dir)
	}
	now, err := os.MkdirTemp(dir, ".download-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(now)) }()
	var names []string
	if err := c.merged(ctx, v, func(body io.Reader) error {
		names, err = unpack(body, now, b)
		return err
	}); err != nil {
		return nil, err
	}
	for _, name := range names {
		to := filepath.Join(dir, name)
		if err := os.Rename(filepath.Join(now, name), to); err != nil {
			return nil, err
		}
		written = append(written, to)
	}
	return written, nil
}

func (c *client) merged(ctx context.Context, v adapter, read func(body io.Reader) error) error {
	res, err := c.send(ctx, request{method: get, path: v.path() + "/merged", accept: "application/x-tar"})
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // read only
	return read(res.Body)
}

// unpack writes the files of a tar file into a folder, and nothing anywhere else.
func unpack(r io.Reader, dir string, b *bar) (names []string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return untar(r, b, func(name string) (io.WriteCloser, error) {
		return root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	})
}

// untar gives out the files of a merged folder, FOLDER/FILE each, and refuses whatever else
// a tar file can hold: links, devices, folders in folders, names that lead out.
func untar(r io.Reader, b *bar, create func(name string) (io.WriteCloser, error)) (names []string, err error) {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the tar file breaks off: %w", err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		switch {
		case h.Typeflag != tar.TypeReg || name == "" || len(name) > longName || strings.ContainsAny(name, `/\`) || !filepath.IsLocal(name):
			return nil, fmt.Errorf("the tar file holds %q, which is not a file of one folder", clean(clip(h.Name, longName)))
		case slices.Contains(names, name):
			return nil, fmt.Errorf("the tar file holds %q twice", clean(name))
		case len(names) == mostFiles:
			return nil, fmt.Errorf("the tar file holds more than %d files", mostFiles)
		}
		f, err := create(name)
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(f, &counted{Reader: t, size: h.Size, bar: b, name: name})
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", clean(name), err)
		}
		names = append(names, name)
	}
	for _, name := range mergedFiles {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("the tar file has no %s", name)
		}
	}
	return names, nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }
