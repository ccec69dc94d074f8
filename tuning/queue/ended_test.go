package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
	"lorikeet/tuning/queue/queuetest"
)

// counted counts what is read.
type counted struct {
	*store.Dir
	gets, lists atomic.Int64
}

func (c *counted) Get(ctx context.Context, key string) ([]byte, error) {
	c.gets.Add(1)
	return c.Dir.Get(ctx, key)
}

func (c *counted) List(ctx context.Context, prefix string) ([]string, error) {
	c.lists.Add(1)
	return c.Dir.List(ctx, prefix)
}

// inform opens a queue on a store and collects what it tells of jobs that are over.
func inform(t *testing.T, s *site) (*process, *counted, map[string]tuning.Job) {
	t.Helper()
	d, err := store.OpenDir(filepath.Join(s.dir, "store"))
	must(t, err)
	t.Cleanup(func() { _ = d.Close() })
	c, told := &counted{Dir: d}, map[string]tuning.Job{}
	p := s.open(false, func(o *Options) {
		o.Store = c
		o.Over = func(j tuning.Job) {
			s.mu.Lock()
			defer s.mu.Unlock()
			told[j.ID] = j
		}
	})
	return p, c, told
}

// agree reconciles; on a machine that has other things to do Redis may be late.
func (p *process) agree() (err error) {
	for range 5 {
		if err = p.Reconcile(context.Background()); err == nil {
			break
		}
	}
	return err
}

func pagesOf(t *testing.T, p *process, f Filter) (all []tuning.Job) {
	t.Helper()
	for {
		jobs, more, err := p.List(t.Context(), f)
		must(t, err)
		all = append(all, jobs...)
		if !more {
			return all
		}
		f.After = jobs[len(jobs)-1].ID
	}
}

func TestAProcessThatStartsNeedNotLookAtEveryJobThereEverWas(t *testing.T) {
	t.Parallel()
	s := fakeSiteOutside(t)
	d, err := store.OpenDir(filepath.Join(s.dir, "store"))
	must(t, err)
	defer d.Close()
	const n = 250
	ids, err := queuetest.Ended(t.Context(), d, n, 2*time.Hour)
	must(t, err)

	first, c, told := inform(t, s)
	must(t, first.agree())
	if len(told) != n || c.gets.Load() < 3*n {
		t.Fatalf("the first process looks at each: it told of %d and read %d records", len(told), c.gets.Load())
	}
	young, err := queuetest.Ended(t.Context(), d, 3, 0)
	must(t, err)
	open := first.submit("later")
	all := pagesOf(t, first, Filter{Limit: 100})
	var got []string
	for _, j := range all {
		got = append(got, j.ID)
	}
	if want := slices.Concat([]string{open.ID}, young, ids); !slices.Equal(got, want) {
		t.Fatalf("%d jobs are listed, want %d, the newest first", len(got), len(want))
	}

	second, c, told := inform(t, s)
	must(t, second.agree())
	if gets, lists := c.gets.Load(), c.lists.Load(); gets > 40 || lists > 20 {
		t.Errorf("a process that starts then reads %d records and makes %d lists", gets, lists)
	}
	if len(told) != n+3 {
		t.Errorf("it tells of %d jobs that are over", len(told))
	}
	for _, j := range all {
		if o, ok := told[j.ID]; j.Status.Over() && (!ok || o.Status != j.Status || !o.FinishedAt.Equal(*j.FinishedAt) || !o.CreatedAt.Equal(j.CreatedAt)) {
			t.Errorf("of %s it tells %+v", j.ID, o)
		}
	}
	for i, j := range pagesOf(t, second, Filter{Limit: 100}) {
		all[i].QueuePosition, j.QueuePosition = nil, nil // a hint
		if !reflect.DeepEqual(j, all[i]) {
			t.Errorf("it lists %+v, not %+v", j, all[i])
		}
	}
	c.gets.Store(0)
	if jobs, more, err := second.List(t.Context(), Filter{Status: tuning.Succeeded, Limit: 5}); err != nil || len(jobs) != 5 || !more || c.gets.Load() > 40 {
		t.Errorf("a page of 5: %d jobs, more %v, %v; %d records read", len(jobs), more, err, c.gets.Load())
	}
	if jobs, _, err := second.List(t.Context(), Filter{Status: tuning.Failed}); err != nil || len(jobs) != 0 {
		t.Errorf("%v, %v", jobs, err)
	}

	t.Run("of a job in the copy that is gone nothing is known", func(t *testing.T) {
		must(t, second.Delete(t.Context(), ids[7]))
		third, _, _ := inform(t, s)
		for _, p := range []*process{first, third} {
			if got := pagesOf(t, p, Filter{Limit: 100}); len(got) != len(all)-1 || slices.ContainsFunc(got, func(j tuning.Job) bool { return j.ID == ids[7] }) {
				t.Errorf("%d jobs, want %d", len(got), len(all)-1)
			}
		}
	})
	t.Run("a damaged copy is done without", func(t *testing.T) {
		files, err := filepath.Glob(filepath.Join(s.dir, "store", "queue", "ended", "*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%q, %v; want one copy", files, err)
		}
		data, err := os.ReadFile(files[0])
		must(t, err)
		data[len(data)/2] ^= 4
		must(t, os.WriteFile(files[0], data, 0o600))
		fourth, _, told := inform(t, s)
		must(t, fourth.agree())
		if len(told) != n+2 || len(pagesOf(t, fourth, Filter{Limit: 100})) != len(all)-1 {
			t.Errorf("it tells of %d jobs", len(told))
		}
		if left, _ := filepath.Glob(filepath.Join(s.dir, "store", "queue", "ended", "*")); len(left) != 1 || left[0] == files[0] {
			t.Errorf("%q; want a new copy in its place", left)
		}
	})
}

