package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// installPeers makes the Python environment.
func (o *options) installPeers(ctx context.Context) error {
	stage, err := os.MkdirTemp("", "lorikeet-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(stage) }()
	if err := os.CopyFS(stage, peerFiles); err != nil {
		return err
	}
	venv := filepath.Join(o.cache, "venv")
	if err := os.MkdirAll(o.cache, 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "bash", filepath.Join(stage, "peers", "install.sh"), venv, filepath.Join(stage, "peers", "requirements.txt"))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// interpreter is the Python that has the peers.
func (o *options) interpreter() (string, error) {
	if o.python != "" {
		return o.python, nil
	}
	python := filepath.Join(o.cache, "venv", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		return "", fmt.Errorf(`the peers are missing: run "go run ./service/bench peers" once, or give --no-peers`)
	}
	return python, nil
}
