// Package mirror serves repositories with the routes of the Hugging Face Hub: what
// huggingface_hub, transformers, datasets and package hub ask of it, and no more.
//
//	GET  /api/{models,datasets}/{owner}/{name}[/revision/{revision}]
//	GET  /api/{models,datasets}/{owner}/{name}/tree/{revision}
//	HEAD, GET  [/datasets]/{owner}/{name}/resolve/{revision}/{file}
//	HEAD, GET  /api/resolve-cache/{models,datasets}/{owner}/{name}/{commit}/{file}
//
// Answers carry ETag, X-Repo-Commit and, for large files, X-Linked-Etag and
// X-Linked-Size, and ranges are heeded. A small file's etag is git's object id of it, a
// large one's its SHA-256, as on the hub, so that one cache may be filled by either.
//
// Where repositories come from is up to Find; [Folder] finds them in a folder.
package mirror

import (
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
)

// Repo is a repository.
type Repo struct {
	Files fs.FS
	// Refs are branches and tags with these Files, and the commits they stand for.
	// Without "main" that is [Commit] of the files.
	Refs map[string]string
	// Branches have files of their own; their commits are those of [Commit].
	Branches map[string]fs.FS
	// Large decides which files are Git LFS's. Default: by their name, *.safetensors,
	// *.bin, *.model, *.parquet, *.gguf.
	Large func(name string) bool
	// Token, if set, is wanted; without it the hub pretends that there is no such
	// repository, as the real one does for private ones.
	Token string
	// Gated repositories want Token and say so.
	Gated bool
	// Bare listings have no sizes and hashes, as some mirrors' do.
	Bare bool
	// Listing, if set, is sent in place of the list of files: what an evil hub says.
	Listing string
}

// Hub answers the hub's routes.
type Hub struct {
	// Find gives the repository of a kind, "models" or "datasets", and an id, such as
	// "owner/name"; false where there is none.
	Find func(kind, id string) (Repo, bool)
	// Storage is the address that large files are redirected to, as the real hub does;
	// without, they are sent like others.
	Storage string

	hashes hashes
}

// ServeHTTP answers. Paths are taken apart still escaped: a revision such as
// refs%2Fpr%2F1 is one element.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "", "only GET and HEAD are answered")
		return
	}
	var parts []string
	for p := range strings.SplitSeq(strings.Trim(r.URL.EscapedPath(), "/"), "/") {
		p, err := url.PathUnescape(p)
		if err != nil {
			refuse(w, http.StatusBadRequest, "", err.Error())
			return
		}
		parts = append(parts, p)
	}
	// api/{models,datasets}/…, api/resolve-cache/{models,datasets}/…, datasets/…, or a model
	api := parts[0] == "api"
	if api {
		parts = parts[1:]
	}
	direct := api && len(parts) > 0 && parts[0] == "resolve-cache"
	if direct {
		parts = parts[1:]
	}
	kind := "models"
	if len(parts) > 0 && (parts[0] == "datasets" || parts[0] == "models") {
		kind, parts = parts[0], parts[1:]
	}
	id, rest := split(parts)
	repo, ok := h.Find(kind, id)
	if !admit(w, r, repo, ok) {
		return
	}
	a := answer{w: w, r: r, hub: h, repo: repo, kind: kind, id: id}
	switch {
	case direct && len(rest) > 1:
		a.cached(rest[0], strings.Join(rest[1:], "/"))
	case api && len(rest) == 0:
		a.info("main")
	case api && len(rest) == 2 && rest[0] == "revision":
		a.info(rest[1])
	case api && len(rest) >= 2 && rest[0] == "tree":
		a.tree(rest[1])
	case !api && len(rest) > 2 && rest[0] == "resolve":
		a.resolve(rest[1], strings.Join(rest[2:], "/"))
	default:
		refuse(w, http.StatusNotFound, "", "no such route")
	}
}

// split takes the repository off a path: two elements, or one where a route (or,
// below resolve-cache, a commit) follows.
func split(parts []string) (id string, rest []string) {
	n := min(2, len(parts))
	if n == 2 && (slices.Contains([]string{"revision", "tree", "resolve"}, parts[1]) || len(parts[1]) == 40) {
		n = 1
	}
	return strings.Join(parts[:n], "/"), parts[n:]
}

// admit answers as the real hub does: what one may not see, and what does not
// exist, is 401 to strangers and 404 to those with a token.
func admit(w http.ResponseWriter, r *http.Request, repo Repo, found bool) bool {
	token, has := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case found && (repo.Token == "" || repo.Token == token):
		return true
	case found && repo.Gated && has:
		refuse(w, http.StatusForbidden, "GatedRepo", "Access to this model is restricted and you are not in the authorized list.")
	case found && repo.Gated:
		refuse(w, http.StatusUnauthorized, "GatedRepo", "Access to this model is restricted. You must be authenticated to access it.")
	case has:
		refuse(w, http.StatusNotFound, "RepoNotFound", "Repository not found")
	default:
		refuse(w, http.StatusUnauthorized, "RepoNotFound", "Invalid username or password.")
	}
	return false
}

// at gives the files of a revision: the name of a branch or tag, or a commit that is
// one's.
func (h *Hub) at(repo Repo, revision string) (files fs.FS, commit string, ok bool, err error) {
	if c, known := repo.Refs[revision]; known {
		return repo.Files, c, true, nil
	}
	if slices.Contains(slices.Collect(maps.Values(repo.Refs)), revision) {
		return repo.Files, revision, true, nil
	}
	branches := maps.Clone(repo.Branches)
	if branches == nil {
		branches = map[string]fs.FS{}
	}
	if _, known := repo.Refs["main"]; !known {
		branches["main"] = repo.Files
	}
	if named, known := branches[revision]; known {
		branches = map[string]fs.FS{revision: named}
	}
	for name, files := range branches {
		all, err := h.list(repo, files)
		if err != nil {
			return nil, "", false, err
		}
		if commit := commitOf(all); name == revision || commit == revision {
			return files, commit, true, nil
		}
	}
	return nil, "", false, nil
}

func (r Repo) large(name string) bool {
	if r.Large != nil {
		return r.Large(name)
	}
	return slices.Contains([]string{".safetensors", ".bin", ".model", ".parquet", ".gguf"}, path.Ext(name))
}

// hashes remembers those of files that have not changed.
type hashes struct {
	mu    sync.Mutex
	known map[hashed]sums
}
