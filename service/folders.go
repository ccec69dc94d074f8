package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/inference"
	"lorikeet/inference/hub"
)

// folders opens what POST /adapters may name: a repository of the hub, or a folder
// below one that --allow-dir names.
type folders struct {
	allowed []string
	hub     *hub.Client
}

func newFolders(c *config, s *shelf) *folders { return &folders{allowed: c.allow, hub: &s.hub} }

// Open implements what routes needs. Links that lead out of an allowed folder are not
// followed: the folder is opened as an os.Root.
func (f *folders) Open(ctx context.Context, source string) (fs.FS, error) {
	if strings.HasPrefix(source, "hf:") {
		ref, err := hub.Parse(source)
		if err != nil {
			return nil, err
		}
		dir, _, err := f.hub.Fetch(ctx, ref, func(name string) bool { return name == adapters.ConfigFile || name == adapters.WeightsFile })
		if err != nil {
			return nil, err
		}
		return os.DirFS(dir), nil
	}
	path, ok := strings.CutPrefix(source, "file:")
	if !ok {
		return nil, invalid.Field("source", `%q is neither "hf:owner/name" nor "file:PATH"`, source)
	}
	for _, dir := range f.allowed {
		rel, err := filepath.Rel(dir, path)
		if !filepath.IsAbs(path) {
			rel, err = path, nil
		}
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, fmt.Errorf("--allow-dir: %w", err)
		}
		sub, err := root.OpenRoot(rel)
		if err := errors.Join(root.Close()); err != nil {
			return nil, err
		}
		if err == nil {
			return rooted{sub.FS(), sub}, nil
		}
	}
	if len(f.allowed) == 0 {
		return nil, invalid.Field("source", "this server reads no folders; start it with --allow-dir, or upload the two files")
	}
	return nil, invalid.Field("source", "there is no folder %q below those that --allow-dir names", path)
}

// rooted is a folder that is closed after use.
type rooted struct {
	fs.FS
	io.Closer
}

// Open opens a file. What is neither file nor folder is refused before it is opened: a
// pipe would wait for ever for somebody to write. That a link leads out of the folder
// is the source's fault, not ours.
func (r rooted) Open(name string) (fs.File, error) {
	info, err := fs.Stat(r.FS, name)
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil, invalid.Field("source", "%s in this folder is not a file", name)
	}
	f, err := r.FS.Open(name)
	var path *fs.PathError
	var system syscall.Errno
	if errors.As(err, &path) && !errors.As(err, &system) && !errors.Is(err, fs.ErrNotExist) {
		return nil, invalid.Field("source", "%s in this folder cannot be opened: %v", name, path.Err)
	}
	return f, err
}

// registerFolder registers a PEFT folder named by --adapter NAME=DIR or
// NAME=BASE:DIR, unless the name's current version has the same contents.
func registerFolder(ctx context.Context, p *parts, engine *inference.Engine, flag string) error {
	name, dir, err := named(flag)
	if err != nil {
		return err
	}
	base := p.shelf.names[0]
	if b, rest, ok := strings.Cut(dir, ":"); ok && p.shelf.sources[b] != "" {
		base, dir = b, rest
	} else if len(p.shelf.names) > 1 {
		return fmt.Errorf("--adapter %s: there are several bases; say which as %s=BASE:%s", flag, name, dir)
	}
	config, err := os.ReadFile(filepath.Join(dir, adapters.ConfigFile)) //nolint:gosec // the operator names it
	if err != nil {
		return fmt.Errorf("--adapter %s: %w", name, err)
	}
	weights, err := os.Open(filepath.Join(dir, adapters.WeightsFile)) //nolint:gosec // the operator names it
	if err != nil {
		return fmt.Errorf("--adapter %s: %w", name, err)
	}
	defer func() { _ = weights.Close() }() // read only
	info, err := weights.Stat()
	if err != nil {
		return fmt.Errorf("--adapter %s: %w", name, err)
	}
	v, err := engine.Import(ctx, inference.Import{Name: name, Model: base, Source: "file:" + filepath.Base(dir), Config: config,
		Weights: weights, Size: info.Size(), Once: true})
	if err != nil {
		return fmt.Errorf("--adapter %s: %w", name, err)
	}
	p.log.Info("adapter", "version", v.String(), "base", base)
	return nil
}
