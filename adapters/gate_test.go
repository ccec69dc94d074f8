package adapters

import (
	"strings"
	"testing"
)

// gated registers a version whose gate gave this.
func gated(t *testing.T, r *Registry, job string, g Gate) Version {
	t.Helper()
	f, err := r.Put(t.Context(), strings.NewReader(job))
	if err != nil {
		t.Fatal(err)
	}
	v, err := r.Register(t.Context(), Version{Ref: Ref{Name: "imdb"}, Kind: KindAdapter, Base: "b", Job: job, Gate: &g, Files: map[string]File{"f": f}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAVersionThatDidNotPassIsNotCurrent(t *testing.T) {
	dir := t.TempDir()
	r := openRegistry(t, dir)
	is := func(want int, when string) {
		t.Helper()
		for who, r := range map[string]*Registry{"here": r, "elsewhere": openRegistry(t, dir)} {
			if got := current(t, r, "imdb"); got != want {
				t.Errorf("%s, %s: current is %d, want %d", when, who, got, want)
			}
		}
	}
	register(t, r, "imdb", "a")
	gated(t, r, "b", Gate{Than: ThanCurrent, Version: 1})
	is(1, "after one that did not pass")
	if v, err := r.Resolve(t.Context(), "imdb@2"); err != nil || v.Gate == nil {
		t.Errorf("under its number: %+v, %v", v, err)
	}
	gated(t, r, "c", Gate{Promoted: true, Than: ThanCurrent, Version: 1})
	is(3, "after one that passed")
	if v := gated(t, r, "d", Gate{Promoted: true, Than: ThanCurrent, Version: 1, Reason: "0.9"}); v.Gate.Promoted || !strings.Contains(v.Gate.Reason, "imdb@3") || !strings.Contains(v.Gate.Reason, "0.9") {
		t.Errorf("compared with one that is no longer current: %+v", v.Gate)
	}
	is(3, "after one that was compared with an older one")
	if again := gated(t, r, "c", Gate{Promoted: true, Than: ThanCurrent, Version: 1}); again.Version != 3 || !again.Gate.Promoted {
		t.Errorf("a job that registers twice gets %+v", again)
	}
	if _, err := r.Rollback(t.Context(), "imdb", 2); err != nil {
		t.Fatal(err)
	}
	is(2, "after a rollback to one that did not pass")
	gated(t, r, "e", Gate{Than: ThanCurrent, Version: 2})
	is(2, "after another that did not pass")
	register(t, r, "imdb", "f")
	is(6, "after one without a gate")
	for _, n := range []int{6, 3, 1} {
		if err := r.Delete(t.Context(), "imdb", n); err != nil {
			t.Fatal(err)
		}
	}
	if got := current(t, r, "imdb"); got != 5 { // none is left that passed: better the newest than nothing
		t.Errorf("current is %d, want 5", got)
	}
}
