//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/store"
	"lorikeet/tuning"
	"lorikeet/tuning/queue"
	"lorikeet/tuning/queue/queuetest"
)

// report says what came of a run.
type report struct {
	Accepted, Finished, Lost, Doubled int
	Statuses                          map[tuning.Status]int
	Attempts                          int
	Wasted                            map[string]int // attempts that did not end their job, by why
	Faults                            map[string]int
	Damaged                           int // checkpoints that were passed over
	Took                              time.Duration
	Violations                        []string
}

func (r report) print(w io.Writer) {
	fmt.Fprintf(w, "accepted %d, finished %d, lost %d, doubled %d; %v\n", r.Accepted, r.Finished, r.Lost, r.Doubled, r.Statuses)
	fmt.Fprintf(w, "attempts %d, of which wasted: %v\n", r.Attempts, r.Wasted)
	fmt.Fprintf(w, "faults %v; damaged checkpoints passed over: %d; took %.0f s\n", r.Faults, r.Damaged, r.Took.Seconds())
	for _, v := range r.Violations {
		fmt.Fprintln(w, "VIOLATION:", v)
	}
	if len(r.Violations) == 0 {
		fmt.Fprintln(w, "no promise was broken")
	}
}

// heal waits for what was harmed to be well again, and lets paused jobs go on.
func (r *runner) heal(ctx context.Context) {
	r.note("all is healed")
	for _, j := range r.jobs {
		r.resume(ctx, j)
	}
}

// check waits for the end of every job and looks at what is left.
func (r *runner) check(ctx context.Context) report {
	rep := report{Accepted: len(r.jobs), Statuses: map[tuning.Status]int{}, Wasted: map[string]int{}, Faults: r.counts}
	if n := len(r.plan.orders); rep.Accepted != n && ctx.Err() == nil {
		r.violation("%d of %d jobs were accepted", rep.Accepted, n)
	}
	// Far more than it takes: each job alone, one after the other, and the retries of a
	// job whose worker always dies.
	limit := time.Now().Add(time.Minute + time.Duration(len(r.jobs))*3*time.Second)
	dir, err := store.OpenDir(filepath.Join(r.c.dir, "store"))
	if err != nil {
		r.violation("%v", err)
		return rep
	}
	defer dir.Close()
	said := time.Now()
	for i, j := range r.jobs {
		got, err := r.await(ctx, j.id, limit)
		switch {
		case errors.Is(err, tuning.ErrNotFound) && j.goes():
			rep.Finished++
			rep.Statuses["deleted"]++
			continue
		case err == nil && j.deleted:
			r.violation("job %s is there, its user was told that it is deleted", j.id)
			continue
		case errors.Is(err, tuning.ErrNotFound):
			rep.Lost++
			r.violation("job %s is lost", j.id)
			continue
		case err != nil:
			r.violation("job %s: %v", j.id, err)
			continue
		case !got.Status.Over():
			rep.Lost++
			r.violation("job %s is still %s after attempt %d", j.id, got.Status, got.Attempt)
			continue
		}
		rep.Finished++
		rep.Statuses[got.Status]++
		r.end(ctx, dir, j, got)
		r.attempts(ctx, dir, j, &rep)
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			r.note("%d of %d jobs are over", i+1, len(r.jobs))
		}
	}
	rep.Doubled = r.versions(ctx, dir)
	r.empty(ctx)
	r.clear(ctx, dir)
	rep.Damaged = r.logged("checkpoint is damaged")
	r.mu.Lock()
	defer r.mu.Unlock()
	if lost, most := rep.Wasted["lost"], r.c.slots*(r.deaths+r.counts["freeze"]+r.counts["cut"]+r.counts["silence"]+r.counts["slow"]+
		r.c.workers*(r.counts["restart"]+r.counts["redis clock"]+r.counts["client pause"])); lost > most {
		r.violations = append(r.violations, fmt.Sprintf("%d attempts were lost, which the faults do not explain: at most %d", lost, most))
	}
	rep.Took, rep.Violations = time.Since(r.begin), r.violations
	return rep
}

