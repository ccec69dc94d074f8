package mirror

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Folder finds repositories in a folder, anew with every request:
//
//	models/<owner>/<name>/…                what its branch main holds
//	datasets/<owner>/<name>/…
//	datasets/<owner>/<name>@<revision>/…   what another branch holds, its / written %2F
func Folder(root string) func(kind, id string) (Repo, bool) {
	return func(kind, id string) (Repo, bool) {
		for part := range strings.SplitSeq(id, "/") {
			if !plainName.MatchString(part) {
				return Repo{}, false
			}
		}
		path := filepath.Join(root, kind, filepath.FromSlash(id))
		info, err := os.Stat(path)
		if err != nil || !info.IsDir() || strings.Count(id, "/") > 1 {
			return Repo{}, false
		}
		r := Repo{Files: dirOf(path), Branches: map[string]fs.FS{}}
		others, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*@*")) // its pattern is well formed
		for _, other := range others {
			name, revision, _ := strings.Cut(filepath.Base(other), "@")
			if revision, err := url.PathUnescape(revision); err == nil && name == filepath.Base(path) && revision != "" && revision != "main" {
				r.Branches[revision] = dirOf(other)
			}
		}
		return r, true
	}
}

// plainName is a name of an owner or of a repository: it begins with no point, and so
// leads nowhere.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// dir is the files of a folder, but for hidden ones such as .git.
type dir struct {
	fs.FS
	path string
}

func dirOf(path string) dir { return dir{os.DirFS(path), path} }

// place tells the folder from others.
func (d dir) place() string { return d.path }

// Open hides what is hidden, and has no file by a name that no file can have.
func (d dir) Open(name string) (fs.File, error) {
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > 1 && part[0] == '.' || len(part) > 255 || strings.ContainsRune(part, 0) {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
	}
	return d.FS.Open(name)
}

// ReadDir leaves hidden files out, so that a walk does not meet them.
func (d dir) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(d.FS, name)
	var shown []fs.DirEntry
	for _, e := range all {
		if !strings.HasPrefix(e.Name(), ".") {
			shown = append(shown, e)
		}
	}
	return shown, err
}
