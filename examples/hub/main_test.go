package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lorikeet/inference/hub"
)

func TestServesAFolder(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "models", "owner", "name")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"--root", root, "--addr", "127.0.0.1:0"}, in)
		_ = in.CloseWithError(err)
		ended <- err
	}()
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	c := hub.Client{Endpoint: strings.TrimSpace(address), CacheDir: t.TempDir()}
	got, _, err := c.Fetch(t.Context(), hub.Ref{Owner: "owner", Name: "name"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(got, "config.json")); err != nil || string(b) != "{}" {
		t.Error(string(b), err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRefusesWhatItCannotServe(t *testing.T) {
	for name, args := range map[string][]string{
		"no folder": {}, "a folder that is not there": {"--root", filepath.Join(t.TempDir(), "x")},
		"an address that is none": {"--root", t.TempDir(), "--addr", "nowhere"}, "a word too many": {"--root", t.TempDir(), "x"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := run(t.Context(), args, &out); err == nil || errors.Is(err, flag.ErrHelp) {
				t.Errorf("error %v, output %s", err, out.String())
			}
		})
	}
}
