package mirror

import (
	"crypto/sha1" // #nosec G505 -- git's object ids
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// file is one of a revision.
type file struct {
	name string
	size int64
	sums
}

// sums of a file.
type sums struct {
	oid    string // git's object id of the file, or of the pointer to a large one
	sha256 string // of a large file
}

// etag is what the hub calls the content.
func (f file) etag() string {
	if f.sha256 != "" {
		return f.sha256
	}
	return f.oid
}

// hashed is what a file is known by while it does not change.
type hashed struct {
	place string
	name  string
	size  int64
	time  time.Time
	large bool
}

// list gives the files of a revision by name, in order.
func (h *Hub) list(repo Repo, files fs.FS) ([]file, error) {
	var all []file
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := h.file(repo, files, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a link to nothing or to a folder, or a file removed since
		}
		if err == nil {
			all = append(all, f)
		}
		return err
	})
	return all, err
}

// file reads and hashes a file, once for as long as it has its size and time.
func (h *Hub) file(repo Repo, files fs.FS, name string) (file, error) {
	info, err := fs.Stat(files, name)
	if err != nil {
		return file{}, err
	}
	if !info.Mode().IsRegular() {
		return file{}, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	f := file{name: name, size: info.Size()}
	large := repo.large(name)
	key := hashed{name: name, size: info.Size(), time: info.ModTime(), large: large}
	at, remember := files.(interface{ place() string })
	if remember {
		key.place = at.place()
		h.hashes.mu.Lock()
		known, ok := h.hashes.known[key]
		h.hashes.mu.Unlock()
		if ok {
			f.sums = known
			return f, nil
		}
	}
	if f.sums, err = sum(files, name, info.Size(), large); err != nil {
		return file{}, err
	}
	if remember {
		h.hashes.mu.Lock()
		defer h.hashes.mu.Unlock()
		if h.hashes.known == nil {
			h.hashes.known = map[hashed]sums{}
		}
		h.hashes.known[key] = f.sums
	}
	return f, nil
}

// sum reads a file once.
func sum(files fs.FS, name string, size int64, large bool) (s sums, err error) {
	r, err := files.Open(name)
	if err != nil {
		return s, err
	}
	defer r.Close()
	git, content := sha1.New(), sha256.New() // #nosec G401
	var n int64
	if large {
		n, err = io.Copy(content, r)
		s.sha256 = hex.EncodeToString(content.Sum(nil))
		pointer := fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", s.sha256, n)
		fmt.Fprintf(git, "blob %d\x00%s", len(pointer), pointer)
	} else {
		fmt.Fprintf(git, "blob %d\x00", size)
		n, err = io.Copy(git, r)
	}
	if err == nil && n != size {
		err = fmt.Errorf("%s: has %d bytes, not the %d it had a moment ago", name, n, size)
	}
	s.oid = hex.EncodeToString(git.Sum(nil))
	return s, err
}

// Commit is the commit that is made up for files: it changes when they do.
func Commit(files fs.FS) (string, error) {
	var h Hub
	all, err := h.list(Repo{}, files)
	return commitOf(all), err
}

func commitOf(all []file) string {
	h := sha1.New() // #nosec G401
	for _, f := range all {
		fmt.Fprintf(h, "%q %d %s\n", f.name, f.size, f.etag())
	}
	return hex.EncodeToString(h.Sum(nil))
}
