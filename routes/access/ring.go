package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"lorikeet/adapters/store"
)

// Store is what is needed of the record store; see [store.Dir].
type Store interface {
	Create(ctx context.Context, key string, data []byte) error
	Get(ctx context.Context, key string) ([]byte, error)
	Children(ctx context.Context, prefix string) ([]string, error)
}

// The records of keys. They are never changed and never deleted, so that the audit log
// can always be read:
//
//	keys/made/<id>      the key, with the hash of its secret
//	keys/revoked/<id>   a tombstone: the key opens nothing any more
const (
	madeFolder    = "keys/made/"
	revokedFolder = "keys/revoked/"
)

// record is a key as it is stored.
type record struct {
	Key
	Hash string `json:"hash"` // SHA-256 of the secret, hexadecimal
}

type tombstone struct {
	At time.Time `json:"at"`
}

// How old what this process knows may be. Nothing is announced: the records are listed
// again at most once a Fresh, and only when somebody asks, so that a key made or revoked
// elsewhere, by another replica or on the command line, counts here within that time.
// When the store does not answer, what is known goes on to count for Stale; then no key
// is accepted, because one may have been revoked.
const (
	Fresh = time.Second
	Stale = time.Minute
)

// Ring is the keys of a store. It is safe for concurrent use, and several processes
// may share a store.
type Ring struct {
	store Store

	looking sync.Mutex // held by who lists the store

	mu     sync.RWMutex
	keys   map[string]record
	looked time.Time // when the store was last listed
	tried  time.Time // when that was last attempted
	failed error     // what came of the last attempt
}

// Open reads the keys of a store.
func Open(ctx context.Context, s Store) (*Ring, error) {
	r := &Ring{store: s, keys: map[string]record{}}
	return r, r.refresh(ctx)
}

// refresh takes in what other processes have made and revoked.
func (r *Ring) refresh(ctx context.Context) error {
	now := time.Now() // before the listing: what is made during it may be missed
	err := r.list(ctx, now)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tried, r.failed = now, err
	if err == nil {
		r.looked = now
	}
	return err
}

func (r *Ring) list(ctx context.Context, now time.Time) error {
	made, err := r.store.Children(ctx, madeFolder)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	revoked, err := r.store.Children(ctx, revokedFolder)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	for _, id := range made {
		if _, known := r.key(id); known || !validID(id) {
			continue
		}
		k, err := read[record](ctx, r.store, madeFolder+id)
		if errors.Is(err, store.ErrCorrupt) {
			continue // it opens nothing, and must not shut the others out
		}
		if err != nil {
			return fmt.Errorf("key %s: %w", id, err)
		}
		k.ID = id
		r.learn(k)
	}
	for _, id := range revoked {
		if err := r.bury(ctx, id, now); err != nil {
			return err
		}
	}
	return nil
}

func (r *Ring) key(id string) (record, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k, ok := r.keys[id]
	return k, ok
}

// learn takes in a key, unless somebody else has: then its revocation may be known.
func (r *Ring) learn(k record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.keys[k.ID]; !known {
		r.keys[k.ID] = k
	}
}

// bury marks a key revoked. That there is a tombstone is enough; when it was put there
// is only told where it can be read.
func (r *Ring) bury(ctx context.Context, id string, now time.Time) error {
	k, known := r.key(id)
	if !known || k.RevokedAt != nil {
		return nil
	}
	at := now.UTC()
	if t, err := read[tombstone](ctx, r.store, revokedFolder+id); err == nil {
		at = t.At
	}
	k.RevokedAt = &at
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[id] = k
	return nil
}

func read[T any](ctx context.Context, s Store, key string) (T, error) {
	var v T
	b, err := s.Get(ctx, key)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	return v, nil
}

// ErrStale is returned when the store has not answered for so long that what is known
// of its keys is not to be relied on.
var ErrStale = errors.New("the keys cannot be read from the store")

