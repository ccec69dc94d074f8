// Package hubtest is a small Hugging Face Hub for tests: two HTTP servers on this
// machine, one that speaks the hub's routes and one that stands for the storage
// that large files are redirected to. Failures are injected with Fail, and
// Requests tells what was asked.
//
//	server := hubtest.New(t, map[string]hubtest.Repo{
//		"owner/model":        {Files: os.DirFS("testdata/model")},
//		"datasets/owner/set": {Files: fstest.MapFS{"train.jsonl": …}},
//	})
//	client := hub.Client{Endpoint: server.URL, CacheDir: t.TempDir()}
//
// It answers what huggingface_hub and package hub ask for: /api/{models,datasets}/
// {id}[/revision/{rev}], /api/…/tree/{rev}, and HEAD and GET of /{id}/resolve/{rev}/
// {file}. As on the real hub, small files are redirected within it and large ones
// to the storage; the storage refuses requests that carry an Authorization header,
// and has etags of its own, which must not be mistaken for the hub's.
package hubtest

import (
	"crypto/md5"  // #nosec G501 -- the storage's etag
	"crypto/sha1" // #nosec G505 -- git's object ids
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Repo is a repository of the hub.
type Repo struct {
	Files fs.FS
	// Refs are the branches and tags, and the commits they stand for. Every one has
	// the same Files. Without "main" that is Commit(Files).
	Refs map[string]string
	// Large decides which files are in the storage (Git LFS). Default: by their
	// name, *.safetensors, *.bin, *.model, *.parquet, *.gguf.
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

// Request is one that a server has answered.
type Request struct {
	Storage       bool // asked of the storage, not of the hub
	Method        string
	Path          string
	Range         string
	Authorization string
	Status        int
}

// Server is a running hub. Its URL is the hub's; Storage.URL is where large files are.
type Server struct {
	*httptest.Server
	Storage *httptest.Server

	repos map[string]*repo // by "models/owner/name"

	mu       sync.Mutex
	failures []*Failure
	requests []Request
}

// repo is a Repo with its files read and hashed.
type repo struct {
	Repo
	refs  map[string]string
	files map[string]file
}

type file struct {
	data   []byte
	oid    string // git's object id of the file, or of the pointer
	sha256 string // of a large file
}

// etag is what the hub calls the content.
func (f file) etag() string {
	if f.sha256 != "" {
		return f.sha256
	}
	return f.oid
}

// New starts a hub with the repositories, by "owner/name" and
// "datasets/owner/name"; it is stopped when t ends.
func New(t testing.TB, repos map[string]Repo) *Server {
	t.Helper()
	s := &Server{repos: map[string]*repo{}}
	for name, r := range repos {
		if !strings.HasPrefix(name, "datasets/") {
			name = "models/" + name
		}
		prepared, err := prepare(r)
		if err != nil {
			t.Fatalf("hubtest: %s: %v", name, err)
		}
		s.repos[name] = prepared
	}
	s.Storage = httptest.NewServer(s.recorded(true, s.storage))
	t.Cleanup(s.Storage.Close)
	s.Server = httptest.NewServer(s.recorded(false, s.hub))
	t.Cleanup(s.Server.Close)
	return s
}

func prepare(in Repo) (*repo, error) {
	r := &repo{Repo: in, refs: map[string]string{}, files: map[string]file{}}
	if in.Files == nil {
		return nil, fmt.Errorf("no Files")
	}
	err := fs.WalkDir(in.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(in.Files, name)
		r.files[name] = hashed(data, in.large(name))
		return err
	})
	if err != nil {
		return nil, err
	}
	for name, commit := range in.Refs {
		r.refs[name] = commit
	}
	if r.refs["main"] == "" {
		commit, err := Commit(in.Files)
		if err != nil {
			return nil, err
		}
		r.refs["main"] = commit
	}
	return r, nil
}

func (r Repo) large(name string) bool {
	if r.Large != nil {
		return r.Large(name)
	}
	return slices.Contains([]string{".safetensors", ".bin", ".model", ".parquet", ".gguf"}, path.Ext(name))
}

func hashed(data []byte, large bool) file {
	f := file{data: data}
	content := data
	if large {
		sum := sha256.Sum256(data)
		f.sha256 = hex.EncodeToString(sum[:])
		content = fmt.Appendf(nil, "version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", f.sha256, len(data))
	}
	h := sha1.New() // #nosec G401
	fmt.Fprintf(h, "blob %d\x00%s", len(content), content)
	f.oid = hex.EncodeToString(h.Sum(nil))
	return f
}

// Commit is the commit that New makes up for files: it changes when they do.
func Commit(files fs.FS) (string, error) {
	h := sha1.New() // #nosec G401
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		fmt.Fprintf(h, "%q %d %s", name, len(data), data)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// Replace puts another state of a repository in place, as a push would.
func (s *Server) Replace(t testing.TB, name string, r Repo) {
	t.Helper()
	if !strings.HasPrefix(name, "datasets/") {
		name = "models/" + name
	}
	prepared, err := prepare(r)
	if err != nil {
		t.Fatalf("hubtest: %s: %v", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repos[name] = prepared
}

// Requests lists what has been answered, in order. A filter is part of a path.
func (s *Server) Requests(filter string) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Request
	for _, r := range s.requests {
		if strings.Contains(r.Path, filter) {
			found = append(found, r)
		}
	}
	return found
}

// Forget empties Requests.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// recorded applies failures and keeps a record of each request. A request is
// recorded when its answer begins, so that it is there when the client has it.
func (s *Server) recorded(storage bool, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := Request{Storage: storage, Method: r.Method, Path: r.URL.Path, Range: r.Header.Get("Range"), Authorization: r.Header.Get("Authorization")}
		rec := &recorder{ResponseWriter: w, begin: func(status int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			asked.Status = status
			s.requests = append(s.requests, asked)
		}}
		if f := s.failure(storage, r); f != nil {
			f.serve(rec, r, next)
			return
		}
		next(rec, r)
	})
}

type recorder struct {
	http.ResponseWriter
	begin func(status int)
	begun bool
}

func (r *recorder) WriteHeader(status int) {
	if !r.begun {
		r.begun = true
		r.begin(status)
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if !r.begun {
		r.WriteHeader(http.StatusOK)
	}
	return r.ResponseWriter.Write(b)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// storageTag is an etag as S3 makes them.
func storageTag(data []byte) string {
	sum := md5.Sum(data) // #nosec G401
	return `"` + hex.EncodeToString(sum[:]) + `"`
}
