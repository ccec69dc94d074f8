package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning"
)

// gone checks that for a process there is no such job.
func (p *process) gone(t *testing.T, id string) {
	t.Helper()
	_, got := p.Get(t.Context(), id)
	_, events := p.Events(t.Context(), id, "", 0)
	_, wait := p.Wait(t.Context(), id, 0)
	_, cancel := p.Cancel(t.Context(), id)
	_, resume := p.Resume(t.Context(), id)
	_, checkpoints := p.Checkpoints(t.Context(), id)
	_, follow := p.Follow(t.Context(), id, "")
	for _, err := range []error{got, events, wait, cancel, resume, checkpoints, follow, p.Delete(t.Context(), id)} {
		if !errors.Is(err, tuning.ErrNotFound) {
			t.Errorf("%v; want %v", err, tuning.ErrNotFound)
		}
	}
	jobs, _, err := p.List(t.Context(), Filter{})
	must(t, err)
	for _, j := range jobs {
		if j.ID == id {
			t.Errorf("%s is listed", id)
		}
	}
}

func keyed(spec *tuning.Spec) { spec.IdempotencyKey = "once" }

// spent checks that the key of a deleted job makes no other.
func (p *process) spent(t *testing.T) {
	t.Helper()
	spec := tuning.Spec{Kind: tuning.LoRA, Model: "bert", Name: "imdb"}
	keyed(&spec)
	if j, _, err := p.Submit(t.Context(), spec, Inputs{}); !errors.Is(err, tuning.ErrConflict) || !strings.Contains(err.Error(), "use another key") {
		t.Errorf("its key makes %+v, %v", j, err)
	}
}

func (p *process) folders(t *testing.T) []string {
	t.Helper()
	names, err := p.store.Children(t.Context(), jobsFolder)
	must(t, err)
	return names
}

func TestAJobThatIsOverCanBeDeleted(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p, other := s.open(true), s.open(true)
		j := p.submit("imdb", keyed)
		if err := p.Delete(t.Context(), j.ID); !errors.Is(err, tuning.ErrState) {
			t.Errorf("a job that waits is deleted: %v", err)
		}
		other.work(s.trainer(3, 1))
		p.await(j.ID, tuning.Succeeded)
		other.await(j.ID, tuning.Succeeded)
		must(t, p.Delete(t.Context(), j.ID))
		for _, p := range []*process{p, other} {
			p.gone(t, j.ID)
			p.spent(t)
		}
		if left := p.folders(t); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
		k := p.submit("imdb") // without a key as often as one likes
		p.await(k.ID, tuning.Succeeded)
		if n := s.called[j.ID]; n != 1 {
			t.Errorf("registered %d times", n)
		}
	})
}

// A process dies after the n-th deletion, for each n there is.
func TestADeletionThatDiesHalfwayLeavesAWholeJobOrNone(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		finished := false
		t.Run(fmt.Sprint("after deletion ", n), func(t *testing.T) {
			s := realSite(t)
			p, dying := s.open(true), s.open(false)
			p.work(s.trainer(3, 1))
			j := p.submit("imdb", keyed)
			p.await(j.ID, tuning.Succeeded)
			before, err := p.Get(t.Context(), j.ID)
			must(t, err)
			count := 0
			s.deletes = func(string) {
				if count++; count == n {
					dying.kill()
				}
			}
			err = dying.Delete(t.Context(), j.ID)
			s.deletes = nil
			if finished = count < n; finished {
				must(t, err)
			}
			must(t, p.Reconcile(t.Context()))
			if got, err := p.Get(t.Context(), j.ID); err == nil {
				if got.Status != before.Status || got.Attempt != before.Attempt {
					t.Errorf("it is %s in attempt %d", got.Status, got.Attempt)
				}
				must(t, p.Delete(t.Context(), j.ID))
			}
			p.gone(t, j.ID)
			p.spent(t)
			_, err = p.Collect(t.Context(), func(string) bool { return true }, -anAge)
			must(t, err)
			if left := p.folders(t); len(left) != 0 {
				t.Errorf("left: %q", left)
			}
			if s.called[j.ID] != 1 {
				t.Errorf("registered %d times", s.called[j.ID])
			}
		})
		if finished || t.Failed() {
			if n < 4 {
				t.Errorf("only %d deletions", n)
			}
			return
		}
	}
}

