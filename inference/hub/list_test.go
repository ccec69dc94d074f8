package hub

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/fstest"

	"lorikeet/inference/hub/hubtest"
)

func TestList(t *testing.T) {
	server := hubtest.New(t, map[string]hubtest.Repo{"datasets/o/n": {Files: fstest.MapFS{
		"b.csv": {Data: []byte("b")}, "a/train.csv": {Data: []byte("a")},
	}}})
	cl := client(t, server)
	r := ref(t, "hf:datasets/o/n")
	want := []string{"a/train.csv", "b.csv"}
	files, commit, err := cl.List(t.Context(), r)
	if err != nil || !slices.Equal(files, want) || !commitID.MatchString(commit) {
		t.Fatal(files, commit, err)
	}
	t.Run("what is fetched by its commit is found offline by its branch", func(t *testing.T) {
		at := r
		at.Revision = commit
		if _, _, err := cl.Fetch(t.Context(), at, func(f string) bool { return f == "b.csv" }); err != nil {
			t.Fatal(err)
		}
		offline := client(t, server)
		offline.CacheDir, offline.Offline = cl.CacheDir, true
		if files, got, err := offline.List(t.Context(), r); err != nil || got != commit || !slices.Equal(files, want) {
			t.Error(files, got, err)
		}
		if _, _, err := offline.Fetch(t.Context(), r, func(f string) bool { return f == "b.csv" }); err != nil {
			t.Error(err)
		}
		offline.CacheDir = t.TempDir()
		if _, _, err := offline.List(t.Context(), r); !errors.Is(err, ErrOffline) {
			t.Error(err)
		}
	})
	t.Run("a commit is not asked for twice", func(t *testing.T) {
		server.Forget()
		at := r
		at.Revision = commit
		if _, _, err := cl.List(t.Context(), at); err != nil || len(server.Requests("")) > 0 {
			t.Error(err, server.Requests(""))
		}
	})
	t.Run("a hub that fails is replaced by the cache", func(t *testing.T) {
		server.Fail(hubtest.Failure{Path: "/api/", Status: http.StatusServiceUnavailable})
		defer server.Heal()
		if files, _, err := cl.List(t.Context(), r); err != nil || !slices.Equal(files, want) {
			t.Error(files, err)
		}
		if _, _, err := cl.List(t.Context(), ref(t, "hf:datasets/o/m")); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	})
	t.Run("no such repository", func(t *testing.T) {
		if _, _, err := cl.List(t.Context(), ref(t, "hf:datasets/o/m")); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	})
}
