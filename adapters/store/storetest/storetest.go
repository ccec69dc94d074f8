// Package storetest is the suite that every record store passes: what the job
// protocol and the adapter registry rely on.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"lorikeet/adapters/store"
)

// Store is what the suite tests.
type Store interface {
	Create(ctx context.Context, key string, data []byte) error
	Get(ctx context.Context, key string) ([]byte, error)
	Created(ctx context.Context, key string) (time.Time, error)
	List(ctx context.Context, prefix string) ([]string, error)
	Children(ctx context.Context, prefix string) ([]string, error)
	Delete(ctx context.Context, key string) error
	PutBlob(ctx context.Context, r io.Reader) (digest string, size int64, err error)
	OpenBlob(ctx context.Context, digest string) (store.Blob, error)
	StatBlob(ctx context.Context, digest string) (store.BlobInfo, error)
	Fetch(ctx context.Context, digest string, w io.Writer) (int64, error)
	VerifyBlob(ctx context.Context, digest string) error
	DeleteBlob(ctx context.Context, digest string) error
	Blobs(ctx context.Context) iter.Seq2[store.BlobInfo, error]
}

// Run tests a kind of store. open makes a new empty place and returns a function
// that opens it, each call with a new handle, as another process would; what is
// opened is closed by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) func() Store) {
	t.Run("records", func(t *testing.T) { records(t, open) })
	t.Run("blobs", func(t *testing.T) { blobs(t, open) })
	t.Run("of eight writers of one key exactly one wins, 100 times", func(t *testing.T) { race(t, open) })
}

