package hubtest

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hub answers the hub's routes. Paths are taken apart still escaped: a revision
// such as refs%2Fpr%2F1 is one element.
func (s *Server) hub(w http.ResponseWriter, r *http.Request) {
	var parts []string
	for p := range strings.SplitSeq(strings.Trim(r.URL.EscapedPath(), "/"), "/") {
		p, err := url.PathUnescape(p)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
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
	repo := s.find(kind + "/" + id)
	if !admit(w, r, repo) {
		return
	}
	switch {
	case direct && len(rest) > 1:
		s.file(w, r, repo, rest[0], strings.Join(rest[1:], "/"))
	case api && len(rest) == 0:
		s.info(w, repo, kind, id, "main")
	case api && len(rest) == 2 && rest[0] == "revision":
		s.info(w, repo, kind, id, rest[1])
	case api && len(rest) >= 2 && rest[0] == "tree":
		s.tree(w, repo, rest[1])
	case !api && len(rest) > 2 && rest[0] == "resolve":
		s.resolve(w, r, repo, kind, id, rest[1], strings.Join(rest[2:], "/"))
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

func (s *Server) find(name string) *repo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repos[name]
}

// admit answers as the real hub does: what one may not see, and what does not
// exist, is 401 to strangers and 404 to those with a token.
func admit(w http.ResponseWriter, r *http.Request, repo *repo) bool {
	token, has := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case repo != nil && (repo.Token == "" || repo.Token == token):
		return true
	case repo != nil && repo.Gated && has:
		refuse(w, http.StatusForbidden, "GatedRepo", "Access to this model is restricted and you are not in the authorized list.")
	case repo != nil && repo.Gated:
		refuse(w, http.StatusUnauthorized, "GatedRepo", "Access to this model is restricted. You must be authenticated to access it.")
	case has:
		refuse(w, http.StatusNotFound, "RepoNotFound", "Repository not found")
	default:
		refuse(w, http.StatusUnauthorized, "RepoNotFound", "Invalid username or password.")
	}
	return false
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	if code != "" {
		w.Header().Set("X-Error-Code", code)
	}
	w.Header().Set("X-Error-Message", message)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": message})
}

// commit is what a revision stands for: a name of Refs, or a commit that is in it.
func (r *repo) commit(revision string) (string, bool) {
	if c, ok := r.refs[revision]; ok {
		return c, true
	}
	return revision, slices.Contains(slices.Collect(maps.Values(r.refs)), revision)
}

// names of the files, in order.
func (r *repo) names() []string { return slices.Sorted(maps.Keys(r.files)) }

func (s *Server) info(w http.ResponseWriter, repo *repo, kind, id, revision string) {
	commit, ok := repo.commit(revision)
	if !ok {
		refuse(w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id: "+revision)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if repo.Listing != "" {
		_, _ = w.Write([]byte(repo.Listing))
		return
	}
	siblings := []map[string]any{}
	for _, name := range repo.names() {
		f := repo.files[name]
		entry := map[string]any{"rfilename": name}
		if !repo.Bare {
			entry["size"], entry["blobId"] = len(f.data), f.oid
			if f.sha256 != "" {
				entry["lfs"] = map[string]any{"sha256": f.sha256, "size": len(f.data), "pointerSize": 130}
			}
		}
		siblings = append(siblings, entry)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"_id": "621ffdc036468d709f17434d", "id": id, "sha": commit, "siblings": siblings,
		"private": false, "gated": false, "disabled": false, "tags": []string{}, "downloads": 0, "likes": 0,
	})
}

// tree is the listing that huggingface_hub 1.x reads.
func (s *Server) tree(w http.ResponseWriter, repo *repo, revision string) {
	if _, ok := repo.commit(revision); !ok {
		refuse(w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id: "+revision)
		return
	}
	entries := []map[string]any{}
	for _, name := range repo.names() {
		f := repo.files[name]
		e := map[string]any{"type": "file", "path": name, "size": len(f.data), "oid": f.oid}
		if f.sha256 != "" {
			e["lfs"] = map[string]any{"oid": f.sha256, "size": len(f.data), "pointerSize": 130}
		}
		entries = append(entries, e)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(entries)
}

// resolve redirects: within the hub for a small file, to the storage for a large one.
func (s *Server) resolve(w http.ResponseWriter, r *http.Request, repo *repo, kind, id, revision, name string) {
	commit, ok := repo.commit(revision)
	if !ok {
		refuse(w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id: "+revision)
		return
	}
	w.Header().Set("X-Repo-Commit", commit)
	f, ok := repo.files[name]
	if !ok {
		refuse(w, http.StatusNotFound, "EntryNotFound", "Entry not found")
		return
	}
	if f.sha256 == "" {
		w.Header().Set("Location", "/api/resolve-cache/"+kind+"/"+id+"/"+commit+"/"+(&url.URL{Path: name}).EscapedPath())
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	w.Header().Set("X-Linked-Etag", `"`+f.sha256+`"`)
	w.Header().Set("X-Linked-Size", strconv.Itoa(len(f.data)))
	w.Header().Set("Location", s.Storage.URL+"/"+kind+"/"+id+"/"+f.sha256+"?X-Amz-Signature=secret")
	w.WriteHeader(http.StatusFound)
}

// file sends a small file.
func (s *Server) file(w http.ResponseWriter, r *http.Request, repo *repo, revision, name string) {
	commit, ok := repo.commit(revision)
	f, there := repo.files[name]
	if !ok || !there {
		refuse(w, http.StatusNotFound, "EntryNotFound", "Entry not found")
		return
	}
	w.Header().Set("X-Repo-Commit", commit)
	w.Header().Set("Etag", `"`+f.etag()+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.data))
}

// storage sends large files by their SHA-256 to those with a signed address, and
// will have nothing to do with tokens, as S3 will not.
func (s *Server) storage(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		http.Error(w, "Only one auth mechanism allowed", http.StatusBadRequest)
		return
	}
	if r.URL.Query().Get("X-Amz-Signature") != "secret" {
		http.Error(w, "Request is not signed", http.StatusForbidden)
		return
	}
	at := strings.LastIndexByte(r.URL.Path, '/')
	repo := s.find(strings.TrimPrefix(r.URL.Path[:at], "/"))
	if repo == nil {
		http.NotFound(w, r)
		return
	}
	for _, f := range repo.files {
		if f.sha256 == r.URL.Path[at+1:] {
			w.Header().Set("Etag", storageTag(f.data))
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.data))
			return
		}
	}
	http.NotFound(w, r)
}
