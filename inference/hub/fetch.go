package hub

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Fetch makes the files of a repository that want accepts (nil: all) available in
// the cache, and returns the folder of the snapshot and the commit it is of. Other
// files of the commit may be in the folder, or not.
//
// A branch or tag is looked up on the hub each time, so that it follows; a commit
// is not once all of it is here. Where the hub cannot be reached, or fails, what
// the cache has of the revision will do if it is complete. Files that are there
// with the right length are not looked at again.
//
// Errors that a caller can act on wrap one of the package's, or are invalid.Faults
// about the Ref.
func (c *Client) Fetch(ctx context.Context, r Ref, want func(file string) bool) (dir, commit string, err error) {
	if err := r.check(); err != nil {
		return "", "", err
	}
	if c.CacheDir == "" {
		return "", "", errNoCache
	}
	if want == nil {
		want = func(string) bool { return true }
	}
	dir, commit, cacheErr := c.cached(r, want)
	if c.Offline {
		if cacheErr != nil {
			return "", "", fmt.Errorf("%w: %w; unset HF_HUB_OFFLINE to fetch it, or copy in the cache of a machine that ran `hf download %s`", ErrOffline, cacheErr, r.download())
		}
		return dir, commit, nil
	}
	attempts := c.attempts()
	if cacheErr == nil {
		if _, known := readTree(c.repo(r), commit); known && commit == r.revision() {
			return dir, commit, nil // a commit does not change
		}
		attempts = 1
	}
	l, err := c.list(ctx, r, attempts)
	if errors.Is(err, ErrUnavailable) && cacheErr == nil && ctx.Err() == nil {
		c.log().Warn("hub: not available, using the cache", "repository", r.String(), "commit", commit, "error", err)
		return dir, commit, nil
	}
	if err != nil && cacheErr == nil && ctx.Err() == nil {
		return "", "", fmt.Errorf("%w; HF_HUB_OFFLINE=1 would use the commit %s in the cache", err, commit)
	}
	if err != nil {
		return "", "", err
	}
	if err := c.fetch(ctx, r, l, want); err != nil {
		return "", "", fmt.Errorf("%s: %w", r, err)
	}
	return snapshotDir(c.repo(r), l.commit), l.commit, nil
}

var errNoCache = errors.New("hub: no cache folder: set HF_HOME or HF_HUB_CACHE")

// List gives the names of all files of a revision, in order, and its commit. Where the
// hub cannot be reached, what the cache knows of the revision will do.
func (c *Client) List(ctx context.Context, r Ref) (files []string, commit string, err error) {
	if err := r.check(); err != nil {
		return nil, "", err
	}
	if c.CacheDir == "" {
		return nil, "", errNoCache
	}
	var l listing
	commit, known := readRef(c.repo(r), r.revision())
	if known {
		l, known = readTree(c.repo(r), commit)
	}
	switch {
	case c.Offline && !known:
		return nil, "", fmt.Errorf("%w: the cache %s does not know what %s holds; unset HF_HUB_OFFLINE to ask", ErrOffline, c.CacheDir, r)
	case !c.Offline && !(known && commit == r.revision()): // a commit does not change
		attempts := c.attempts()
		if known {
			attempts = 1
		}
		fresh, err := c.list(ctx, r, attempts)
		switch {
		case err == nil:
			// Recorded, so that files then fetched by commit are found offline by name.
			if err := errors.Join(writeTree(c.repo(r), fresh), writeRef(c.repo(r), r.revision(), fresh.commit)); err != nil {
				return nil, "", fmt.Errorf("%s: %w", r, err)
			}
			l = fresh
		case known && errors.Is(err, ErrUnavailable) && ctx.Err() == nil:
			c.log().Warn("hub: not available, using the cache", "repository", r.String(), "commit", commit, "error", err)
		default:
			return nil, "", err
		}
	}
	all, err := l.wanted(func(string) bool { return true })
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", r, err)
	}
	for _, f := range all {
		files = append(files, f.name)
	}
	return files, l.commit, nil
}

// download is r as the command line of huggingface_hub wants it.
func (r Ref) download() string {
	s := r.id()
	if r.Dataset {
		s += " --repo-type dataset"
	}
	if r.Revision != "" {
		s += " --revision " + r.Revision
	}
	return s
}

// fetch brings the files of a listing into the cache, several at a time.
func (c *Client) fetch(ctx context.Context, r Ref, l listing, want func(string) bool) error {
	repo := c.repo(r)
	wanted, err := l.wanted(want)
	if err != nil {
		return err
	}
	if len(wanted) == 0 {
		return fmt.Errorf("%w: the commit %s has %d files, and none that is wanted", ErrNotFound, l.commit, len(l.files))
	}
	if err := os.MkdirAll(snapshotDir(repo, l.commit), 0o755); err != nil { // #nosec G301 -- as all of the cache; less the umask
		return err
	}
	if err := writeTree(repo, l); err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parallel := c.Parallel
	if parallel <= 0 {
		parallel = 4
	}
	report := &reporter{tell: c.Progress}
	next := make(chan listed)
	errs := make(chan error, parallel)
	var workers sync.WaitGroup
	for range min(parallel, len(wanted)) {
		workers.Go(func() {
			for f := range next {
				if err := c.file(ctx, r, l.commit, f, report); err != nil {
					errs <- fmt.Errorf("%s: %w", f.name, err)
					cancel()
					return
				}
			}
		})
	}
feed:
	for _, f := range wanted {
		select {
		case next <- f:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	workers.Wait()
	close(errs)
	if err, failed := <-errs; failed { // the first; those after it were cancelled by it
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// Last, so that the name never refers to a snapshot that was not complete.
	return writeRef(repo, r.revision(), l.commit)
}

// file brings one file into the snapshot.
func (c *Client) file(ctx context.Context, r Ref, commit string, f listed, report *reporter) error {
	repo := c.repo(r)
	path := snapshotFile(repo, commit, f.name)
	if has(path, f.size) {
		if info, err := os.Stat(path); err == nil {
			report.done(f.name, info.Size())
		}
		return nil
	}
	u, err := c.fileURL(r, commit, f.name)
	if err != nil {
		return err
	}
	b, err := c.announced(ctx, u, commit, f)
	if err != nil {
		return err
	}
	b.name, b.path, b.url = f.name, blobFile(repo, b.etag), u
	b.lock = c.lockFile(r, b.etag)
	if err := c.download(ctx, b, report); err != nil {
		return err
	}
	return link(repo, commit, f.name, b.etag)
}

// reporter calls the client's Progress, one call at a time and not too often.
type reporter struct {
	tell func(file string, done, total int64)
	mu   sync.Mutex
	last map[string]time.Time
}

const reportEvery = 100 * time.Millisecond

func (p *reporter) at(file string, done, total int64) {
	if p.tell == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.last[file]) >= reportEvery {
		if p.last == nil {
			p.last = map[string]time.Time{}
		}
		p.last[file] = now
		p.tell(file, done, total)
	}
}

func (p *reporter) done(file string, size int64) {
	if p.tell == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell(file, size, size)
}
