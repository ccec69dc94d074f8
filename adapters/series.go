package adapters

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"lorikeet/adapters/store"
)

// series is everything known of one name.
type series struct {
	versions  map[int]Version
	rollbacks map[int]rollback
	traffic   map[int]Traffic
	deleted   map[int]bool
	broken    map[int]error // versions whose record cannot be read: never served

	current int      // what the bare name means, see settle; 0: no version is left
	split   *Traffic // in force, of versions that are left, see settle; nil: none is
}

// rollback makes Version current as long as no version above Newest exists.
type rollback struct {
	Version int       `json:"version"`
	Newest  int       `json:"newest"`
	Traffic int       `json:"traffic,omitempty"` // the last split that it ends
	Time    time.Time `json:"time"`
}

// Refresh takes in what other processes have changed: of these names, or of all.
func (r *Registry) Refresh(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		return r.refresh(ctx, "adapters/")
	}
	var errs []error
	for _, name := range names {
		if nameRule.MatchString(name) {
			errs = append(errs, r.refresh(ctx, "adapters/"+name+"/"))
		}
	}
	return errors.Join(errs...)
}

// record is one record of a series as it was read.
type record struct {
	name, kind string
	n          int
	version    Version
	rollback   rollback
	traffic    Traffic
	broken     error
}

// refresh reads the records that are not known yet and takes them in together. The
// store is read without the lock: whoever resolves a name does not wait for it. Of
// each name it is listed deleted, rollbacks, traffic, versions, in this order (see
// [store.Dir.List]): a version that takes another's place was registered before the
// other was deleted, so it is seen too, and no version comes up that never was current.
func (r *Registry) refresh(ctx context.Context, under string) error {
	keys, err := r.store.List(ctx, under)
	if err != nil {
		return fmt.Errorf("adapters: %w", err)
	}
	var news []record
	for _, rec := range r.unknown(keys) {
		switch rec.kind {
		case "versions":
			rec.broken, err = read(ctx, r.store, rec.key(), &rec.version)
		case "rollbacks":
			rec.broken, err = read(ctx, r.store, rec.key(), &rec.rollback)
		case "traffic":
			rec.broken, err = read(ctx, r.store, rec.key(), &rec.traffic)
		}
		if errors.Is(err, store.ErrNotFound) { // deleted since the listing
			continue
		}
		if err != nil {
			return fmt.Errorf("adapters: record %s: %w", rec.key(), err)
		}
		news = append(news, rec)
	}
	r.learn(news)
	return nil
}

func (rec record) key() string { return key(rec.name, rec.kind, rec.n) }

// unknown picks the records that have not been read.
func (r *Registry) unknown(keys []string) []record {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var all []record
	for _, k := range keys {
		part := strings.Split(k, "/")
		if len(part) != 4 {
			continue
		}
		n, err := strconv.Atoi(part[3])
		if err != nil {
			continue
		}
		rec := record{name: part[1], kind: part[2], n: n}
		if k == rec.key() && !r.names[rec.name].knows(rec) {
			all = append(all, rec)
		}
	}
	return all
}

func (s *series) knows(rec record) (known bool) {
	if s == nil {
		return false
	}
	switch rec.kind {
	case "versions":
		_, known = s.versions[rec.n]
	case "rollbacks":
		_, known = s.rollbacks[rec.n]
	case "traffic":
		_, known = s.traffic[rec.n]
	case "deleted":
		known = s.deleted[rec.n]
	}
	return known
}

// read reads one record. That its contents are damaged must not hide the others: it is
// told apart from an error of the store.
func read[V any](ctx context.Context, s Store, k string, into *V) (broken, err error) {
	b, err := s.Get(ctx, k)
	switch {
	case errors.Is(err, store.ErrCorrupt):
		return err, nil
	case err != nil:
		return nil, err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("record %s: %w", k, err), nil
	}
	return nil, nil
}

// learn takes in records, all at once: nobody sees some of a change without the rest.
func (r *Registry) learn(news []record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := map[string]*series{}
	for _, rec := range news {
		s := r.series(rec.name)
		changed[rec.name] = s
		switch {
		case rec.kind == "versions" && rec.broken != nil:
			s.broken[rec.n] = rec.broken
		case rec.kind == "versions":
			s.versions[rec.n] = rec.version
			delete(s.broken, rec.n)
		case rec.kind == "rollbacks" && rec.broken == nil:
			s.rollbacks[rec.n] = rec.rollback
		case rec.kind == "traffic" && rec.broken == nil:
			s.traffic[rec.n] = rec.traffic
		case rec.kind == "deleted":
			s.deleted[rec.n] = true
		}
	}
	for _, s := range changed {
		s.settle()
	}
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
	return max(newestKey(s.versions), newestKey(s.deleted), newestKey(s.broken))
}

// newestKey is the highest number in m; 0: it is empty.
func newestKey[V any](m map[int]V) int {
	n := 0
	for k := range m {
		n = max(n, k)
	}
	return n
}

// settle finds the version that the bare name means, and the split in force. One that did
// not pass its gate is it only after a rollback to it, or when no other is left.
func (s *series) settle() {
	s.split = s.inForce()
	s.current = 0
	live := s.live()
	if len(live) == 0 {
		return
	}
	s.current = live[len(live)-1]
	for _, n := range slices.Backward(live) {
		if v := s.versions[n]; !v.held() {
			s.current = n
			break
		}
	}
	if len(s.rollbacks) == 0 {
		return
	}
	last := s.rollbacks[newestKey(s.rollbacks)]
	if s.current <= last.Newest && slices.Contains(live, last.Version) {
		s.current = last.Version
	}
}
