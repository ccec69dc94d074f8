// Package compiled keeps compiled programs in a folder, so that a process that starts
// again need not compile them again.
package compiled

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Cache is a folder of programs, a file each. Processes may share it: files appear whole
// and are never changed. It belongs to the user alone, as what is in it is run.
type Cache struct {
	dir   string
	limit int64 // bytes

	mu     sync.Mutex
	hits   int
	misses int
}

const (
	suffix = ".program"
	magic  = "lorikeet program 1\n"
)

// Open makes the folder if it is not there. A folder that others may write to is refused.
func Open(dir string, limit int64) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("compile cache: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("compile cache: %w", err)
	}
	if writableByOthers(info) {
		return nil, fmt.Errorf("compile cache: %s may be written to by others, and what it holds is run: chmod go-w it or choose another", dir)
	}
	return &Cache{dir: dir, limit: limit}, nil
}

// Key names a program by everything that it depends on.
func Key(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d\n", len(p)) // so that no two lists of parts run together
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (c *Cache) path(key string) string { return filepath.Join(c.dir, key+suffix) }

// Get gives a program, or nil where there is none. A damaged file is removed.
func (c *Cache) Get(key string) []byte {
	raw, err := os.ReadFile(c.path(key))
	program, ok := Unpack(raw)
	if err == nil && !ok {
		c.Remove(key)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || !ok {
		c.misses++
		return nil
	}
	c.hits++
	now := time.Now()
	_ = os.Chtimes(c.path(key), now, now) // the oldest go first; a clock that fails costs no more
	return program
}

// Remove forgets a program.
func (c *Cache) Remove(key string) { _ = os.Remove(c.path(key)) } // if it stays it is refused again

// Put keeps a program, and lets the longest unused go where there are too many.
func (c *Cache) Put(key string, program []byte) error {
	f, err := os.CreateTemp(c.dir, ".new-*")
	if err != nil {
		return fmt.Errorf("compile cache: %w", err)
	}
	_, err = f.Write(Pack(program))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), c.path(key))
	}
	if err != nil {
		return fmt.Errorf("compile cache: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return c.trim()
}

// Stats counts the programs that were found and those that were not.
func (c *Cache) Stats() (hits, misses int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits, c.misses
}

// trim removes the oldest files beyond the limit, and what writers that died left.
func (c *Cache) trim() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("compile cache: %w", err)
	}
	var files []fs.FileInfo
	var sum int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // gone
		}
		switch {
		case strings.HasSuffix(e.Name(), suffix):
			files = append(files, info)
			sum += info.Size()
		case strings.HasPrefix(e.Name(), ".new-") && time.Since(info.ModTime()) > time.Hour:
			_ = os.Remove(filepath.Join(c.dir, e.Name()))
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, f := range files {
		if sum <= c.limit {
			break
		}
		_ = os.Remove(filepath.Join(c.dir, f.Name()))
		sum -= f.Size()
	}
	return nil
}

// Pack is the contents of a file: what it is, a hash and the program.
func Pack(program []byte) []byte {
	sum := sha256.Sum256(program)
	return slices.Concat([]byte(magic), sum[:], program)
}

// Unpack gives the program of a file; ok is false for what Pack has not made.
func Unpack(file []byte) (program []byte, ok bool) {
	rest, ok := bytes.CutPrefix(file, []byte(magic))
	if !ok || len(rest) < sha256.Size {
		return nil, false
	}
	sum := sha256.Sum256(rest[sha256.Size:])
	return rest[sha256.Size:], bytes.Equal(sum[:], rest[:sha256.Size])
}