func (r *runner) await(ctx context.Context, id string, limit time.Time) (tuning.Job, error) {
	for {
		j, err := r.api.queue.Get(ctx, id)
		if err != nil || j.Status.Over() || time.Now().After(limit) || ctx.Err() != nil {
			return j, err
		}
		sleep(ctx, 50*time.Millisecond)
	}
}

// end checks that a job ended as it had to, and as its user was told.
func (r *runner) end(ctx context.Context, dir *store.Dir, j *job, got tuning.Job) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.cancelled && got.Status != tuning.Cancelled:
		r.violation("job %s is %s, its user was told that it is cancelled", j.id, got.Status)
	case j.over && got.Status == tuning.Cancelled:
		r.violation("job %s is cancelled, its user was told that it is too late", j.id)
	case got.Status == tuning.Failed && (!j.poison || got.Error == nil || got.Error.Code != "attempts_exhausted"):
		r.violation("job %s failed: %+v", j.id, got.Error)
	case got.Status == tuning.Succeeded && j.poison:
		r.violation("job %s succeeded, though it kills its workers", j.id)
	}
	if got.Status != tuning.Succeeded {
		return
	}
	final, err := record[struct {
		Files map[string]adapters.File `json:"files"`
	}](ctx, dir, "jobs/"+j.id+"/final")
	if err != nil {
		r.violation("job %s: %v", j.id, err)
		return
	}
	var b bytes.Buffer
	_, err = dir.Fetch(ctx, final.Files["adapter"].Digest, &b)
	if want := (queuetest.Counter{Steps: j.steps}).Answer(j.id); err != nil || b.String() != want {
		r.violation("job %s: its result is not that of an undisturbed run: %v", j.id, err)
	}
	events, err := r.api.queue.Events(ctx, j.id, "", 0)
	if err == nil {
		err = queuetest.CheckHistory(events, j.steps)
	}
	if err != nil {
		r.violation("job %s: history: %v", j.id, err)
	}
}

// attempts says why there was more than one attempt at a job, and checks that none
// was made without a cause or after the end.
func (r *runner) attempts(ctx context.Context, dir *store.Dir, j *job, rep *report) {
	keys, err := dir.List(ctx, "jobs/"+j.id+"/attempts/")
	if err != nil {
		r.violation("job %s: %v", j.id, err)
		return
	}
	final, err := record[struct {
		Attempt int `json:"attempt"`
	}](ctx, dir, "jobs/"+j.id+"/final")
	if err != nil {
		r.violation("job %s: %v", j.id, err)
	}
	over := r.written("jobs/" + j.id + "/final")
	rep.Attempts += len(keys)
	for n, key := range keys {
		if late := r.written(key).Sub(over); late > r.c.lease {
			r.violation("attempt %d of job %s was begun %v after the job's end", n+1, j.id, late)
		}
		end, err := record[struct {
			How   string           `json:"how"`
			Error *tuning.JobError `json:"error"`
		}](ctx, dir, strings.Replace(key, "/attempts/", "/ends/", 1))
		switch {
		case n+1 == final.Attempt && !j.poison:
		case errors.Is(err, store.ErrNotFound):
			rep.Wasted["without an end"]++
		case err != nil:
			r.violation("job %s: %v", j.id, err)
		case end.Error != nil && end.How == "failed":
			rep.Wasted[end.Error.Code]++
			if end.Error.Code != "no_space" && end.Error.Code != "store_unavailable" && (end.Error.Code != "killed" || !j.poison) {
				r.violation("attempt %d of job %s failed: %+v", n+1, j.id, end.Error)
			}
		default:
			rep.Wasted[end.How]++
		}
	}
}