func records(t *testing.T, open func(t *testing.T) func() Store) {
	ctx := t.Context()
	t.Run("a record is read back by another handle", func(t *testing.T) {
		at := open(t)
		must(t, at().Create(ctx, "jobs/a/spec", []byte("one")))
		want(t, at(), "jobs/a/spec", "one")
	})
	t.Run("a record may be empty or hold any bytes", func(t *testing.T) {
		s := open(t)()
		must(t, s.Create(ctx, "empty", nil))
		want(t, s, "empty", "")
		must(t, s.Create(ctx, "bytes", []byte("\x00\xff\n")))
		want(t, s, "bytes", "\x00\xff\n")
	})
	t.Run("a second create fails and changes nothing", func(t *testing.T) {
		at := open(t)
		must(t, at().Create(ctx, "k", []byte("first")))
		is(t, at().Create(ctx, "k", []byte("second")), store.ErrExists)
		want(t, at(), "k", "first")
	})
	t.Run("a key that is missing is not found", func(t *testing.T) {
		s := open(t)()
		must(t, s.Create(ctx, "a/b/c", nil))
		for _, key := range []string{"x", "a", "a/b", "a/b/d"} {
			_, err := s.Get(ctx, key)
			is(t, err, store.ErrNotFound)
		}
	})
	t.Run("a key may be created again after it was deleted", func(t *testing.T) {
		s := open(t)()
		must(t, s.Create(ctx, "a/b", []byte("1")))
		must(t, s.Delete(ctx, "a/b"))
		_, err := s.Get(ctx, "a/b")
		is(t, err, store.ErrNotFound)
		must(t, s.Create(ctx, "a/b", []byte("2")))
		want(t, s, "a/b", "2")
	})
	t.Run("a record is as old as a blob that was put when it was created", func(t *testing.T) {
		at := open(t)
		clock := func(text string) time.Time {
			digest, _, err := at().PutBlob(ctx, strings.NewReader(text))
			must(t, err)
			b, err := at().StatBlob(ctx, digest)
			must(t, err)
			return b.ModTime
		}
		before := clock("before")
		must(t, at().Create(ctx, "a/b", []byte("1")))
		created, err := at().Created(ctx, "a/b")
		must(t, err)
		if after := clock("after"); created.Before(before) || created.After(after) {
			t.Errorf("created at %v, between %v and %v", created, before, after)
		}
		is(t, at().Create(ctx, "a/b", []byte("2")), store.ErrExists)
		if again, err := at().Created(ctx, "a/b"); err != nil || !again.Equal(created) {
			t.Errorf("after a create that failed it is of %v, not %v: %v", again, created, err)
		}
		for _, key := range []string{"a", "a/c"} {
			_, err := at().Created(ctx, key)
			is(t, err, store.ErrNotFound)
		}
		_, err = at().Created(ctx, "../a")
		is(t, err, store.ErrKey)
	})
	t.Run("deleting what is missing is no error", func(t *testing.T) {
		s := open(t)()
		must(t, s.Delete(ctx, "a/b"))
		must(t, s.Create(ctx, "a/b", nil))
		must(t, s.Delete(ctx, "a"))
		want(t, s, "a/b", "")
	})
	t.Run("keys are listed by prefix in the order of their bytes", func(t *testing.T) {
		s := open(t)()
		all := []string{"a", "b-1/x", "b/10", "b/2", "b/c/d", "b/cc", "c"}
		for _, k := range all {
			must(t, s.Create(ctx, k, nil))
		}
		for prefix, keys := range map[string][]string{
			"":     all,
			"b":    {"b-1/x", "b/10", "b/2", "b/c/d", "b/cc"},
			"b/":   {"b/10", "b/2", "b/c/d", "b/cc"},
			"b/c":  {"b/c/d", "b/cc"},
			"b/c/": {"b/c/d"},
			"z/":   nil,
			"a/":   nil,
		} {
			got, err := s.List(ctx, prefix)
			must(t, err)
			if !slices.Equal(got, keys) {
				t.Errorf("List(%q) = %q, want %q", prefix, got, keys)
			}
		}
	})
	t.Run("children are the next elements, each once", func(t *testing.T) {
		s := open(t)()
		for _, k := range []string{"jobs/b/spec", "jobs/b/final", "jobs/a/attempts/1", "jobs/c", "top"} {
			must(t, s.Create(ctx, k, nil))
		}
		for prefix, names := range map[string][]string{
			"":              {"jobs", "top"},
			"jobs/":         {"a", "b", "c"},
			"jobs/b/":       {"final", "spec"},
			"jobs/missing/": nil,
		} {
			got, err := s.Children(ctx, prefix)
			must(t, err)
			if !slices.Equal(got, names) {
				t.Errorf("Children(%q) = %q, want %q", prefix, got, names)
			}
		}
	})
	t.Run("a folder is gone with its last record", func(t *testing.T) {
		s := open(t)()
		must(t, s.Create(ctx, "a/b/c", nil))
		must(t, s.Delete(ctx, "a/b/c"))
		got, err := s.Children(ctx, "")
		must(t, err)
		if len(got) != 0 {
			t.Errorf("left: %q", got)
		}
	})
	t.Run("blobs are no records", func(t *testing.T) {
		s := open(t)()
		_, _, err := s.PutBlob(ctx, strings.NewReader("x"))
		must(t, err)
		keys, err := s.List(ctx, "")
		must(t, err)
		names, err := s.Children(ctx, "")
		must(t, err)
		if len(keys)+len(names) != 0 {
			t.Errorf("listed %q and %q", keys, names)
		}
	})
	t.Run("malformed keys are refused everywhere", func(t *testing.T) {
		s := open(t)()
		for _, key := range BadKeys {
			is(t, s.Create(ctx, key, nil), store.ErrKey)
			_, err := s.Get(ctx, key)
			is(t, err, store.ErrKey)
			is(t, s.Delete(ctx, key), store.ErrKey)
		}
		for _, prefix := range []string{"../", "/", "a//", ".", "a/../", "A"} {
			_, err := s.List(ctx, prefix)
			is(t, err, store.ErrKey)
			_, err = s.Children(ctx, prefix)
			is(t, err, store.ErrKey)
		}
	})
	t.Run("a context that has ended stops everything", func(t *testing.T) {
		s := open(t)()
		must(t, s.Create(ctx, "k", nil))
		ended, cancel := context.WithCancel(ctx)
		cancel()
		is(t, s.Create(ended, "l", nil), context.Canceled)
		_, err := s.Get(ended, "k")
		is(t, err, context.Canceled)
		_, err = s.List(ended, "")
		is(t, err, context.Canceled)
		is(t, s.Delete(ended, "k"), context.Canceled)
		_, _, err = s.PutBlob(ended, strings.NewReader("x"))
		is(t, err, context.Canceled)
		want(t, s, "k", "")
	})
}

// BadKeys are keys that no store takes.
var BadKeys = []string{
	"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", ".hidden",
	"A", "a b", "a\\b", "a\x00b", "ä", "a:b", "a*", "-a", "blobs/x", "tmp/x", "locks", "C:",
	strings.Repeat("a", 200), strings.Repeat("a/", 400) + "a",
}

