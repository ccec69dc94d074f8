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
// The routes are those of package mirror. As on the real hub, small files are
// redirected within it and large ones to the storage; the storage refuses requests that
// carry an Authorization header, and has etags of its own, which must not be mistaken
// for the hub's.
package hubtest

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"lorikeet/inference/hub/mirror"
)

// Repo is a repository of the hub.
type Repo = mirror.Repo

// Commit is the commit that New makes up for files: it changes when they do.
func Commit(files fs.FS) (string, error) { return mirror.Commit(files) }

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

	hub *mirror.Hub

	mu       sync.Mutex
	repos    map[string]Repo // by "models/owner/name"
	failures []*Failure
	requests []Request
}

// New starts a hub with the repositories, by "owner/name" and
// "datasets/owner/name"; it is stopped when t ends.
func New(t testing.TB, repos map[string]Repo) *Server {
	t.Helper()
	s := &Server{repos: map[string]Repo{}}
	for name, r := range repos {
		s.put(t, name, r)
	}
	s.hub = &mirror.Hub{Find: func(kind, id string) (Repo, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		r, ok := s.repos[kind+"/"+id]
		return r, ok
	}}
	s.Storage = httptest.NewServer(s.recorded(true, s.storage))
	t.Cleanup(s.Storage.Close)
	s.hub.Storage = s.Storage.URL
	s.Server = httptest.NewServer(s.recorded(false, s.hub.ServeHTTP))
	t.Cleanup(s.Server.Close)
	return s
}

func (s *Server) put(t testing.TB, name string, r Repo) {
	t.Helper()
	if r.Files == nil {
		t.Fatalf("hubtest: %s: no Files", name)
	}
	if !strings.HasPrefix(name, "datasets/") {
		name = "models/" + name
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repos[name] = r
}

// Replace puts another state of a repository in place, as a push would.
func (s *Server) Replace(t testing.TB, name string, r Repo) {
	t.Helper()
	s.put(t, name, r)
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
