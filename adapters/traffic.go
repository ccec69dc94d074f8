package adapters

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"lorikeet/adapters/invalid"
)

// Traffic splits the requests for a bare name between versions of it. It holds until it is
// ended, or until a rollback, which is the one call that always brings a version back; a
// version that is registered meanwhile waits. The latest record counts:
//
//	adapters/<name>/traffic/<k>   a Traffic; without versions: the split has ended
type Traffic struct {
	Versions map[int]int `json:"versions"` // number to weight
	Sticky   string      `json:"sticky"`
	Time     time.Time   `json:"time"`

	// Of one in force:
	numbers []int // of the versions, in order
	total   int   // weight
}

// What keeps a caller on one version: a key that the request carries, the caller's API
// key, or nothing.
const (
	StickyHeader = "header"
	StickyClient = "client"
	StickyNone   = "none"
)

// Bounds of a split.
const (
	MaxTrafficVersions = 16
	MaxTrafficWeight   = 1_000_000
)

// Asker is who asks for a name, as far as a split cares. Empty fields are as good as new
// askers each time.
type Asker struct {
	Key    string // that the request carries
	Client string // id of the API key
}

// check reports everything that is wrong with a split of this series. mu is held.
func (s *series) check(name string, t Traffic) error {
	var errs []error
	if n := len(t.Versions); n < 1 || n > MaxTrafficVersions {
		errs = append(errs, invalid.Field("versions", "must name between 1 and %d versions with their weights, has %d", MaxTrafficVersions, n))
	}
	total := 0
	for _, n := range slices.Sorted(maps.Keys(t.Versions)) {
		field, weight := "versions."+strconv.Itoa(n), t.Versions[n]
		if !slices.Contains(s.live(), n) {
			errs = append(errs, invalid.Field(field, "%s@%d does not exist; versions: %v", name, n, s.live()))
		}
		if weight < 0 || weight > MaxTrafficWeight {
			errs = append(errs, invalid.Field(field, "a weight is between 0 and %d, this is %d", MaxTrafficWeight, weight))
		}
		total += max(weight, 0)
	}
	if total == 0 && len(t.Versions) > 0 {
		errs = append(errs, invalid.Field("versions", "no version has a weight above 0"))
	}
	if !slices.Contains([]string{StickyHeader, StickyClient, StickyNone}, t.Sticky) {
		errs = append(errs, invalid.Field("sticky", "%q is none of header, client, none", t.Sticky))
	}
	return errors.Join(errs...)
}

// inForce is the traffic in force, as far as its versions still exist. mu is held.
func (s *series) inForce() *Traffic {
	last := newestKey(s.traffic)
	if last == 0 || len(s.rollbacks) > 0 && s.rollbacks[newestKey(s.rollbacks)].Traffic >= last {
		return nil
	}
	t := s.traffic[last]
	left := map[int]int{}
	for n, weight := range t.Versions {
		if _, ok := s.versions[n]; ok && !s.deleted[n] {
			left[n] = weight
			t.total += weight
		}
	}
	if t.total == 0 {
		return nil
	}
	t.Versions, t.numbers = left, slices.Sorted(maps.Keys(left))
	return &t
}

// pick draws a version. The same key draws the same one, and goes on to do so while the
// weights of later versions only grow.
func (t *Traffic) pick(name string, who Asker) int {
	key := ""
	switch t.Sticky {
	case StickyHeader:
		key = who.Key
	case StickyClient:
		key = who.Client
	}
	at := rand.Float64() //nolint:gosec // which version answers is no secret
	if key != "" {
		sum := sha256.Sum256([]byte(name + "\x00" + key))
		at = float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
	}
	left := at * float64(t.total)
	for _, n := range t.numbers {
		if left -= float64(t.Versions[n]); left < 0 {
			return n
		}
	}
	return t.numbers[len(t.numbers)-1] // rounding
}

// Route finds the version that answers a request: of a bare name whose traffic is split,
// the one that falls to this asker; else as Resolve does.
func (r *Registry) Route(ctx context.Context, ref string, who Asker) (Version, error) {
	if v, ok := r.routed(ref, who); ok {
		return v, nil
	}
	return r.Resolve(ctx, ref)
}

func (r *Registry) routed(ref string, who Asker) (Version, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s, ok := r.names[ref]
	if !ok || s.split == nil {
		return Version{}, false
	}
	return s.versions[s.split.pick(ref, who)], true
}

// Splits tells how a name's requests are split, and whether they are.
func (r *Registry) Splits(name string) (Traffic, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if s, ok := r.names[name]; ok && s.split != nil {
		t := *s.split
		t.Versions = maps.Clone(t.Versions)
		return t, true
	}
	return Traffic{}, false
}

// Split splits a name's requests, or with no versions ends that they are.
func (r *Registry) Split(ctx context.Context, name string, t Traffic) error {
	if _, err := r.Get(ctx, name); err != nil {
		return err
	}
	if err := r.Refresh(ctx, name); err != nil {
		return err
	}
	t.Time = time.Now().UTC()
	r.mu.RLock()
	s := r.names[name]
	next := newestKey(s.traffic) + 1
	splits := s.split != nil
	var err error
	if len(t.Versions) > 0 {
		err = s.check(name, t)
	}
	r.mu.RUnlock()
	if err != nil || len(t.Versions) == 0 && !splits {
		return err
	}
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if err := r.add(ctx, name, "traffic", next, b); err != nil {
		return fmt.Errorf("adapter %s: traffic: %w", name, err)
	}
	return r.changed(ctx, name)
}