// age gives the records of a job another age by the store's clock.
func (s *site) age(t *testing.T, id string, age time.Duration) {
	t.Helper()
	then := time.Now().Add(-age)
	if s.fake { // files have the time of the machine
		out, err := os.Stat(filepath.Join(s.dir, "store", "queue", "identity"))
		must(t, err)
		then = out.ModTime().Add(-age)
	}
	must(t, filepath.WalkDir(filepath.Join(s.dir, "store", "jobs", id), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Chtimes(path, then, then)
		}
		if errors.Is(err, fs.ErrNotExist) { // what is of no more use goes
			return nil
		}
		return err
	}))
}

// By the fake clock every job says that it ended decades ago, as if a process whose clock
// is wrong had ended it: the store's clock counts too.
func TestCollectDeletesJobsThatWereOverForLong(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		keep := func(o *Options) { o.Keep = 48 * time.Hour }
		p := s.open(true, keep)
		tr := s.trainer(3, 1)
		p.work(tr)
		j := p.submit("imdb", keyed)
		p.await(j.ID, tuning.Succeeded)
		collect := func(p *process) Collected {
			c, err := p.Collect(t.Context(), func(string) bool { return false }, anAge)
			must(t, err)
			return c
		}
		if c := collect(p); c.Jobs != 0 {
			t.Errorf("a young job is deleted")
		}
		s.age(t, j.ID, 47*time.Hour)
		if c := collect(p); c.Jobs != 0 {
			t.Errorf("a job of 47 hours is deleted")
		}
		s.age(t, j.ID, 49*time.Hour)
		if c := collect(s.open(false)); c.Jobs != 0 {
			t.Errorf("a process that is to keep all deletes")
		}
		if !s.fake {
			// It ended a moment ago, as it says itself.
			if c := collect(p); c.Jobs != 0 {
				t.Errorf("a job that says it is young is deleted")
			}
			p.o.Keep = time.Millisecond
		}
		if c := collect(p); c.Jobs != 1 {
			t.Errorf("%d jobs are deleted", c.Jobs)
		}
		p.gone(t, j.ID)
		p.spent(t)
		if _, err := p.Get(t.Context(), j.ID); s.fake && !strings.Contains(err.Error(), "kept for 2 days") {
			t.Errorf("%v", err)
		}
		if left := p.folders(t); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// A worker that was frozen while its job was cancelled and deleted stops at once, and
// what it still writes is swept up.
func TestAWorkerOfADeletedJobStops(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.open(true)
		tr := s.trainer(1000, 5)
		w := s.work(tr)
		j := p.submit("imdb")
		p.reached(j.ID, 10)
		w.freeze()
		_, err := p.Cancel(t.Context(), j.ID)
		must(t, err)
		must(t, p.Delete(t.Context(), j.ID))
		p.gone(t, j.ID)
		w.thaw()
		s.until(func() bool { return tr.running.Load() == 0 }, "its trainer to stop")
		w.stop()
		must(t, p.Reconcile(t.Context()))
		st, err := p.Stats(t.Context())
		must(t, err)
		for _, c := range st.Classes {
			if c.Queued+c.Running != 0 {
				t.Errorf("left in Redis: %+v", c)
			}
		}
		_, err = p.Collect(t.Context(), func(string) bool { return true }, anAge)
		must(t, err)
		_, err = p.Collect(t.Context(), func(string) bool { return true }, -anAge)
		must(t, err)
		if left := p.folders(t); len(left) != 0 || s.called[j.ID] != 0 {
			t.Errorf("left: %q; registered %d times", left, s.called[j.ID])
		}
	})
}