func blobs(t *testing.T, open func(t *testing.T) func() Store) {
	ctx := t.Context()
	const hello = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	t.Run("a blob is named by its digest and read back", func(t *testing.T) {
		at := open(t)
		digest, size, err := at().PutBlob(ctx, strings.NewReader("hello"))
		must(t, err)
		if digest != hello || size != 5 {
			t.Fatalf("got %s, %d bytes", digest, size)
		}
		b, err := at().OpenBlob(ctx, digest)
		must(t, err)
		defer b.Close()
		all, err := io.ReadAll(b)
		must(t, err)
		part := make([]byte, 3)
		_, err = b.ReadAt(part, 1)
		must(t, err)
		if string(all) != "hello" || string(part) != "ell" || b.Size() != 5 {
			t.Errorf("read %q and %q of %d", all, part, b.Size())
		}
		must(t, at().VerifyBlob(ctx, digest))
		var w bytes.Buffer
		if _, err := at().Fetch(ctx, digest, &w); err != nil || w.String() != "hello" {
			t.Errorf("fetched %q, %v", w.String(), err)
		}
	})
	t.Run("a big blob and an empty one", func(t *testing.T) {
		s := open(t)()
		for _, n := range []int{0, 3 << 20} {
			data := bytes.Repeat([]byte("0123456789abcde\n"), n/16)
			digest, size, err := s.PutBlob(ctx, iotest.HalfReader(bytes.NewReader(data)))
			must(t, err)
			if size != int64(n) {
				t.Errorf("size %d, want %d", size, n)
			}
			var w bytes.Buffer
			_, err = s.Fetch(ctx, digest, &w)
			must(t, err)
			if !bytes.Equal(w.Bytes(), data) {
				t.Errorf("%d bytes differ", n)
			}
		}
	})
	t.Run("the same bytes are one blob", func(t *testing.T) {
		s := open(t)()
		for range 3 {
			_, _, err := s.PutBlob(ctx, strings.NewReader("hello"))
			must(t, err)
		}
		if got := digests(t, s); !slices.Equal(got, []string{hello}) {
			t.Errorf("blobs %q", got)
		}
		info, err := s.StatBlob(ctx, hello)
		must(t, err)
		if info.Digest != hello || info.Size != 5 || time.Since(info.ModTime) > time.Hour {
			t.Errorf("%+v", info)
		}
	})
	t.Run("a missing blob is not found", func(t *testing.T) {
		s := open(t)()
		_, err := s.OpenBlob(ctx, hello)
		is(t, err, store.ErrNotFound)
		_, err = s.StatBlob(ctx, hello)
		is(t, err, store.ErrNotFound)
		is(t, s.VerifyBlob(ctx, hello), store.ErrNotFound)
		must(t, s.DeleteBlob(ctx, hello))
	})
	t.Run("a deleted blob is gone, but not for who reads it", func(t *testing.T) {
		s := open(t)()
		digest, _, err := s.PutBlob(ctx, strings.NewReader("hello"))
		must(t, err)
		b, err := s.OpenBlob(ctx, digest)
		must(t, err)
		defer b.Close()
		must(t, s.DeleteBlob(ctx, digest))
		if all, err := io.ReadAll(b); err != nil || string(all) != "hello" {
			t.Errorf("read %q, %v", all, err)
		}
		if got := digests(t, s); len(got) != 0 {
			t.Errorf("left %q", got)
		}
	})
	t.Run("a reader that fails leaves nothing", func(t *testing.T) {
		s := open(t)()
		broken := errors.New("broken")
		_, _, err := s.PutBlob(ctx, io.MultiReader(strings.NewReader("hello"), iotest.ErrReader(broken)))
		is(t, err, broken)
		if got := digests(t, s); len(got) != 0 {
			t.Errorf("left %q", got)
		}
	})
	t.Run("what is no digest is refused", func(t *testing.T) {
		s := open(t)()
		for _, digest := range []string{"", "sha256:", "sha256:../../x", hello[:70], strings.ToUpper(hello), "md5:" + hello[7:], hello + "0"} {
			_, err := s.OpenBlob(ctx, digest)
			is(t, err, store.ErrKey)
			is(t, s.DeleteBlob(ctx, digest), store.ErrKey)
		}
	})
}

func race(t *testing.T, open func(t *testing.T) func() Store) {
	at := open(t)
	var handles []Store
	for range 8 {
		handles = append(handles, at())
	}
	for round := range 100 {
		key := fmt.Sprintf("race/%d/final", round)
		var wg sync.WaitGroup
		errs := make([]error, len(handles))
		start := make(chan struct{})
		for i, s := range handles {
			wg.Go(func() {
				<-start
				errs[i] = s.Create(t.Context(), key, fmt.Appendf(nil, "writer %d", i))
			})
		}
		close(start)
		wg.Wait()
		won := -1
		for i, err := range errs {
			if err == nil && won < 0 {
				won = i
			} else {
				is(t, err, store.ErrExists)
			}
		}
		want(t, handles[0], key, fmt.Sprintf("writer %d", won))
	}
}

func digests(t *testing.T, s Store) []string {
	t.Helper()
	var all []string
	for b, err := range s.Blobs(t.Context()) {
		must(t, err)
		all = append(all, b.Digest)
	}
	return all
}

func want(t *testing.T, s Store, key, data string) {
	t.Helper()
	got, err := s.Get(t.Context(), key)
	must(t, err)
	if string(got) != data {
		t.Errorf("%s holds %q, want %q", key, got, data)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("got %v, want %v", err, target)
	}
}
