package main

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"lorikeet/inference"
	"lorikeet/inference/builtin"
	"lorikeet/inference/gguf"
	"lorikeet/inference/hub"
)

// shelf opens bases by name, as the flags describe them.
type shelf struct {
	sources map[string]string
	names   []string // in the order of the flags
	int8    []string // bases that are held so
	hub     hub.Client
	log     *slog.Logger
}

func newShelf(c *config, log *slog.Logger) (*shelf, error) {
	s := &shelf{sources: map[string]string{}, log: log, hub: hub.FromEnv(os.Getenv)}
	s.hub.Progress = progress(log)
	s.hub.HTTP = &http.Client{Transport: hub.Guarded(s.hub.Endpoint)}
	for _, b := range c.bases {
		name, source, err := named(b)
		if err != nil {
			return nil, err
		}
		s.sources[name] = source
		s.names = append(s.names, name)
	}
	for _, name := range c.int8 {
		if s.sources[name] == "" {
			return nil, fmt.Errorf("--int8 %s: no base has that name; bases: %s", name, strings.Join(s.names, ", "))
		}
	}
	s.int8 = c.int8
	return s, nil
}

// open finds a base's folder, downloading it if need be, and reads it.
func (s *shelf) open(ctx context.Context, name string) (*inference.Base, error) {
	source, ok := s.sources[name]
	if !ok {
		return nil, fmt.Errorf("base %q is not loaded here; bases: %s", name, strings.Join(s.names, ", "))
	}
	if model, ok := strings.CutPrefix(source, "builtin:"); ok {
		folder, err := builtin.Open(model)
		if err != nil {
			return nil, fmt.Errorf("base %s: %w", name, err)
		}
		return s.read(name, source, folder)
	}
	dir := source
	if strings.HasPrefix(source, "hf:") {
		ref, err := hub.Parse(source)
		if err != nil {
			return nil, fmt.Errorf("base %s: %w", name, err)
		}
		if dir, _, err = s.hub.Fetch(ctx, ref, modelFile); err != nil {
			return nil, fmt.Errorf("base %s: %w", name, err)
		}
	}
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() && strings.HasSuffix(dir, ".gguf") {
		folder, err := gguf.Folder(os.DirFS(filepath.Dir(dir)), filepath.Base(dir))
		if err != nil {
			return nil, fmt.Errorf("base %s: %w", name, err)
		}
		return s.read(name, source, folder)
	}
	if err != nil || !info.IsDir() {
		return nil, fmt.Errorf("base %s: %s is not a folder; give a Hugging Face folder, a GGUF file, hf:owner/repo or builtin:NAME", name, dir)
	}
	return s.read(name, source, os.DirFS(dir))
}

// read opens a base. One whose chat template cannot be used serves all else, and says so
// to whoever asks for the template; the log says it now.
func (s *shelf) read(name, source string, folder fs.FS) (*inference.Base, error) {
	b, err := inference.OpenBase(name, source, folder)
	if err != nil {
		return nil, err
	}
	b.Int8 = slices.Contains(s.int8, name)
	if b.Chat != nil && b.Chat.Broken() != nil {
		s.log.Warn("chat template unusable", "base", name, "error", b.Chat.Broken())
	}
	return b, nil
}

// modelFile picks what is needed of a model's repository.
func modelFile(name string) bool {
	if strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".safetensors.index.json") || name == "config.json" || name == "generation_config.json" {
		return !strings.Contains(name, "/")
	}
	for _, f := range inference.TokenizerFiles {
		if name == f {
			return true
		}
	}
	return false
}

// progress logs downloads at most once in two seconds, and when one is done.
func progress(log *slog.Logger) func(file string, done, total int64) {
	var mu sync.Mutex
	last := map[string]time.Time{}
	return func(file string, done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		if done < total && time.Since(last[file]) < 2*time.Second {
			return
		}
		last[file] = time.Now()
		percent := 0.0
		if total > 0 {
			percent = 100 * float64(done) / float64(total)
		}
		log.Info("download", "file", file, "percent", fmt.Sprintf("%.0f", percent), "bytes", done, "of", total)
	}
}
