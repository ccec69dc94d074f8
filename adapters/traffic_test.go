package adapters

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"lorikeet/adapters/invalid"
)

func TestTrafficIsSplitByWeight(t *testing.T) {
	dir := t.TempDir()
	r := openRegistry(t, dir)
	for i := range 4 {
		register(t, r, "imdb", fmt.Sprint(i))
	}
	other := openRegistry(t, dir)
	shares := func(r *Registry, who func(i int) Asker) map[int]float64 {
		t.Helper()
		const n = 4000
		got := map[int]float64{}
		for i := range n {
			v, err := r.Route(t.Context(), "imdb", who(i))
			if err != nil {
				t.Fatal(err)
			}
			got[v.Version] += 1.0 / n
		}
		return got
	}
	nobody := func(int) Asker { return Asker{} }
	caller := func(i int) Asker { return Asker{Key: fmt.Sprint("user", i), Client: "key_1"} }
	near := func(got map[int]float64, want map[int]float64) {
		t.Helper()
		for v := 1; v <= 5; v++ {
			if math.Abs(got[v]-want[v]) > 0.04 { // five deviations of 4000 draws at one half
				t.Errorf("shares %v, want %v", got, want)
				return
			}
		}
	}
	if _, splits := r.Splits("imdb"); splits {
		t.Error("it is split unasked")
	}
	near(shares(r, nobody), map[int]float64{4: 1})

	if err := r.Split(t.Context(), "imdb", Traffic{Versions: map[int]int{3: 90, 4: 10}, Sticky: StickyHeader}); err != nil {
		t.Fatal(err)
	}
	if err := other.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	near(shares(r, nobody), map[int]float64{3: .9, 4: .1})
	near(shares(r, caller), map[int]float64{3: .9, 4: .1})
	was := map[int]int{}
	for i := range 200 { // the same caller, the same version, in every process
		a, _ := r.Route(t.Context(), "imdb", caller(i))
		b, _ := other.Route(t.Context(), "imdb", caller(i))
		if was[i] = a.Version; a.Version != b.Version {
			t.Fatalf("caller %d is on version %d here and on %d elsewhere", i, a.Version, b.Version)
		}
	}
	if v, err := r.Route(t.Context(), "imdb@1", caller(1)); err != nil || v.Version != 1 {
		t.Errorf("a version that is named: %v, %v", v.Ref, err)
	}
	if got := current(t, r, "imdb"); got != 4 {
		t.Errorf("the current version is %d while traffic is split", got)
	}
	if err := r.Split(t.Context(), "imdb", Traffic{Versions: map[int]int{3: 50, 4: 50}, Sticky: StickyHeader}); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if v, _ := r.Route(t.Context(), "imdb", caller(i)); was[i] == 4 && v.Version != 4 {
			t.Fatalf("caller %d left the canary when it grew", i)
		}
	}
	register(t, r, "imdb", "5")
	near(shares(r, nobody), map[int]float64{3: .5, 4: .5}) // a new version waits
	if err := r.Delete(t.Context(), "imdb", 4); err != nil {
		t.Fatal(err)
	}
	near(shares(r, nobody), map[int]float64{3: 1})

	if _, err := r.Rollback(t.Context(), "imdb", 2); err != nil { // ends it
		t.Fatal(err)
	}
	near(shares(r, nobody), map[int]float64{2: 1})
	if err := r.Split(t.Context(), "imdb", Traffic{Versions: map[int]int{1: 1, 2: 1}, Sticky: StickyClient}); err != nil {
		t.Fatal(err)
	}
	if got := shares(r, caller); len(got) != 1 { // one client
		t.Errorf("one client has the shares %v", got)
	}
	again := openRegistry(t, dir)
	near(shares(again, nobody), map[int]float64{1: .5, 2: .5})
	for range 2 { // ending what has ended is no fault
		if err := r.Split(t.Context(), "imdb", Traffic{}); err != nil {
			t.Fatal(err)
		}
	}
	near(shares(r, nobody), map[int]float64{2: 1})
}

func TestTrafficIsRefused(t *testing.T) {
	r := openRegistry(t, t.TempDir())
	register(t, r, "imdb", "a")
	for name, c := range map[string]struct {
		t     Traffic
		field string
	}{
		"an unknown version": {Traffic{Versions: map[int]int{1: 1, 7: 1}, Sticky: StickyNone}, "versions.7"},
		"a negative weight":  {Traffic{Versions: map[int]int{1: -1}, Sticky: StickyNone}, "versions.1"},
		"a huge weight":      {Traffic{Versions: map[int]int{1: math.MaxInt}, Sticky: StickyNone}, "versions.1"},
		"no weight at all":   {Traffic{Versions: map[int]int{1: 0}, Sticky: StickyNone}, "versions"},
		"another stickiness": {Traffic{Versions: map[int]int{1: 1}, Sticky: "cookie"}, "sticky"},
	} {
		faults := invalid.Faults(r.Split(t.Context(), "imdb", c.t))
		if len(faults) == 0 || faults[0].Field != c.field {
			t.Errorf("%s: %v", name, faults)
		}
	}
	if err := r.Split(t.Context(), "nope", Traffic{Versions: map[int]int{1: 1}, Sticky: StickyNone}); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown name: %v", err)
	}
}