// written is when a record was, by the file system's clock: those of the workers may be
// wrong.
func (r *runner) written(key string) time.Time {
	st, err := os.Stat(filepath.Join(r.c.dir, "store", filepath.FromSlash(key)))
	if err != nil {
		r.violation("%v", err)
		return time.Time{}
	}
	return st.ModTime()
}

// versions counts jobs that registered more than one, and checks the bytes of each.
func (r *runner) versions(ctx context.Context, dir *store.Dir) (doubled int) {
	reg, err := adapters.OpenRegistry(ctx, dir)
	if err != nil {
		r.violation("%v", err)
		return 0
	}
	of := map[string]int{}
	for _, s := range reg.List(ctx) {
		for _, v := range s.Versions {
			of[v.Job]++
			if err := reg.Verify(ctx, v); err != nil {
				r.violation("%v", err)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(of)) {
		if of[id] > 1 {
			doubled++
			r.violation("job %s registered %d versions", id, of[id])
		}
		if slices.ContainsFunc(r.jobs, func(j *job) bool { return j.id == id && j.goes() }) {
			continue
		}
		if got, err := r.api.queue.Get(ctx, id); err != nil || got.Status != tuning.Succeeded {
			r.violation("job %s registered a version and is %s, %v", id, got.Status, err)
		}
	}
	return doubled
}

// empty checks that Redis is left with nothing to do.
func (r *runner) empty(ctx context.Context) {
	for limit := time.Now().Add(10 * r.c.lease); ; sleep(ctx, 50*time.Millisecond) {
		st, err := r.api.queue.Stats(ctx)
		left := 0
		for _, c := range st.Classes {
			left += c.Queued + c.Running
		}
		if err == nil && left == 0 || ctx.Err() != nil {
			return
		}
		if time.Now().After(limit) {
			r.violation("%d jobs are left in Redis, %v", left, err)
			return
		}
	}
}

// clear deletes what is left, unless something is wrong with it, and checks that nothing
// stays but what was trained, and the knowledge which keys are used.
func (r *runner) clear(ctx context.Context, dir *store.Dir) {
	r.mu.Lock()
	wrong := len(r.violations) > 0
	r.mu.Unlock()
	if wrong || ctx.Err() != nil {
		return
	}
	for _, j := range r.jobs {
		if err := r.api.queue.Delete(ctx, j.id); err != nil && !errors.Is(err, tuning.ErrNotFound) {
			r.violation("job %s cannot be deleted: %v", j.id, err)
		}
		if _, _, err := r.api.queue.Submit(ctx, r.spec(j.order), queue.Inputs{}); !errors.Is(err, tuning.ErrConflict) {
			r.violation("the key of the deleted job %s is taken again: %v", j.id, err)
		}
		j.deleting = true
	}
	for limit := time.Now().Add(10 * r.c.lease); ; sleep(ctx, 50*time.Millisecond) {
		// Workers may have written that had not heard yet that their job is gone.
		_, err := r.api.queue.Collect(ctx, func(string) bool { return true }, -time.Hour)
		left, lerr := dir.Children(ctx, "jobs/")
		if err = errors.Join(err, lerr); err == nil && len(left) == 0 || ctx.Err() != nil {
			break
		}
		if time.Now().After(limit) {
			r.violation("of deleted jobs are left: %q, %v", left, err)
			break
		}
	}
	r.versions(ctx, dir)
}

// logged counts lines of the workers' logs.
func (r *runner) logged(text string) (n int) {
	for _, w := range r.workers {
		data, err := os.ReadFile(filepath.Join(r.c.dir, "logs", fmt.Sprintf("worker-%d.log", w.n)))
		if err != nil {
			r.violation("%v", err)
		}
		n += strings.Count(string(data), text)
	}
	return n
}

func record[T any](ctx context.Context, dir *store.Dir, key string) (v T, err error) {
	data, err := dir.Get(ctx, key)
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	return v, err
}
