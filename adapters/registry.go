package adapters

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
)

// Store is what the registry needs of a record store; see [store.Dir] and [store.S3].
type Store interface {
	Create(ctx context.Context, key string, data []byte) error
	Get(ctx context.Context, key string) ([]byte, error)
	List(ctx context.Context, prefix string) ([]string, error)
	PutBlob(ctx context.Context, r io.Reader) (digest string, size int64, err error)
	OpenBlob(ctx context.Context, digest string) (store.Blob, error)
	Fetch(ctx context.Context, digest string, w io.Writer) (int64, error)
	VerifyBlob(ctx context.Context, digest string) error
}

// Registry is the named series of versions. The record store holds the truth, one
// record a version, never changed:
//
//	adapters/<name>/versions/<n>   a Version
//	adapters/<name>/rollbacks/<k>  which version is current, until a newer is registered
//	adapters/<name>/traffic/<k>    which versions share the requests for the name
//	adapters/<name>/deleted/<n>    a tombstone; the number is never used again
//
// What this process has read is kept in memory; other processes' changes arrive with
// Refresh, or with a look at the store when a name is unknown here.
type Registry struct {
	store Store
	// Changed, when set, is called after this process changed a name.
	Changed func(name string)

	mu    sync.RWMutex
	names map[string]*series
}

// OpenRegistry reads the records that the store holds.
func OpenRegistry(ctx context.Context, s Store) (*Registry, error) {
	r := &Registry{store: s, names: map[string]*series{}}
	return r, r.Refresh(ctx)
}

var nameRule = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// CheckName reports a name that may not be given to a base, adapter or variant.
func CheckName(field, name string) error {
	if !nameRule.MatchString(name) {
		return invalid.Field(field, "%q is not a name: lower-case letters, digits, '.', '_' and '-', beginning with a letter or digit, 64 at most", name)
	}
	return nil
}

// Broken lists the damaged records of versions, which are not served.
func (r *Registry) Broken() []error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(r.names)) {
		for _, n := range slices.Sorted(maps.Keys(r.names[name].broken)) {
			errs = append(errs, fmt.Errorf("adapter %s@%d: %w: %w", name, n, ErrCorrupt, r.names[name].broken[n]))
		}
	}
	return errs
}

// Resolve finds "name" (its current version) or "name@3".
func (r *Registry) Resolve(ctx context.Context, ref string) (Version, error) {
	name, number, err := parse(ref)
	if err != nil {
		return Version{}, err
	}
	if v, ok := r.lookup(name, number); ok {
		return v, nil
	}
	if err := r.Refresh(ctx, name); err != nil {
		return Version{}, err
	}
	if v, ok := r.lookup(name, number); ok {
		return v, nil
	}
	if err := r.damaged(name, number); err != nil {
		return Version{}, err
	}
	return Version{}, r.missing(ref, name)
}

// damaged says that the version exists and cannot be read, nil otherwise.
func (r *Registry) damaged(name string, number int) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if s, ok := r.names[name]; ok && s.broken[number] != nil && !s.deleted[number] {
		return fmt.Errorf("adapter %s@%d: %w: %w", name, number, ErrCorrupt, s.broken[number])
	}
	return nil
}

// parse splits "name@3"; number 0 means the current one.
func parse(ref string) (name string, number int, err error) {
	name, v, versioned := strings.Cut(ref, "@")
	if !nameRule.MatchString(name) {
		return "", 0, fmt.Errorf("%w: %q", ErrName, ref)
	}
	if versioned {
		number, err = strconv.Atoi(v)
		if err != nil || number < 1 {
			return "", 0, fmt.Errorf("%w: %q: a version is a number from 1", ErrName, ref)
		}
	}
	return name, number, nil
}

func (r *Registry) lookup(name string, number int) (Version, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s, ok := r.names[name]
	if !ok {
		return Version{}, false
	}
	if number == 0 {
		number = s.current
	}
	v, ok := s.versions[number]
	return v, ok && !s.deleted[number]
}

// missing says what there is instead.
func (r *Registry) missing(ref, name string) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s, ok := r.names[name]
	if !ok || len(s.live()) == 0 {
		return fmt.Errorf("%w: %q does not exist", ErrNotFound, ref)
	}
	return fmt.Errorf("%w: %q does not exist; versions: %s", ErrNotFound, ref, strings.Trim(strings.ReplaceAll(fmt.Sprint(s.live()), " ", ", "), "[]"))
}

// Summary is one name: its live versions, oldest first, and the current one.
type Summary struct {
	Name     string    `json:"name"`
	Current  int       `json:"current"`
	Versions []Version `json:"versions"`
}