// Copies are written by any number of processes at once; each stays true.
func TestCopiesOfSeveralProcesses(t *testing.T) {
	t.Parallel()
	s := fakeSiteOutside(t)
	d, err := store.OpenDir(filepath.Join(s.dir, "store"))
	must(t, err)
	defer d.Close()
	var processes []*process
	for range 4 {
		p, _, _ := inform(t, s)
		processes = append(processes, p)
	}
	n := 0
	for range 3 {
		_, err := queuetest.Ended(t.Context(), d, 150, 2*time.Hour)
		must(t, err)
		n += 150
		must(t, inParallel(processes, (*process).agree))
	}
	keys, err := d.List(t.Context(), endedFolder)
	must(t, err)
	data, err := d.Get(t.Context(), keys[len(keys)-1])
	must(t, err)
	ended, err := decodeEnded(data)
	must(t, err)
	if len(ended) != n || len(keys) > 2 {
		t.Errorf("%q holds %d jobs, want %d", keys, len(ended), n)
	}
	p, _, told := inform(t, s)
	must(t, p.agree())
	if len(told) != n {
		t.Errorf("told of %d, want %d", len(told), n)
	}
}

func FuzzEnded(f *testing.F) {
	ended := []entry{{id: "job_" + strings.Repeat("a", 20), tenant: "acme", kind: tuning.LoRA, created: time.Unix(1e9, 0).UTC(),
		status: tuning.Failed, ended: time.Unix(2e9, 0).UTC(), history: "sha256:" + strings.Repeat("0", 64)}}
	data, err := encodeEnded(ended)
	must(f, err)
	f.Add(data)
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		jobs, err := decodeEnded(data)
		if err != nil {
			if !errors.Is(err, errEnded) {
				t.Errorf("%v", err)
			}
			return
		}
		for _, j := range jobs {
			if !validID(j.ID) {
				t.Errorf("took %q", j.ID)
			}
		}
		_ = fmt.Sprint(jobs)
	})
}

// BenchmarkStart is what a process does that starts, with 10,000 jobs that are over: with
// the copy, and with none, as each did before there was one; then a page of 20 jobs.
//
//	go test ./tuning/queue -run xxx -bench Start -benchtime 1x
func BenchmarkStart(b *testing.B) {
	const n = 10_000
	dir := b.TempDir()
	d, err := store.OpenDir(dir)
	must(b, err)
	defer d.Close()
	_, err = queuetest.Ended(b.Context(), d, n, 2*time.Hour)
	must(b, err)
	for _, with := range []string{"looking at each", "with the copy"} {
		b.Run(with, func(b *testing.B) {
			for b.Loop() {
				c := &counted{Dir: d}
				q, err := Open(b.Context(), Options{Store: c})
				must(b, err)
				c.gets.Store(0)
				c.lists.Store(0)
				begin := time.Now()
				must(b, q.Reconcile(b.Context()))
				b.ReportMetric(float64(time.Since(begin).Milliseconds()), "ms/start")
				b.ReportMetric(float64(c.gets.Load()), "gets/start")
				b.ReportMetric(float64(c.lists.Load()), "lists/start")
				begin = time.Now()
				if jobs, more, err := q.List(b.Context(), Filter{}); err != nil || len(jobs) != 20 || !more {
					b.Fatal(len(jobs), more, err)
				}
				b.ReportMetric(float64(time.Since(begin).Milliseconds()), "ms/page")
				must(b, q.Close())
			}
		})
	}
}
