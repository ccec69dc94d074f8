//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"

	"lorikeet/adapters/store"
)

// faultyStore fails to write while there is a file in its control folder: "full", as a
// full disk does, before anything is written; "lost", as a bucket does whose answer is
// lost, now and then and after it was written.
type faultyStore struct {
	*store.Dir
	control string
}

func (s *faultyStore) is(fault string) bool {
	_, err := os.Stat(filepath.Join(s.control, fault))
	return err == nil
}

func (s *faultyStore) before() error {
	if s.is("full") {
		return fmt.Errorf("%w: %w", store.ErrNoSpace, syscall.ENOSPC)
	}
	return nil
}

func (s *faultyStore) after() error {
	if s.is("lost") && rand.IntN(5) == 0 { //nolint:gosec // no secret
		return fmt.Errorf("%w: its answer was lost", store.ErrUnavailable)
	}
	return nil
}

// Create implements the stores of queue and registry.
func (s *faultyStore) Create(ctx context.Context, key string, data []byte) error {
	if err := s.before(); err != nil {
		return err
	}
	if err := s.Dir.Create(ctx, key, data); err != nil {
		return err
	}
	return s.after()
}

// Delete implements the store of the queue.
func (s *faultyStore) Delete(ctx context.Context, key string) error {
	if err := s.Dir.Delete(ctx, key); err != nil {
		return err
	}
	return s.after()
}

// PutBlob implements the stores of queue and registry.
func (s *faultyStore) PutBlob(ctx context.Context, r io.Reader) (string, int64, error) {
	if err := s.before(); err != nil {
		return "", 0, err
	}
	digest, size, err := s.Dir.PutBlob(ctx, r)
	if err != nil {
		return digest, size, err
	}
	if err := s.after(); err != nil {
		return "", 0, err
	}
	return digest, size, nil
}
