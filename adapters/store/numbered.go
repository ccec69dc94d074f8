package store

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
)

// What changes is a folder of numbered records, of which the latest counts:
// <folder>/000001 and so on, each created at most once. Who changes it reads the latest
// and creates the next; of several who do so at once one succeeds, and the others look
// again.

// Numbered is what is needed of a store for such folders.
type Numbered interface {
	Create(ctx context.Context, key string, data []byte) error
	Get(ctx context.Context, key string) ([]byte, error)
	List(ctx context.Context, prefix string) ([]string, error)
}

// NumberedKey is the key of the n-th record of a folder, whose name ends with a slash.
func NumberedKey(folder string, n int) string { return fmt.Sprintf("%s%06d", folder, n) }

// NumberIn is the number that a key ends with; false: it has none.
func NumberIn(key string) (n int, ok bool) {
	n, err := strconv.Atoi(path.Base(key))
	return n, err == nil && n > 0
}

// NewestKey is the key and the number of a folder's latest record; 0: there is none.
func NewestKey(ctx context.Context, s Numbered, folder string) (key string, n int, err error) {
	keys, err := s.List(ctx, folder)
	for _, k := range keys { // by number: the millionth sorts before the second
		if m, ok := NumberIn(k); ok && m > n {
			key, n = k, m
		}
	}
	return key, n, err
}

// Newest reads a folder's latest record; number 0: there is none.
func Newest(ctx context.Context, s Numbered, folder string) (n int, data []byte, err error) {
	for range 10 {
		key, n, err := NewestKey(ctx, s, folder)
		if err != nil || n == 0 {
			return n, nil, err
		}
		data, err := s.Get(ctx, key)
		if !errors.Is(err, ErrNotFound) { // else it made room for a later one, or all are deleted
			return n, data, err
		}
	}
	return 0, nil, nil
}

// Amend adds the next record to a folder. next is given the number of the latest, 0 when
// there is none, and what it holds, and returns what the next one is to hold; nil: there
// is to be none. It is called again when another writer was faster. Amend returns the
// number of the record that is the latest then.
func Amend(ctx context.Context, s Numbered, folder string, next func(n int, latest []byte) ([]byte, error)) (int, error) {
	for {
		n, latest, err := Newest(ctx, s, folder)
		if err != nil {
			return 0, err
		}
		data, err := next(n, latest)
		if err != nil || data == nil {
			return n, err
		}
		if err := s.Create(ctx, NumberedKey(folder, n+1), data); !errors.Is(err, ErrExists) {
			return n + 1, err
		}
	}
}

// Once reads the record key, or creates it with data when there is none: what it returns
// is what everyone gets who ever asks for it.
func Once(ctx context.Context, s Numbered, key string, data []byte) ([]byte, error) {
	for {
		standing, err := s.Get(ctx, key) // first: on a full disk nothing can be created
		if !errors.Is(err, ErrNotFound) {
			return standing, err
		}
		if err := s.Create(ctx, key, data); !errors.Is(err, ErrExists) {
			return data, err
		}
	}
}
