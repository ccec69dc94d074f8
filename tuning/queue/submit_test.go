package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

func TestTheSameSubmissionTwiceIsOneJob(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		spec := tuning.Spec{Kind: tuning.LoRA, Model: "bert", Name: "imdb", IdempotencyKey: "k1"}
		a, b := s.open(false), s.open(false)
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			ids   = map[string]int{}
			fresh int
		)
		for i := range 16 {
			q := a
			if i%2 == 1 {
				q = b
			}
			wg.Go(func() {
				j, replayed, err := q.Submit(t.Context(), spec, Inputs{})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				ids[j.ID]++
				if !replayed {
					fresh++
				}
			})
		}
		wg.Wait()
		if len(ids) != 1 || fresh != 1 {
			t.Errorf("%d jobs, %d taken as new", len(ids), fresh)
		}
		for name, other := range map[string]func() (tuning.Spec, Inputs){
			"another name":  func() (tuning.Spec, Inputs) { o := spec; o.Name = "other"; return o, Inputs{} },
			"another input": func() (tuning.Spec, Inputs) { return spec, Inputs{Train: "sha256:" + strings.Repeat("0", 64)} },
		} {
			o, in := other()
			if _, _, err := a.Submit(t.Context(), o, in); !errors.Is(err, tuning.ErrConflict) {
				t.Errorf("%s: %v, want a conflict", name, err)
			}
		}
		s.redis.flush()
		if _, replayed, err := b.Submit(t.Context(), spec, Inputs{}); err != nil || !replayed {
			t.Errorf("after a flush: replayed %v, %v", replayed, err)
		}
		tr := s.trainer(3, 0)
		p := s.work(tr)
		for id := range ids {
			p.proven(id, tr, 1)
		}
		if j, replayed, err := a.Submit(t.Context(), spec, Inputs{}); err != nil || !replayed || j.Status != tuning.Succeeded {
			t.Errorf("after the end: %s, replayed %v, %v", j.Status, replayed, err)
		}
		jobs, _, err := a.List(t.Context(), Filter{})
		if err != nil || len(jobs) != 1 {
			t.Errorf("%d jobs, %v", len(jobs), err)
		}
	})
}

func TestAFullQueueRefuses(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.open(true, func(o *Options) { o.MaxJobs = 2 })
		p.submit("a")
		first := p.submit("b", func(sp *tuning.Spec) { sp.IdempotencyKey = "k" })
		spec := tuning.Spec{Kind: tuning.LoRA, Name: "c"}
		if _, _, err := p.Submit(t.Context(), spec, Inputs{}); !errors.Is(err, tuning.ErrFull) {
			t.Errorf("the third: %v", err)
		}
		p.cut()
		if _, _, err := p.Submit(t.Context(), spec, Inputs{}); !errors.Is(err, tuning.ErrFull) {
			t.Errorf("the third, without Redis: %v", err)
		}
		p.join()
		if _, replayed, err := p.Submit(t.Context(), tuning.Spec{Kind: tuning.LoRA, Model: "bert", Name: "b", IdempotencyKey: "k"}, Inputs{}); err != nil || !replayed {
			t.Errorf("a replay is refused: %v", err)
		}
		_, err := p.Cancel(t.Context(), first.ID)
		must(t, err)
		s.until(func() bool { _, _, err := p.Submit(t.Context(), spec, Inputs{}); return err == nil }, "room after a cancel")
	})
}

func TestAFullDiskRefusesTheJobAndLeavesNoRecord(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.open(true, func(o *Options) { o.Store, o.Prefix = fullStore{o.Store}, "x" })
		_, _, err := p.Submit(t.Context(), tuning.Spec{Kind: tuning.LoRA, Name: "x"}, Inputs{})
		if !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("got %v", err)
		}
		if jobs, _, err := p.List(t.Context(), Filter{}); err != nil || len(jobs) != 0 {
			t.Errorf("%d jobs, %v", len(jobs), err)
		}
	})
}

