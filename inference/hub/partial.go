package hub

import (
	"context"
	"crypto/sha1" // #nosec G505 -- git's object ids
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
)

// partial is <etag>.incomplete, hashed as it grows.
type partial struct {
	file *os.File
	size int64
	hash func() hash.Hash
	sum  hash.Hash
}

// openPartial hashes what an earlier download left.
func openPartial(ctx context.Context, b blob) (*partial, error) {
	f, err := os.OpenFile(b.path+".incomplete", os.O_RDWR|os.O_CREATE, 0o666) // #nosec G302 -- less the umask, as all of the cache
	if err != nil {
		return nil, err
	}
	p := &partial{file: f, hash: b.newHash}
	p.sum = p.hash()
	p.size, err = io.Copy(p.sum, contextReader{ctx, f})
	if err == nil && b.size >= 0 && p.size > b.size {
		err = p.reset()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", f.Name(), err), f.Close())
	}
	return p, nil
}

func (b blob) newHash() hash.Hash {
	if b.oid != "" {
		h := sha1.New() // #nosec G401 -- git's object ids
		fmt.Fprintf(h, "blob %d\x00", b.size)
		return h
	}
	return sha256.New()
}

// reset forgets what there is.
func (p *partial) reset() error {
	p.size, p.sum = 0, p.hash()
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	_, err := p.file.Seek(0, io.SeekStart)
	return err
}

func (p *partial) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	p.size += int64(n)
	p.sum.Write(b[:n])
	return n, err
}

// verify compares length and hash with what was announced.
func (p *partial) verify(b blob) error {
	if b.size >= 0 && p.size != b.size {
		return fmt.Errorf("%w: %s has %d bytes, %d were announced", ErrCorrupt, b.name, p.size, b.size)
	}
	got := hex.EncodeToString(p.sum.Sum(nil))
	if want := first(b.sha256, b.oid); want != "" && got != want {
		return fmt.Errorf("%w: %s hashes to %s, %s was announced; if it stays so, a proxy may be changing it", ErrCorrupt, b.name, got, want)
	}
	return nil
}

// publish gives the file its name once it is on the disk.
func (p *partial) publish(path string) error {
	name := p.file.Name()
	err := errors.Join(p.file.Sync(), p.file.Close())
	p.file = nil
	if err == nil {
		err = os.Rename(name, path)
	}
	if err != nil {
		return fmt.Errorf("keep %s: %w", path, err)
	}
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		_ = d.Sync() // the cache can be fetched again; not every system can do this
		_ = d.Close()
	}
	return nil
}

// contextReader ends a long read with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
