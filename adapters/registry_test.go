package adapters

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
)

func openRegistry(t *testing.T, dir string) *Registry {
	t.Helper()
	s, err := store.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	r, err := OpenRegistry(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func register(t *testing.T, r *Registry, name, job string) Version {
	t.Helper()
	f, err := r.Put(t.Context(), strings.NewReader(name+job))
	if err != nil {
		t.Fatal(err)
	}
	v, err := r.Register(t.Context(), Version{Ref: Ref{Name: name}, Kind: KindAdapter, Base: "b", Job: job, Files: map[string]File{"f": f}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func current(t *testing.T, r *Registry, name string) int {
	t.Helper()
	v, err := r.Resolve(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return v.Version
}

func TestRegistry(t *testing.T) {
	dir := t.TempDir()
	r := openRegistry(t, dir)
	for i := 1; i <= 3; i++ {
		if v := register(t, r, "imdb", fmt.Sprint(i)); v.Version != i || !strings.HasPrefix(v.Digest, "sha256:") {
			t.Errorf("registration %d is version %d with digest %q", i, v.Version, v.Digest)
		}
	}
	if again := register(t, r, "imdb", "2"); again.Version != 2 {
		t.Errorf("a job that registers twice gets version %d, want 2", again.Version)
	}
	if got := current(t, r, "imdb"); got != 3 {
		t.Errorf("current is %d, want 3", got)
	}
	if _, err := r.Rollback(t.Context(), "imdb", 1); err != nil {
		t.Fatal(err)
	}
	other := openRegistry(t, dir) // another process
	for name, r := range map[string]*Registry{"here": r, "elsewhere": other} {
		if got := current(t, r, "imdb"); got != 1 {
			t.Errorf("%s, after a roll back current is %d, want 1", name, got)
		}
	}
	register(t, r, "imdb", "4")
	if got := current(t, r, "imdb"); got != 4 {
		t.Errorf("a newer version is current again: %d, want 4", got)
	}
	if err := other.Refresh(t.Context()); err != nil || current(t, other, "imdb") != 4 {
		t.Errorf("another process sees %d after a refresh (%v), want 4", current(t, other, "imdb"), err)
	}
	if err := r.Delete(t.Context(), "imdb", 4); err != nil {
		t.Fatal(err)
	}
	if got := current(t, r, "imdb"); got != 1 {
		t.Errorf("with the newest deleted the roll back stands again: %d, want 1", got)
	}
	_, err := r.Resolve(t.Context(), "imdb@4")
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "versions: 1, 2, 3") {
		t.Errorf("a deleted version: %v", err)
	}
	if v := register(t, r, "imdb", "5"); v.Version != 5 {
		t.Errorf("a number is used again: %d, want 5", v.Version)
	}
	if err := r.Delete(t.Context(), "imdb", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resolve(t.Context(), "imdb"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a deleted name: %v", err)
	}
	if n := len(r.List(t.Context())); n != 0 {
		t.Errorf("%d names are listed, want none", n)
	}
	for _, bad := range []string{"", "Imdb", "a/b", "..", "imdb@", "imdb@0", "imdb@-1", "imdb@x", "imdb@1@2"} {
		if _, err := r.Resolve(t.Context(), bad); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v, want ErrName", bad, err)
		}
	}
}

func TestManyProcessesRegisterAtOnce(t *testing.T) {
	dir := t.TempDir()
	const writers, jobs = 6, 5
	var wg sync.WaitGroup
	for range writers {
		r := openRegistry(t, dir)
		wg.Go(func() {
			for j := range jobs {
				register(t, r, "imdb", fmt.Sprintf("job%d", j))
			}
		})
	}
	wg.Wait()
	s, err := openRegistry(t, dir).Get(t.Context(), "imdb")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, v := range s.Versions {
		seen[v.Job]++
	}
	if len(s.Versions) != jobs {
		t.Errorf("%d jobs registered %d versions: %v", jobs, len(s.Versions), seen)
	}
}

func TestADamagedRecordHidesNoOther(t *testing.T) {
	dir := t.TempDir()
	r := openRegistry(t, dir)
	for _, name := range []string{"a", "b", "c"} {
		register(t, r, name, "1")
	}
	register(t, r, "b", "2")
	path := filepath.Join(dir, filepath.FromSlash(key("b", "versions", 2)))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	other := openRegistry(t, dir)
	for _, name := range []string{"a", "b", "c"} {
		if got := current(t, other, name); got != 1 {
			t.Errorf("current of %s is %d, want 1", name, got)
		}
	}
	if _, err := other.Resolve(t.Context(), "b@2"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the damaged version: %v, want ErrCorrupt", err)
	}
	if broken := other.Broken(); len(broken) != 1 || !strings.Contains(broken[0].Error(), "b@2") {
		t.Errorf("damaged: %v, want b@2", broken)
	}
	if v := register(t, other, "b", "3"); v.Version != 3 {
		t.Errorf("a new version is %d, want 3", v.Version)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := other.Refresh(t.Context()); err != nil || len(other.Broken()) != 0 {
		t.Errorf("mended, it is still damaged: %v, %v", other.Broken(), err)
	}
}

func TestANameIsOfOneKindAndForOneBase(t *testing.T) {
	r := openRegistry(t, t.TempDir())
	register(t, r, "imdb", "1")
	for name, c := range map[string]struct {
		name, base, kind string
		admitted         bool
	}{
		"another version":         {"imdb", "b", KindAdapter, true},
		"a new name":              {"news", "other", KindVariant, true},
		"a version for another":   {"imdb", "other", KindAdapter, false},
		"a version of other kind": {"imdb", "b", KindVariant, false},
	} {
		if err := r.Admits(t.Context(), c.name, c.base, c.kind); (err == nil) != c.admitted || err != nil && !invalid.Is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.Delete(t.Context(), "imdb", 0); err != nil {
		t.Fatal(err)
	}
	if err := r.Admits(t.Context(), "imdb", "other", KindVariant); err != nil {
		t.Errorf("a name that was deleted: %v", err)
	}
}

func TestANameHasOneTenant(t *testing.T) {
	dir := t.TempDir()
	r, other := openRegistry(t, dir), openRegistry(t, dir)
	version := func(tenant, name string) Version {
		f, err := r.Put(t.Context(), strings.NewReader(tenant+name))
		if err != nil {
			t.Fatal(err)
		}
		return Version{Ref: Ref{Name: name}, Kind: KindAdapter, Base: "b", Tenant: tenant, Files: map[string]File{"f": f}}
	}
	if _, err := r.Register(t.Context(), version("acme", "imdb")); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"", "other"} {
		_, err := other.Register(t.Context(), version(tenant, "imdb"))
		if !errors.Is(err, ErrOwner) || !invalid.Is(err) {
			t.Errorf("tenant %q: %v", tenant, err)
		}
	}
	if v, err := other.Register(t.Context(), version("acme", "imdb")); err != nil || v.Version != 2 {
		t.Errorf("its own: %v, %v", v, err)
	}
	if err := r.Delete(t.Context(), "imdb", 0); err != nil {
		t.Fatal(err)
	}
	if err := other.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, err := other.Register(t.Context(), version("other", "imdb")); err != nil || v.Version != 3 {
		t.Errorf("a name that was given up: %v, %v", v, err)
	}
	t.Run("also when several take a new one at once", func(t *testing.T) {
		for i := range 20 {
			name := fmt.Sprint("new", i)
			var wg sync.WaitGroup
			errs := make([]error, 4)
			for j := range errs {
				from, v := []*Registry{r, other}[j%2], version(fmt.Sprint("t", j), name)
				wg.Go(func() { _, errs[j] = from.Register(t.Context(), v) })
			}
			wg.Wait()
			won := 0
			for _, err := range errs {
				if err == nil {
					won++
				} else if !errors.Is(err, ErrOwner) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if won != 1 {
				t.Errorf("%s has %d tenants", name, won)
			}
		}
	})
}

// between calls back after the records of one kind were listed, before the next ones are.
type between struct {
	Store
	after string
	call  func()
}

// List does in pieces what the store does in one walk.
func (b *between) List(ctx context.Context, prefix string) ([]string, error) {
	name, ok := strings.CutPrefix(prefix, "adapters/")
	if !ok || strings.Count(name, "/") != 1 {
		return b.Store.List(ctx, prefix)
	}
	var all []string
	for _, kind := range []string{"deleted", "rollbacks", "versions"} {
		keys, err := b.Store.List(ctx, prefix+kind+"/")
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
		if kind == b.after && b.call != nil {
			call := b.call
			b.call = nil
			call()
		}
	}
	return all, nil
}

// What another process sees while a name changes is what it meant before or after.
func TestNoVersionComesUpThatNeverWasCurrent(t *testing.T) {
	for _, kind := range []string{"deleted", "rollbacks", "versions"} {
		t.Run("a replacement while "+kind+" were just listed", func(t *testing.T) {
			dir := t.TempDir()
			r := openRegistry(t, dir)
			for i := range 3 {
				register(t, r, "imdb", fmt.Sprint(i))
			}
			other := openRegistry(t, dir)
			other.store = &between{other.store, kind, func() {
				register(t, r, "imdb", "new")
				if err := r.Delete(t.Context(), "imdb", 3); err != nil {
					t.Error(err)
				}
			}}
			if err := other.Refresh(t.Context(), "imdb"); err != nil {
				t.Fatal(err)
			}
			if got := current(t, other, "imdb"); got != 3 && got != 4 {
				t.Errorf("current is %d, want 3 or 4", got)
			}
		})
	}
	t.Run("the deletion of a name that is rolled back", func(t *testing.T) {
		dir := t.TempDir()
		r := openRegistry(t, dir)
		for i := range 3 {
			register(t, r, "imdb", fmt.Sprint(i))
		}
		if _, err := r.Rollback(t.Context(), "imdb", 1); err != nil {
			t.Fatal(err)
		}
		other := openRegistry(t, dir)
		looked := 0
		r.store = &creating{r.store, func() {
			looked++
			if err := other.Refresh(t.Context(), "imdb"); err != nil {
				t.Fatal(err)
			}
			if v, err := other.Resolve(t.Context(), "imdb"); err == nil && v.Version != 1 {
				t.Errorf("after %d deletions current is %d, want 1 or none", looked, v.Version)
			}
		}}
		if err := r.Delete(t.Context(), "imdb", 0); err != nil {
			t.Fatal(err)
		}
		if looked != 3 {
			t.Errorf("looked %d times", looked)
		}
	})
}

// creating calls back after each record that is created.
type creating struct {
	Store
	call func()
}

func (c *creating) Create(ctx context.Context, key string, data []byte) error {
	defer c.call()
	return c.Store.Create(ctx, key, data)
}

func TestARollbackOutlastsWhatAnotherProcessRegisteredBefore(t *testing.T) {
	dir := t.TempDir()
	r := openRegistry(t, dir)
	register(t, r, "imdb", "1")
	other := openRegistry(t, dir)
	register(t, r, "imdb", "2")
	if _, err := other.Rollback(t.Context(), "imdb", 1); err != nil {
		t.Fatal(err)
	}
	if err := r.Refresh(t.Context(), "imdb"); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*Registry{"here": r, "elsewhere": other} {
		if got := current(t, r, "imdb"); got != 1 {
			t.Errorf("%s current is %d, want 1", name, got)
		}
	}
}

// waiting holds up whoever reads a record.
type waiting struct {
	Store
	reading, read chan struct{}
}

func (w *waiting) Get(ctx context.Context, key string) ([]byte, error) {
	close(w.reading)
	<-w.read
	return w.Store.Get(ctx, key)
}

func TestNamesResolveWhileTheStoreIsRead(t *testing.T) {
	dir := t.TempDir()
	r := openRegistry(t, dir)
	register(t, r, "imdb", "1")
	other := openRegistry(t, dir)
	register(t, r, "imdb", "2")
	slow := &waiting{other.store, make(chan struct{}), make(chan struct{})}
	other.store = slow
	done := make(chan error, 1)
	go func() { done <- other.Refresh(t.Context()) }()
	<-slow.reading
	if got := current(t, other, "imdb"); got != 1 { // deadlocks where the lock is held
		t.Errorf("current is %d, want 1", got)
	}
	close(slow.read)
	if err := <-done; err != nil || current(t, other, "imdb") != 2 {
		t.Errorf("then it is %d, %v", current(t, other, "imdb"), err)
	}
}
