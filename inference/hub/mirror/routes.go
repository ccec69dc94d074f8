package mirror

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// answer is one answer under way.
type answer struct {
	w        http.ResponseWriter
	r        *http.Request
	hub      *Hub
	repo     Repo
	kind, id string
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

// failed answers for an error of the disk.
func (a answer) failed(err error) {
	refuse(a.w, http.StatusInternalServerError, "", err.Error())
}

// revision gives the files of a revision, or answers that there is none.
func (a answer) revision(name string) (files fs.FS, commit string, ok bool) {
	files, commit, ok, err := a.hub.at(a.repo, name)
	switch {
	case err != nil:
		a.failed(err)
		return nil, "", false
	case !ok:
		refuse(a.w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id: "+name)
	}
	return files, commit, ok
}

// info is the listing that package hub reads.
func (a answer) info(revision string) {
	files, commit, ok := a.revision(revision)
	if !ok {
		return
	}
	if a.repo.Listing != "" {
		a.w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(a.w, a.repo.Listing)
		return
	}
	all, err := a.hub.list(a.repo, files)
	if err != nil {
		a.failed(err)
		return
	}
	siblings := []map[string]any{}
	for _, f := range all {
		entry := map[string]any{"rfilename": f.name}
		if !a.repo.Bare {
			entry["size"], entry["blobId"] = f.size, f.oid
			if f.sha256 != "" {
				entry["lfs"] = map[string]any{"sha256": f.sha256, "size": f.size, "pointerSize": 130}
			}
		}
		siblings = append(siblings, entry)
	}
	a.json(map[string]any{
		"_id": "621ffdc036468d709f17434d", "id": a.id, "sha": commit, "siblings": siblings,
		"private": false, "gated": false, "disabled": false, "tags": []string{}, "downloads": 0, "likes": 0,
	})
}

// tree is the listing that huggingface_hub 1.x reads.
func (a answer) tree(revision string) {
	files, _, ok := a.revision(revision)
	if !ok {
		return
	}
	all, err := a.hub.list(a.repo, files)
	if err != nil {
		a.failed(err)
		return
	}
	entries := []map[string]any{}
	for _, f := range all {
		e := map[string]any{"type": "file", "path": f.name, "size": f.size, "oid": f.oid}
		if f.sha256 != "" {
			e["lfs"] = map[string]any{"oid": f.sha256, "size": f.size, "pointerSize": 130}
		}
		entries = append(entries, e)
	}
	a.json(entries)
}

func (a answer) json(v any) {
	a.w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(a.w).Encode(v)
}

// resolve finds a file. The hub redirects: within itself for a small file, to the
// storage for a large one. Without a storage a large file is sent from here.
func (a answer) resolve(revision, name string) {
	files, commit, ok := a.revision(revision)
	if !ok {
		return
	}
	a.w.Header().Set("X-Repo-Commit", commit)
	f, ok := a.file(files, name)
	if !ok {
		return
	}
	if f.sha256 == "" {
		a.w.Header().Set("Location", "/api/resolve-cache/"+a.kind+"/"+a.id+"/"+commit+"/"+(&url.URL{Path: name}).EscapedPath())
		a.w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	a.w.Header().Set("X-Linked-Etag", `"`+f.sha256+`"`)
	a.w.Header().Set("X-Linked-Size", strconv.FormatInt(f.size, 10))
	if a.hub.Storage == "" {
		a.send(files, f)
		return
	}
	a.w.Header().Set("Location", a.hub.Storage+"/"+a.kind+"/"+a.id+"/"+f.sha256+"?X-Amz-Signature=secret")
	a.w.WriteHeader(http.StatusFound)
}

// cached sends a small file of a commit.
func (a answer) cached(revision, name string) {
	files, commit, ok := a.revision(revision)
	if !ok {
		return
	}
	a.w.Header().Set("X-Repo-Commit", commit)
	if f, ok := a.file(files, name); ok {
		a.send(files, f)
	}
}

func (a answer) file(files fs.FS, name string) (file, bool) {
	var f file
	err := fs.ErrNotExist
	if fs.ValidPath(name) {
		f, err = a.hub.file(a.repo, files, name)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		refuse(a.w, http.StatusNotFound, "EntryNotFound", "Entry not found")
	case err != nil:
		a.failed(err)
	}
	return f, err == nil
}

// send sends a file, or the range of it that is asked for.
func (a answer) send(files fs.FS, f file) {
	in, err := files.Open(f.name)
	if err != nil {
		a.failed(err)
		return
	}
	defer in.Close()
	body, ok := in.(io.ReadSeeker)
	if !ok {
		b, err := io.ReadAll(in)
		if err != nil {
			a.failed(err)
			return
		}
		body = bytes.NewReader(b)
	}
	a.w.Header().Set("Etag", `"`+f.etag()+`"`)
	a.w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(a.w, a.r, "", time.Time{}, body)
}