// Records without a spec may be of a store that is being copied.
func TestYoungRecordsWithoutASpecStay(t *testing.T) {
	t.Parallel()
	s := fakeSiteOutside(t)
	p := s.open(false)
	id := idPrefix + strings.Repeat("a", idLength)
	must(t, p.create(t.Context(), numberKey(id, keyAttempts, 1), attemptRecord{}))
	_, err := p.Collect(t.Context(), func(string) bool { return true }, time.Hour)
	must(t, err)
	if left := p.folders(t); len(left) != 1 {
		t.Fatalf("left: %q", left)
	}
	s.age(t, id, 2*time.Hour)
	_, err = p.Collect(t.Context(), func(string) bool { return true }, time.Hour)
	must(t, err)
	if left := p.folders(t); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

func TestAFollowerOfADeletedJobIsLetGo(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.open(false)
		j := p.submit("imdb")
		p.cut() // no news reach it
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		events, err := p.Follow(ctx, j.ID, "")
		must(t, err)
		other := s.open(false)
		_, err = other.Cancel(t.Context(), j.ID)
		must(t, err)
		must(t, other.Delete(t.Context(), j.ID))
		for range events {
		}
		if ctx.Err() != nil {
			t.Error("it waits on")
		}
	})
}

// A client that deletes what it lists goes on after a job that is gone.
func TestAListingGoesOnAfterADeletedJob(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p, other := s.open(false), s.open(false)
		var ids []string // the newest first
		for range 4 {
			j := p.submit("imdb", func(spec *tuning.Spec) { spec.Tenant = "acme" })
			_, err := p.Cancel(t.Context(), j.ID)
			must(t, err)
			ids = append([]string{j.ID}, ids...)
		}
		_, _, err := other.List(t.Context(), Filter{})
		must(t, err)
		for _, id := range ids[1:3] {
			must(t, p.Delete(t.Context(), id))
		}
		late := s.open(false) // has never seen them: Redis tells
		goesOn := func(p *process, want bool) {
			t.Helper()
			for _, after := range ids[1:3] {
				mine, strange := "acme", "strange"
				jobs, more, err := p.List(t.Context(), Filter{After: after, Tenant: &mine})
				if want && (err != nil || more || len(jobs) != 1 || jobs[0].ID != ids[3]) {
					t.Errorf("after %s come %v, %v", after, jobs, err)
				}
				if !want && !invalid.Is(err) {
					t.Errorf("after %s, which it cannot know: %v", after, err)
				}
				if _, _, err := p.List(t.Context(), Filter{After: after, Tenant: &strange}); !invalid.Is(err) {
					t.Errorf("another tenant's: %v", err)
				}
			}
		}
		for _, p := range []*process{p, other, late} {
			goesOn(p, true)
		}
		s.redis.flush()
		for _, p := range []*process{p, other} {
			goesOn(p, true)
		}
		goesOn(late, false)
		if _, _, err := p.List(t.Context(), Filter{After: newID("", "")}); !invalid.Is(err) {
			t.Errorf("after a job that never was: %v", err)
		}
	})
}

func TestTheIndexRemembersSoManyJobsThatAreGone(t *testing.T) {
	x := newIndex()
	for i := range mostGone + 5 {
		id := fmt.Sprint(i)
		x.put(entry{id: id})
		x.drop(id, "unknown")
	}
	x.put(entry{id: "7"}) // it comes back, and goes again
	x.drop("7")
	if _, known := x.place("4"); known || len(x.gone) != mostGone || len(x.leave) != mostGone {
		t.Errorf("%d are remembered", len(x.gone))
	}
	if _, known := x.place("5"); !known {
		t.Error("a late one is forgotten")
	}
}
