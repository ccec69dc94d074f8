package hub

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// paths of a repository in the cache. What comes from outside goes through
// localPath, commitID or etagName before it becomes part of one.

func (c *Client) repo(r Ref) string { return filepath.Join(c.CacheDir, r.folder()) }

func snapshotDir(repo, commit string) string { return filepath.Join(repo, "snapshots", commit) }

func snapshotFile(repo, commit, file string) string {
	return filepath.Join(snapshotDir(repo, commit), filepath.FromSlash(file))
}

func blobFile(repo, etag string) string { return filepath.Join(repo, "blobs", etag) }

// has reports whether a file of the listing is there, as long as it should be.
func has(path string, size int64) bool {
	info, err := os.Stat(path) // follows the link to the blob
	return err == nil && info.Mode().IsRegular() && (size < 0 || info.Size() == size)
}

// link makes the name in the snapshot refer to the blob, by a relative link so
// that the cache can be moved. It appears whole, whatever was there before.
func link(repo, commit, file, etag string) error {
	path, blob := snapshotFile(repo, commit, file), blobFile(repo, etag)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { // #nosec G301 -- as all of the cache; less the umask
		return err
	}
	target, err := filepath.Rel(filepath.Dir(path), blob)
	if err != nil {
		return err
	}
	if have, err := os.Readlink(path); err == nil && have == target {
		return nil
	}
	temp := path + "." + randomName() + ".tmp"
	if err := os.Symlink(target, temp); err != nil {
		// Windows without the privilege, or a file system with no links.
		if err := copyFile(temp, blob); err != nil {
			return err
		}
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}

func copyFile(dst, src string) error {
	if os.Link(src, dst) == nil {
		return nil
	}
	in, err := os.Open(src) // #nosec G304 -- of the cache; names were checked
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666) // #nosec G302 G304 -- less the umask, as all of the cache
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return errors.Join(err, os.Remove(dst))
	}
	return nil
}

// writeRef records which commit a branch or tag was.
func writeRef(repo, revision, commit string) error {
	if revision == commit {
		return nil
	}
	path := filepath.Join(repo, "refs", filepath.FromSlash(revision))
	if b, err := os.ReadFile(path); err == nil && string(b) == commit { // #nosec G304 -- of the cache; names were checked
		return nil
	}
	return replaceFile(path, []byte(commit))
}

// readRef is the commit that a revision was when it was last fetched.
func readRef(repo, revision string) (string, bool) {
	if commitID.MatchString(revision) {
		return revision, true
	}
	b, err := os.ReadFile(filepath.Join(repo, "refs", filepath.FromSlash(revision))) // #nosec G304 -- of the cache; names were checked
	commit := strings.TrimSpace(string(b))
	return commit, err == nil && commitID.MatchString(commit)
}

// replaceFile writes a small file so that readers see the old or the new one.
func replaceFile(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { // #nosec G301 -- as all of the cache; less the umask
		return err
	}
	temp := path + "." + randomName() + ".tmp"
	if err := os.WriteFile(temp, b, 0o666); err != nil { // #nosec G306 -- less the umask, as all of the cache
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}

// cached looks for a snapshot without asking the hub. It is complete if the files
// that are wanted are there; where nobody recorded what the commit holds, one of
// them will have to do, as it does for huggingface_hub.
func (c *Client) cached(r Ref, want func(string) bool) (dir, commit string, err error) {
	repo := c.repo(r)
	commit, ok := readRef(repo, r.revision())
	if !ok {
		return "", "", fmt.Errorf("the cache %s has nothing of %s", c.CacheDir, r)
	}
	dir = snapshotDir(repo, commit)
	if l, ok := readTree(repo, commit); ok {
		wanted, err := l.wanted(want)
		if err != nil {
			return "", "", err
		}
		if len(wanted) == 0 {
			return "", "", fmt.Errorf("%s holds none of the files that are wanted", r)
		}
		var missing []string
		for _, f := range wanted {
			if !has(snapshotFile(repo, commit, f.name), f.size) {
				missing = append(missing, f.name)
			}
		}
		if len(missing) > 0 {
			return "", "", fmt.Errorf("the cache %s lacks %d of %d files of %s, such as %s", c.CacheDir, len(missing), len(wanted), r, missing[0])
		}
		return dir, commit, nil
	}
	found := errors.New("found")
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil && has(path, -1) && want(filepath.ToSlash(name)) {
			return found
		}
		return err
	})
	if errors.Is(err, found) {
		return dir, commit, nil
	}
	return "", "", fmt.Errorf("the cache %s has no file of %s that is wanted", c.CacheDir, r)
}