// List gives every name that has a live version, in order.
func (r *Registry) List(context.Context) []Summary {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := []Summary{}
	for _, name := range slices.Sorted(maps.Keys(r.names)) {
		if s := r.names[name].summary(name); len(s.Versions) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// Digests gives the contents of all versions that are not deleted.
func (r *Registry) Digests() map[string]bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := map[string]bool{}
	for _, s := range r.names {
		for n, v := range s.versions {
			if !s.deleted[n] {
				all[v.Digest] = true
			}
		}
	}
	return all
}

func (s *series) summary(name string) Summary {
	sum := Summary{Name: name, Current: s.current, Versions: []Version{}}
	for _, n := range s.live() {
		sum.Versions = append(sum.Versions, s.versions[n])
	}
	return sum
}

// Get gives one name.
func (r *Registry) Get(ctx context.Context, name string) (Summary, error) {
	v, err := r.Resolve(ctx, name)
	if err != nil {
		return Summary{}, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.names[v.Name].summary(v.Name), nil
}

// Admits reports whether a new version may carry the name: all versions of a name are
// of one kind and for one base, so that a newer one cannot break who asks for the name.
func (r *Registry) Admits(ctx context.Context, name, base, kind string) error {
	s, err := r.Get(ctx, name)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrName) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, v := range s.Versions {
		if v.Base != base || v.Kind != kind {
			return invalid.Field("name", "%s is %s for base %s: delete it, or choose another name", v.Ref, kinds[v.Kind], v.Base)
		}
	}
	return nil
}

var kinds = map[string]string{KindAdapter: "an adapter", KindVariant: "a full fine-tune"}

// Register records a new version under the next number, which v.Ref need not carry.
// A job registers once: doing it again gives what the first time made.
func (r *Registry) Register(ctx context.Context, v Version) (Version, error) {
	if err := CheckName("name", v.Name); err != nil {
		return v, err
	}
	if err := r.Refresh(ctx, v.Name); err != nil {
		return v, err
	}
	v.Digest = digest(v.Files)
	v.CreatedAt = v.CreatedAt.UTC().Truncate(time.Millisecond)
	v.Bytes = 0
	for _, f := range v.Files {
		v.Bytes += f.Size
	}
	if err := r.Owns(ctx, v.Tenant, v.Name); err != nil {
		return v, err
	}
	r.mu.Lock()
	s := r.series(v.Name)
	v.Version = s.newest() + 1
	v = s.overtaken(v)
	if v.Job != "" {
		for _, old := range s.versions {
			if old.Job == v.Job {
				r.mu.Unlock()
				return old, nil
			}
		}
	}
	r.mu.Unlock()
	for ; ; v.Version++ {
		b, err := json.Marshal(v)
		if err != nil {
			return v, err
		}
		k := key(v.Name, "versions", v.Version)
		switch err := r.store.Create(ctx, k, b); {
		case err == nil:
			return v, r.changed(ctx, v.Name)
		case !errors.Is(err, store.ErrExists):
			return v, fmt.Errorf("adapter %s: %w", v.Ref, err)
		}
		if err := r.changed(ctx, v.Name); err != nil { // somebody else took the number
			return v, err
		}
		if taken, ok := r.lookup(v.Name, v.Version); ok && v.Job != "" && taken.Job == v.Job {
			return taken, nil
		}
		if err := r.Owns(ctx, v.Tenant, v.Name); err != nil { // and with it the name
			return v, err
		}
		r.mu.RLock()
		v = r.names[v.Name].overtaken(v)
		r.mu.RUnlock()
	}
}

func key(name, kind string, n int) string { return fmt.Sprintf("adapters/%s/%s/%09d", name, kind, n) }

// digest is the content of a version: the names and digests of its files.
func digest(files map[string]File) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s %s\n", name, files[name].Digest)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

func (r *Registry) changed(ctx context.Context, name string) error {
	if err := r.Refresh(ctx, name); err != nil {
		return err
	}
	if r.Changed != nil {
		r.Changed(name)
	}
	return nil
}

// Rollback makes an older version current, until a newer one is registered. It ends a
// split of the traffic.
func (r *Registry) Rollback(ctx context.Context, name string, number int) (Version, error) {
	// A version that another process registered just before must not outlast this.
	if err := r.Refresh(ctx, name); err != nil {
		return Version{}, err
	}
	v, err := r.Resolve(ctx, fmt.Sprintf("%s@%d", name, number))
	if err != nil {
		return v, err
	}
	r.mu.RLock()
	s := r.names[name]
	next := newestKey(s.rollbacks) + 1
	b, err := json.Marshal(rollback{Version: number, Newest: s.newest(), Traffic: newestKey(s.traffic), Time: time.Now().UTC()})
	r.mu.RUnlock()
	if err != nil {
		return v, err
	}
	if err := r.add(ctx, name, "rollbacks", next, b); err != nil {
		return v, fmt.Errorf("adapter %s: roll back: %w", v.Ref, err)
	}
	return v, r.changed(ctx, name)
}

// add creates a record of a kind of which the latest counts, under the first number from
// next on that nobody has taken.
func (r *Registry) add(ctx context.Context, name, kind string, next int, b []byte) error {
	for ; ; next++ {
		if err := r.store.Create(ctx, key(name, kind, next), b); !errors.Is(err, store.ErrExists) {
			return err
		}
	}
}

// Delete removes a version for good, or all of a name with number 0. Requests in
// flight end well: they hold what they need; the bytes are collected later.
func (r *Registry) Delete(ctx context.Context, name string, number int) error {
	if err := r.Refresh(ctx, name); err != nil { // all versions are more than this process may know of
		return err
	}
	s, err := r.Get(ctx, name)
	if err != nil {
		return err
	}
	found := false
	// The current one goes last: until the name is gone it means what it meant.
	if i := slices.IndexFunc(s.Versions, func(v Version) bool { return v.Version == s.Current }); i >= 0 {
		last := s.Versions[i]
		s.Versions = append(slices.Delete(s.Versions, i, i+1), last)
	}
	for _, v := range s.Versions {
		if number != 0 && v.Version != number {
			continue
		}
		found = true
		err := r.store.Create(ctx, key(name, "deleted", v.Version), []byte("{}"))
		if err != nil && !errors.Is(err, store.ErrExists) {
			return fmt.Errorf("adapter %s: delete: %w", v.Ref, err)
		}
	}
	if !found {
		return r.missing(fmt.Sprintf("%s@%d", name, number), name)
	}
	return r.changed(ctx, name)
}
