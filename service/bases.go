package main

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gomlx/compute/dtypes"

	"lorikeet/inference"
	"lorikeet/inference/builtin"
	"lorikeet/inference/gguf"
	"lorikeet/inference/hub"
)

// shelf opens bases by name, as the flags describe them.
type shelf struct {
	sources map[string]string
	names   []string                // in the order of the flags
	held    map[string]dtypes.DType // how the matrices of bases are, that are not held in float32
	hub     hub.Client
	log     *slog.Logger
}

func newShelf(c *config, log *slog.Logger) (*shelf, error) {
	s := &shelf{sources: map[string]string{}, held: map[string]dtypes.DType{}, log: log, hub: hub.FromEnv(os.Getenv)}
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
	for _, f := range []struct {
		flag  string
		names []string
		as    dtypes.DType
	}{{"--bf16", c.bf16, dtypes.BFloat16}, {"--int8", c.int8, dtypes.Int8}} {
		for _, name := range f.names {
			if s.sources[name] == "" {
				return nil, fmt.Errorf("%s %s: no base has that name; bases: %s", f.flag, name, strings.Join(s.names, ", "))
			}
			if _, twice := s.held[name]; twice && s.held[name] != f.as {
				return nil, fmt.Errorf("base %s is to be held as bf16 or as int8, not both", name)
			}
			s.held[name] = f.as
		}
	}
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
	b.Matrices = s.held[name]
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