// look refreshes what is too old. While one caller does, the others go on with what is
// known, unless that is stale.
func (r *Ring) look(ctx context.Context) error {
	switch old := r.age(); {
	case old < Fresh:
		return nil
	case old > Stale:
		r.looking.Lock()
	case !r.looking.TryLock():
		return nil
	}
	defer r.looking.Unlock()
	if r.age() < Fresh {
		return nil
	}
	r.mu.RLock()
	again, err := time.Since(r.tried) >= Fresh, r.failed
	r.mu.RUnlock()
	if again {
		// The caller may leave; the others are served by what it began.
		bounded, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		err = r.refresh(bounded)
		stop()
	}
	if err != nil && r.age() > Stale {
		return fmt.Errorf("%w: %w", ErrStale, err)
	}
	return nil
}

func (r *Ring) age() time.Duration {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return time.Since(r.looked)
}

// Check finds the key that a caller sent. It fails with ErrBadKey for what opens
// nothing (any more); only who has the secret is told why.
func (r *Ring) Check(ctx context.Context, token string) (Key, error) {
	id, secret, err := Parse(token)
	if err != nil {
		return Key{}, err
	}
	if err := r.look(ctx); err != nil {
		return Key{}, err
	}
	k, _ := r.key(id) // the zero record has an empty hash, which no secret has
	if !same(hashOf(secret), k.Hash) {
		return Key{}, ErrBadKey
	}
	switch {
	case k.RevokedAt != nil:
		return Key{}, fmt.Errorf("%w: %s was revoked at %s", ErrBadKey, k.ID, k.RevokedAt.UTC().Format(time.RFC3339))
	case !k.Active(time.Now()):
		return Key{}, fmt.Errorf("%w: %s expired at %s", ErrBadKey, k.ID, k.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return k.Key, nil
}

// Create makes a key. token is the only place where its secret ever is.
func (r *Ring) Create(ctx context.Context, q Request) (k Key, token string, err error) {
	now := time.Now().UTC().Truncate(time.Second)
	if err := q.check(now); err != nil {
		return Key{}, "", err
	}
	if q.Tenant == DefaultTenant {
		q.Tenant = ""
	}
	id, secret := mint()
	made := record{Hash: hashOf(secret), Key: Key{ID: idPrefix + id, Name: q.Name, Tenant: q.Tenant, Scope: q.Scope, CreatedAt: now}}
	if q.ExpiresAt != nil {
		at := q.ExpiresAt.UTC().Truncate(time.Second)
		made.ExpiresAt = &at
	}
	b, err := json.Marshal(made)
	if err != nil {
		return Key{}, "", err
	}
	if err := r.store.Create(ctx, madeFolder+made.ID, b); err != nil {
		return Key{}, "", fmt.Errorf("key: %w", err)
	}
	r.learn(made)
	return made.Key, tokenPrefix + id + "_" + secret, nil
}

// List gives all keys, revoked ones too, the newest first.
func (r *Ring) List(ctx context.Context) ([]Key, error) {
	if err := r.refresh(ctx); err != nil {
		return nil, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]Key, 0, len(r.keys))
	for _, k := range r.keys {
		all = append(all, k.Key)
	}
	slices.SortFunc(all, func(a, b Key) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, nil
}

// Revoke makes a key open nothing any more: here at once, in other processes within
// [Fresh]. Revoking a key twice is no error.
func (r *Ring) Revoke(ctx context.Context, id string) (Key, error) {
	missing := func() error {
		return fmt.Errorf("%w: %.40q; GET /keys and \"service keys list\" show them", ErrNotFound, id)
	}
	if !validID(id) {
		return Key{}, missing()
	}
	if err := r.refresh(ctx); err != nil {
		return Key{}, err
	}
	if _, known := r.key(id); !known {
		return Key{}, missing()
	}
	now := time.Now().UTC().Truncate(time.Second)
	b, err := json.Marshal(tombstone{At: now})
	if err != nil {
		return Key{}, err
	}
	if err := r.store.Create(ctx, revokedFolder+id, b); err != nil && !errors.Is(err, store.ErrExists) {
		return Key{}, fmt.Errorf("key %s: revoke: %w", id, err)
	}
	if err := r.bury(ctx, id, now); err != nil {
		return Key{}, err
	}
	k, _ := r.key(id)
	return k.Key, nil
}
