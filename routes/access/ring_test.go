package access

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lorikeet/adapters/store"
)

// memory is a store that can be made to fail.
type memory struct {
	mu       sync.Mutex
	records  map[string][]byte
	fail     error
	listings int
}

func (m *memory) Create(_ context.Context, key string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if _, ok := m.records[key]; ok {
		return store.ErrExists
	}
	m.records[key] = bytes.Clone(data)
	return nil
}

func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b, ok := m.records[key]; ok && m.fail == nil {
		return b, nil
	}
	if m.fail != nil {
		return nil, m.fail
	}
	return nil, store.ErrNotFound
}

func (m *memory) Children(_ context.Context, prefix string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listings++
	var names []string
	for _, key := range slices.Sorted(maps.Keys(m.records)) {
		if name, ok := strings.CutPrefix(key, prefix); ok {
			names = append(names, name)
		}
	}
	return names, m.fail
}

func open(t *testing.T, s Store) *Ring {
	t.Helper()
	r, err := Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func create(t *testing.T, r *Ring, q Request) (Key, string) {
	t.Helper()
	k, token, err := r.Create(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return k, token
}

func TestOnlyTheWholeKeyOpens(t *testing.T) {
	dir := t.TempDir()
	s, err := store.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	r := open(t, s)
	made, token := create(t, r, Request{Name: "ci", Tenant: "acme", Scope: Tune})
	for name, ring := range map[string]*Ring{"here": r, "in a process that starts later": open(t, s)} {
		if k, err := ring.Check(t.Context(), token); err != nil || k != made {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
	_, other := create(t, r, Request{Scope: Admin})
	mixed := token[:len(tokenPrefix)+idLength+1] + other[len(tokenPrefix)+idLength+1:]
	for _, wrong := range []string{mixed, token[:len(token)-2] + "aa", "lk_" + strings.Repeat("a", idLength) + "_" + strings.Repeat("a", secretLength)} {
		if _, err := r.Check(t.Context(), wrong); !errors.Is(err, ErrBadKey) || strings.Contains(err.Error(), made.ID) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	_, secret, _ := Parse(token)
	err = fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(os.DirFS(dir), path)
		if bytes.Contains(b, []byte(secret)) {
			t.Errorf("the secret is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOtherProcessesSeeChangesWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{records: map[string][]byte{}}
		here, there := open(t, s), open(t, s)
		k, token := create(t, here, Request{Scope: Predict})
		if _, err := there.Check(t.Context(), token); !errors.Is(err, ErrBadKey) {
			t.Errorf("known before anyone looked: %v", err)
		}
		time.Sleep(Fresh)
		if _, err := there.Check(t.Context(), token); err != nil {
			t.Errorf("after a second: %v", err)
		}
		if _, err := here.Revoke(t.Context(), k.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := here.Check(t.Context(), token); !errors.Is(err, ErrBadKey) || !strings.Contains(err.Error(), "revoked") {
			t.Errorf("revoked here: %v", err)
		}
		time.Sleep(Fresh)
		if _, err := there.Check(t.Context(), token); !errors.Is(err, ErrBadKey) {
			t.Errorf("revoked elsewhere: %v", err)
		}
		if _, err := open(t, s).Check(t.Context(), token); !errors.Is(err, ErrBadKey) {
			t.Errorf("revoked before the start: %v", err)
		}
		before := s.listings
		for range 1000 {
			_, _ = there.Check(t.Context(), token)
		}
		if s.listings != before {
			t.Errorf("1000 checks within a second list the store %d times", s.listings-before)
		}
	})
}

func TestRevokingTwiceIsNoError(t *testing.T) {
	r := open(t, &memory{records: map[string][]byte{}})
	k, _ := create(t, r, Request{Scope: Predict})
	for range 2 {
		if got, err := r.Revoke(t.Context(), k.ID); err != nil || got.RevokedAt == nil {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for _, id := range []string{"", "key_", "../made/" + k.ID, "key_aaaaaaaaaaaaaaaaaaaa"} {
		if _, err := r.Revoke(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if all, err := r.List(t.Context()); err != nil || len(all) != 1 || all[0].RevokedAt == nil {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestKeysExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, &memory{records: map[string][]byte{}})
		at := time.Now().Add(time.Hour)
		_, token := create(t, r, Request{Scope: Predict, ExpiresAt: &at})
		time.Sleep(time.Hour - time.Second)
		if _, err := r.Check(t.Context(), token); err != nil {
			t.Errorf("before: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := r.Check(t.Context(), token); !errors.Is(err, ErrBadKey) || !strings.Contains(err.Error(), "expired") {
			t.Errorf("after: %v", err)
		}
	})
}

func TestAStoreThatFailsClosesAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{records: map[string][]byte{}}
		r := open(t, s)
		_, token := create(t, r, Request{Scope: Predict})
		s.fail = errors.New("the disk is gone")
		time.Sleep(Stale)
		if _, err := r.Check(t.Context(), token); err != nil {
			t.Errorf("within a minute: %v", err)
		}
		time.Sleep(2 * time.Second)
		before := s.listings
		for range 100 {
			if _, err := r.Check(t.Context(), token); !errors.Is(err, ErrStale) || errors.Is(err, ErrBadKey) {
				t.Fatalf("after a minute: %v", err)
			}
		}
		if n := s.listings - before; n > 1 {
			t.Errorf("100 checks ask the broken store %d times", n)
		}
		s.fail = nil
		time.Sleep(2 * time.Second)
		if _, err := r.Check(t.Context(), token); err != nil {
			t.Errorf("mended: %v", err)
		}
		time.Sleep(time.Hour) // nobody asks
		if _, err := r.Check(t.Context(), token); err != nil {
			t.Errorf("after a night: %v", err)
		}
	})
}

func TestADamagedRecordOpensNothingAndHidesNothing(t *testing.T) {
	s := &memory{records: map[string][]byte{}}
	r := open(t, s)
	_, good := create(t, r, Request{Scope: Predict})
	bad, token := create(t, r, Request{Scope: Admin})
	s.records[madeFolder+bad.ID] = []byte(`{"hash":`)
	s.records[madeFolder+"key_short"] = []byte(`{}`)
	again := open(t, s)
	if _, err := again.Check(t.Context(), token); !errors.Is(err, ErrBadKey) {
		t.Errorf("the damaged one: %v", err)
	}
	if _, err := again.Check(t.Context(), good); err != nil {
		t.Errorf("the other: %v", err)
	}
}
