package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// cache keeps copies of blobs on a local disk, each in a file named by its digest. What
// was not used for the longest goes first. Several processes may share its folder; what
// one of them removes another may still be reading, since an open file stays.
type cache struct {
	dir     string
	temp    string // this process's files that are not whole yet
	release func() error
	most    int64 // bytes

	mu    sync.Mutex
	whole map[string]bool          // digests whose files this process knows to be whole
	busy  map[string]chan struct{} // digests that are being opened; closed at the end
}

func openCache(dir string, most int64) (*cache, error) {
	if dir == "" {
		return nil, errors.New("no folder for copies of blobs")
	}
	temp, release, err := Scratch(filepath.Join(dir, tempFolder))
	if err != nil {
		return nil, err
	}
	return &cache{dir: dir, temp: temp, release: release, most: most, whole: map[string]bool{}, busy: map[string]chan struct{}{}}, nil
}

func (c *cache) close() error { return c.release() }

func (c *cache) path(digest string) string {
	return filepath.Join(c.dir, strings.TrimPrefix(digest, digestPrefix))
}

// create makes a file that is to become a blob's: see keep and drop.
func (c *cache) create() (*os.File, error) {
	f, err := os.CreateTemp(c.temp, "blob-")
	return f, space(err)
}

// drop closes the file and removes it, unless it was kept.
func (c *cache) drop(f *os.File) {
	_ = f.Close()           // all that counts was read back or verified
	_ = os.Remove(f.Name()) // a leftover is removed at the next opening
}

// keep makes the file the copy of a blob. That it cannot costs a download later.
func (c *cache) keep(f *os.File, digest string) {
	if err := os.Rename(f.Name(), c.path(digest)); err != nil {
		_ = os.Remove(f.Name()) // a leftover is removed at the next opening
		return
	}
	c.mark(digest, true)
	c.trim()
}

func (c *cache) mark(digest string, whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if whole {
		c.whole[digest] = true
	} else {
		delete(c.whole, digest)
	}
}

// forget removes a copy.
func (c *cache) forget(digest string) {
	c.mark(digest, false)
	_ = os.Remove(c.path(digest)) // it may not be there
}

// open opens the copy of a blob, which fetch gets when there is none that is whole.
// Who asks for a blob that is being fetched waits for it.
func (c *cache) open(ctx context.Context, digest string, fetch func(io.Writer) error) (Blob, error) {
	done, err := c.enter(ctx, digest)
	if err != nil {
		return nil, err
	}
	defer done()
	if f, err := c.have(ctx, digest); f != nil || err != nil {
		return f, err
	}
	temp, err := c.create()
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", digest, err)
	}
	if err := fetch(temp); err != nil {
		c.drop(temp)
		return nil, space(err)
	}
	size, err := temp.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = temp.Seek(0, io.SeekStart)
	}
	if err != nil {
		c.drop(temp)
		return nil, fmt.Errorf("blob %s: %w", digest, err)
	}
	// The file is handed out open, so it does not matter how soon its name goes.
	c.keep(temp, digest)
	return &file{temp, size}, nil
}

// enter waits until no other goroutine opens the blob.
func (c *cache) enter(ctx context.Context, digest string) (leave func(), err error) {
	for {
		c.mu.Lock()
		other := c.busy[digest]
		if other == nil {
			mine := make(chan struct{})
			c.busy[digest] = mine
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				delete(c.busy, digest)
				close(mine)
			}, nil
		}
		c.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// have opens the copy that is there; nil when there is none that is whole. A file that
// another process left, perhaps as its machine went down, is verified once.
func (c *cache) have(ctx context.Context, digest string) (Blob, error) {
	f, err := os.Open(c.path(digest))
	if err != nil {
		return nil, nil //nolint:nilerr // whatever the reason, it can be fetched
	}
	c.mu.Lock()
	whole := c.whole[digest]
	c.mu.Unlock()
	st, err := f.Stat()
	if err == nil && !whole {
		if _, err = copyVerified(ctx, f, digest, io.Discard); err == nil {
			_, err = f.Seek(0, io.SeekStart)
		}
	}
	if err != nil {
		_ = f.Close() // read only
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		c.forget(digest)
		return nil, nil //nolint:nilerr // as above
	}
	c.mark(digest, true)
	now := time.Now()
	_ = os.Chtimes(c.path(digest), now, now) // its place in the order of use
	return &file{f, st.Size()}, nil
}

// trim removes the copies that were not used for the longest until the rest fits.
func (c *cache) trim() {
	c.mu.Lock()
	defer c.mu.Unlock()
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	var (
		files []os.FileInfo
		size  int64
	)
	for _, e := range entries {
		if CheckDigest(digestPrefix+e.Name()) != nil {
			continue
		}
		if info, err := e.Info(); err == nil { // else another process was faster
			files = append(files, info)
			size += info.Size()
		}
	}
	slices.SortFunc(files, func(a, b os.FileInfo) int { return cmp.Compare(a.ModTime().UnixNano(), b.ModTime().UnixNano()) })
	for _, f := range files {
		if size <= c.most {
			return
		}
		if os.Remove(filepath.Join(c.dir, f.Name())) == nil {
			size -= f.Size()
			delete(c.whole, digestPrefix+f.Name())
		}
	}
}
