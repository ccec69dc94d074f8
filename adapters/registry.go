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

// series is everything known of one name.
type series struct {
	versions  map[int]Version
	rollbacks map[int]rollback
	traffic   map[int]Traffic
	deleted   map[int]bool
	broken    map[int]error // versions whose record cannot be read: never served
}

// rollback makes Version current as long as no version above Newest exists.
type rollback struct {
	Version int       `json:"version"`
	Newest  int       `json:"newest"`
	Traffic int       `json:"traffic,omitempty"` // the last split that it ends
	Time    time.Time `json:"time"`
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

// Refresh takes in what other processes have changed.
func (r *Registry) Refresh(ctx context.Context) error { return r.refresh(ctx, "adapters/") }

func (r *Registry) refresh(ctx context.Context, under string) error {
	keys, err := r.store.List(ctx, under)
	if err != nil {
		return fmt.Errorf("adapters: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range keys {
		if err := r.learn(ctx, k); err != nil {
			return fmt.Errorf("adapters: record %s: %w", k, err)
		}
	}
	return nil
}

// learn reads one record unless it is known. mu is held.
func (r *Registry) learn(ctx context.Context, k string) error {
	part := strings.Split(k, "/")
	if len(part) != 4 {
		return nil
	}
	n, err := strconv.Atoi(part[3])
	if err != nil {
		return nil
	}
	s := r.series(part[1])
	var broken error
	switch part[2] {
	case "versions":
		broken, err = read(ctx, r.store, k, s.versions, n)
	case "rollbacks":
		broken, err = read(ctx, r.store, k, s.rollbacks, n)
	case "traffic":
		broken, err = read(ctx, r.store, k, s.traffic, n)
	case "deleted":
		s.deleted[n] = true
	}
	if delete(s.broken, n); broken != nil && part[2] == "versions" {
		s.broken[n] = broken
	}
	return err
}

// read reads one record. That its contents are damaged must not hide the others: it is
// told apart from an error of the store.
func read[V any](ctx context.Context, s Store, k string, into map[int]V, n int) (broken, err error) {
	if _, known := into[n]; known {
		return nil, nil
	}
	b, err := s.Get(ctx, k)
	switch {
	case errors.Is(err, store.ErrNotFound): // deleted since the listing
		return nil, nil
	case errors.Is(err, store.ErrCorrupt):
		return err, nil
	case err != nil:
		return nil, err
	}
	var v V
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("record %s: %w", k, err), nil
	}
	into[n] = v
	return nil, nil
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

// series gives the entry of a name. mu is held.
func (r *Registry) series(name string) *series {
	s, ok := r.names[name]
	if !ok {
		s = &series{versions: map[int]Version{}, rollbacks: map[int]rollback{}, traffic: map[int]Traffic{}, deleted: map[int]bool{}, broken: map[int]error{}}
		r.names[name] = s
	}
	return s
}

// live lists the numbers of the versions that are not deleted.
func (s *series) live() []int {
	var n []int
	for v := range s.versions {
		if !s.deleted[v] {
			n = append(n, v)
		}
	}
	slices.Sort(n)
	return n
}

// newest is the highest number ever used.
func (s *series) newest() int {
	n := 0
	for v := range s.versions {
		n = max(n, v)
	}
	for v := range s.deleted {
		n = max(n, v)
	}
	for v := range s.broken {
		n = max(n, v)
	}
	return n
}

// current is the version that the bare name means; 0: none is left. One that did not pass
// its gate is it only after a rollback to it, or when no other is left.
func (s *series) current() int {
	live := s.live()
	if len(live) == 0 {
		return 0
	}
	top := live[len(live)-1]
	for _, n := range slices.Backward(live) {
		if v := s.versions[n]; !v.held() {
			top = n
			break
		}
	}
	if len(s.rollbacks) == 0 {
		return top
	}
	last := s.rollbacks[slices.Max(slices.Collect(maps.Keys(s.rollbacks)))]
	if top > last.Newest || !slices.Contains(live, last.Version) {
		return top
	}
	return last.Version
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
	if err := r.refresh(ctx, "adapters/"+name+"/"); err != nil {
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
		number = s.current()
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

func (s *series) summary(name string) Summary {
	sum := Summary{Name: name, Current: s.current(), Versions: []Version{}}
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
	if err := r.refresh(ctx, "adapters/"+v.Name+"/"); err != nil {
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
	if err := r.refresh(ctx, "adapters/"+name+"/"); err != nil {
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
	if nameRule.MatchString(name) { // what is split is more than this process may know of
		if err := r.refresh(ctx, "adapters/"+name+"/"); err != nil {
			return Version{}, err
		}
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
	for ; ; next++ {
		err := r.store.Create(ctx, key(name, "rollbacks", next), b)
		if err == nil {
			return v, r.changed(ctx, name)
		}
		if !errors.Is(err, store.ErrExists) {
			return v, fmt.Errorf("adapter %s: roll back: %w", v.Ref, err)
		}
	}
}

// Delete removes a version for good, or all of a name with number 0. Requests in
// flight end well: they hold what they need; the bytes are collected later.
func (r *Registry) Delete(ctx context.Context, name string, number int) error {
	if nameRule.MatchString(name) { // all versions are more than this process may know of
		if err := r.refresh(ctx, "adapters/"+name+"/"); err != nil {
			return err
		}
	}
	s, err := r.Get(ctx, name)
	if err != nil {
		return err
	}
	found := false
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