func TestAProcessThatStartsWhileTheDiskIsFullServesWhatThereIs(t *testing.T) {
	s := fakeSiteOutside(t)
	j := s.open(false).submit("imdb")
	full := s.open(false, func(o *Options) { o.Store = fullStore{o.Store} })
	if got, err := full.Get(t.Context(), j.ID); err != nil || got.Name != "imdb" {
		t.Errorf("%+v, %v", got, err)
	}
}

type fullStore struct{ Store }

func (fullStore) Create(context.Context, string, []byte) error {
	return fmt.Errorf("%w: %w", store.ErrNoSpace, syscall.ENOSPC)
}

func TestWhatWouldBreakTheQueueIsRefused(t *testing.T) {
	p := fakeSiteOutside(t).open(false)
	_, _, err := p.Submit(t.Context(), tuning.Spec{Class: "../x", Priority: 5000}, Inputs{Train: "x"})
	if n := len(invalid.Faults(err)); n != 2 || !errors.Is(err, store.ErrKey) {
		t.Errorf("%d faults in %v", n, err)
	}
	for _, id := range []string{"", "job_", "x", "../../etc/passwd", "job_" + strings.Repeat("A", 20), "job_" + strings.Repeat("a", 21)} {
		if _, err := p.Get(t.Context(), id); !errors.Is(err, tuning.ErrNotFound) {
			t.Errorf("Get(%q): %v", id, err)
		}
		if _, err := p.Cancel(t.Context(), id); !errors.Is(err, tuning.ErrNotFound) {
			t.Errorf("Cancel(%q): %v", id, err)
		}
		if _, err := p.Events(t.Context(), id, "", 0); !errors.Is(err, tuning.ErrNotFound) {
			t.Errorf("Events(%q): %v", id, err)
		}
	}
}

func TestInlineRowsAreNotInTheJob(t *testing.T) {
	p := fakeSiteOutside(t).open(false)
	rows := []json.RawMessage{json.RawMessage(`{"text":"secret"}`)}
	spec := tuning.Spec{Kind: tuning.LoRA, Name: "x", Dataset: &tuning.Source{Rows: rows}, Validation: &tuning.Source{Rows: rows, Split: json.RawMessage("0.1")}}
	j, _, err := p.Submit(t.Context(), spec, Inputs{})
	must(t, err)
	j, err = p.Get(t.Context(), j.ID)
	must(t, err)
	if j.Spec.Dataset.Rows != nil || j.Spec.Validation.Rows != nil || string(j.Spec.Validation.Split) != "0.1" {
		t.Errorf("spec %+v %+v", j.Spec.Dataset, j.Spec.Validation)
	}
	if spec.Dataset.Rows == nil {
		t.Error("the caller's rows are gone")
	}
}

func TestJobsAreListedNewestFirstByPages(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.open(true)
		var want []string
		for i := range 7 {
			want = append([]string{p.submit(fmt.Sprintf("n%d", i)).ID}, want...)
		}
		for _, i := range []int{1, 4} {
			_, err := p.Cancel(t.Context(), want[i])
			must(t, err)
		}
		other := s.open(false) // has seen none of them
		all := func(f Filter) (ids []string) {
			for {
				jobs, more, err := other.List(t.Context(), f)
				must(t, err)
				if len(jobs) > f.Limit {
					t.Errorf("%d jobs on a page of %d", len(jobs), f.Limit)
				}
				for _, j := range jobs {
					ids = append(ids, j.ID)
				}
				if !more {
					return ids
				}
				f.After = ids[len(ids)-1]
			}
		}
		if got := all(Filter{Limit: 3}); !slices.Equal(got, want) {
			t.Errorf("listed %v, want %v", got, want)
		}
		if got := all(Filter{Limit: 7}); !slices.Equal(got, want) {
			t.Errorf("listed %v, want %v", got, want)
		}
		if got := all(Filter{Limit: 1, Status: tuning.Cancelled}); !slices.Equal(got, []string{want[1], want[4]}) {
			t.Errorf("cancelled: %v", got)
		}
		if got := all(Filter{Limit: 2, Status: tuning.Queued}); len(got) != 5 {
			t.Errorf("queued: %v", got)
		}
		if _, _, err := other.List(t.Context(), Filter{After: "job_x"}); !invalid.Is(err) {
			t.Errorf("an unknown cursor: %v", err)
		}
	})
}
