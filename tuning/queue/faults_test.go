package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

func TestAJobWhoseAPIDiedBeforeQueueingItRunsAfterTheNextReconcile(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		api := s.open(false)
		api.cut() // the record is written, Redis never hears of it
		j := api.submit("imdb")
		api.kill()
		tr := s.trainer(5, 0)
		p := s.work(tr)
		p.proven(j.ID, tr, 1)
	})
}

func TestAJobOfAKilledWorkerGoesOnFromItsCheckpointWithinALeaseAndAPoll(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		tr := s.trainer(20, 4)
		first := s.work(tr)
		p := s.open(true)
		j := p.submit("imdb")
		p.reached(j.ID, 8)
		killed := time.Now()
		first.kill()
		s.work(tr)
		s.until(func() bool { j, err := p.Get(t.Context(), j.ID); must(t, err); return j.Attempt == 2 }, "attempt 2")
		if took, most := time.Since(killed), s.lease+3*s.poll+s.slack; took > most {
			t.Errorf("attempt 2 began after %v, want %v at most", took, most)
		}
		p.proven(j.ID, tr, 2)
		wantResumed(t, p, j.ID, 2)
	})
}

// wantResumed checks that the history tells that an attempt began and went on from a
// checkpoint.
func wantResumed(t *testing.T, p *process, id string, attempt int) {
	t.Helper()
	events, err := p.Events(t.Context(), id, "", 0)
	must(t, err)
	begun, resumed := false, false
	for _, e := range events {
		var d statusData
		if e.Type != "status" {
			continue
		}
		must(t, json.Unmarshal(e.Data, &d))
		if d.Attempt == attempt && d.Status == tuning.Running {
			begun = begun || d.Step == nil && d.Phase == ""
			resumed = resumed || d.Step != nil && *d.Step > 0
		}
	}
	if !begun || !resumed {
		t.Errorf("attempt %d: begun %v, went on from a checkpoint %v", attempt, begun, resumed)
	}
}

func TestAnAttemptThatSeesANewerOneGivesUp(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		tr := s.trainer(100, 5)
		p := s.work(tr)
		j := p.submit("imdb")
		p.reached(j.ID, 5)
		var stopped time.Duration
		begin := time.Now()
		must(t, p.create(t.Context(), numberKey(j.ID, keyAttempts, 2), attemptRecord{Worker: "another", At: time.Now()}))
		s.until(func() bool { return tr.running.Load() == 0 }, "the trainer to stop")
		if stopped = time.Since(begin); stopped > s.lease/4+2*s.step+s.slack {
			t.Errorf("it yielded after %v", stopped)
		}
		if st, err := p.load(t.Context(), j.ID); err != nil || st.final != nil || st.ends[1] {
			t.Errorf("it left a final record or an end: %+v, %v", st, err)
		}
		p.proven(j.ID, tr, 3) // the other one was never heard of again
	})
}

// Two workers may hold a lease on one job when Redis was flushed in between.
func TestOfTwoWorkersThatBeginOneAttemptOneGivesUp(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		var (
			first atomic.Bool
			began atomic.Bool
		)
		other := s.open(false)
		s.creates = func(key string) {
			id, n, _ := strings.Cut(strings.TrimPrefix(key, jobsFolder), "/"+keyAttempts+"/")
			if n == "" || !first.CompareAndSwap(false, true) {
				return
			}
			if err := other.create(context.Background(), numberKey(id, keyAttempts, 1), attemptRecord{Worker: "another", At: time.Now()}); err != nil {
				t.Error(err)
			}
		}
		tr := s.trainer(5, 0)
		tr.at = func(_ context.Context, task tuning.Task, _ int) error {
			if task.Attempt == 1 {
				began.Store(true)
			}
			return nil
		}
		p := s.work(tr)
		j := p.submit("imdb")
		p.proven(j.ID, tr, 2)
		if began.Load() {
			t.Error("the attempt of the other was made")
		}
	})
}

func TestOfAFrozenWorkerAndItsSuccessorOneDecidesAndTheOtherLeavesNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		tr := s.trainer(12, 4)
		first := s.work(tr)
		p := s.open(true)
		j := p.submit("imdb")
		p.reached(j.ID, 4)
		first.freeze()
		second := s.work(tr)
		second.proven(j.ID, tr, 2)
		first.thaw()
		first.stop() // waits for its attempt, which must give up
		p.proven(j.ID, tr, 2)
		if n := s.called[j.ID]; n != 1 {
			t.Errorf("registered %d times", n)
		}
		// What the loser has stored, if anything, no one refers to.
		_, err := p.Collect(t.Context(), func(string) bool { return false }, -anAge)
		must(t, err)
		for b, err := range first.store.Blobs(t.Context()) {
			must(t, err)
			if st, err := p.load(t.Context(), j.ID); err != nil || b.Digest != st.final.History && b.Digest != clockDigest {
				t.Errorf("left %s, %v", b.Digest, err)
			}
		}
	})
}

// anAge takes files, whose times are real, to be old by a fake clock too.
const anAge = 100 * 365 * 24 * time.Hour

func TestAThawedWorkerYieldsToTheNewerAttempt(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		tr := s.trainer(100, 5)
		first := s.work(tr)
		p := s.open(true)
		j := p.submit("imdb")
		p.reached(j.ID, 5)
		first.freeze()
		s.work(tr)
		s.until(func() bool { j, err := p.Get(t.Context(), j.ID); must(t, err); return j.Attempt == 2 }, "attempt 2")
		first.thaw()
		thawed := time.Now()
		s.until(func() bool { return tr.running.Load() == 1 }, "the first to stop")
		if took := time.Since(thawed); took > s.lease/4+2*s.step+s.slack {
			t.Errorf("it yielded after %v", took)
		}
		first.stop()
		p.proven(j.ID, tr, 2)
	})
}

func TestAWorkerCutOffFromRedisYieldsToTheOneThatTookOver(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		tr := s.trainer(100, 5)
		first := s.work(tr)
		p := s.open(true)
		j := p.submit("imdb")
		p.reached(j.ID, 5)
		second := s.work(tr)
		first.cut()
		s.until(func() bool { j, err := p.Get(t.Context(), j.ID); must(t, err); return j.Attempt == 2 }, "attempt 2")
		begun := time.Now()
		s.until(func() bool { return tr.running.Load() == 1 }, "the first to stop")
		if took := time.Since(begun); took > s.lease/4+2*s.step+s.slack {
			t.Errorf("it yielded after %v", took)
		}
		first.join()
		second.proven(j.ID, tr, 2)
	})
}

func TestAWorkerWithoutRedisForALeaseStopsWithACheckpointAndGoesOnLater(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		limit := 2*s.lease + s.slack
		tr := s.trainer(int(limit/s.step)+50, 0) // would not be done by then
		p := s.work(tr)
		j := p.submit("imdb")
		s.until(func() bool { return tr.running.Load() == 1 }, "the trainer")
		p.cut()
		begin := time.Now()
		s.until(func() bool { return tr.running.Load() == 0 }, "the trainer to stop")
		if took := time.Since(begin); took < s.lease*3/4 || took > limit {
			t.Errorf("it stopped after %v; the lease is %v", took, s.lease)
		}
		if cs, err := p.Checkpoints(t.Context(), j.ID); err != nil || len(cs) != 1 {
			t.Errorf("checkpoints %v, %v", cs, err)
		}
		p.join()
		p.proven(j.ID, tr, 2)
		wantResumed(t, p, j.ID, 2)
	})
}

func TestARedisThatLosesItsDataLosesNoJobAndNoAttempt(t *testing.T) {
	for name, harm := range map[string]func(server){"FLUSHALL": server.flush, "an empty restart": server.restart} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, s *site) {
				tr := s.trainer(60, 25)
				first := s.work(tr)
				second := s.work(tr)
				p := s.open(true)
				var ids []string
				for range 3 {
					ids = append(ids, p.submit("imdb").ID)
				}
				s.until(func() bool { return tr.running.Load() == 2 }, "both workers")
				time.Sleep(10 * s.step)
				for range 2 {
					harm(s.redis)
					time.Sleep(20 * s.step)
				}
				for _, id := range ids {
					p.proven(id, tr, 1)
				}
				if n := tr.most.Load(); n != 2 {
					t.Errorf("%d trainers ran at once, want 2", n)
				}
				first.stop()
				second.stop()
				p.proven(ids[0], tr, 1) // the history outlives Redis
				harm(s.redis)
				p.proven(ids[0], tr, 1)
			})
		})
	}
}

func TestAnIdleWorkerDoesNotTakeAJobWhoseLeaseRedisHasForgotten(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		tr := s.trainer(60, 0)
		s.work(tr)
		p := s.open(true)
		j := p.submit("imdb")
		s.until(func() bool { return tr.running.Load() == 1 }, "the trainer")
		s.work(tr)
		s.work(tr)
		for range 3 {
			time.Sleep(10 * s.step)
			s.redis.flush()
		}
		p.proven(j.ID, tr, 1)
	})
}

func TestAStaleQueueEntryOfAJobThatIsOverOrUnknownMakesNoAttempt(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		tr := s.trainer(3, 0)
		p := s.work(tr)
		done := p.submit("imdb")
		p.proven(done.ID, tr, 1)
		st, err := p.load(t.Context(), done.ID)
		must(t, err)
		unknown := specRecord{ID: newID("", ""), CreatedAt: time.Now()}
		must(t, p.redis.enqueue(t.Context(), st.spec))
		must(t, p.redis.enqueue(t.Context(), unknown))
		s.until(func() bool { n, err := p.redis.depth(t.Context()); return err == nil && n == 0 }, "both to be dropped")
		p.proven(done.ID, tr, 1)
		if n, err := p.redis.rdb.ZCard(t.Context(), p.redis.key("leases")).Result(); err != nil || n != 0 {
			t.Errorf("%d leases left, %v", n, err)
		}
		p.stop()
		must(t, p.redis.enqueue(t.Context(), st.spec))
		must(t, p.redis.enqueue(t.Context(), unknown))
		must(t, p.Reconcile(t.Context()))
		if n, err := p.redis.depth(t.Context()); err != nil || n != 0 {
			t.Errorf("Reconcile left %d, %v", n, err)
		}
	})
}

func TestAJobWhoseWorkerDiedWithRedisIsTakenOver(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		tr := s.trainer(30, 5)
		first := s.work(tr)
		p := s.open(true)
		j := p.submit("imdb")
		p.reached(j.ID, 5)
		first.kill()
		s.redis.restart()
		s.work(tr)
		p.proven(j.ID, tr, 2)
	})
}

func TestAJobThatKillsItsWorkersFailsAfterThreeAttemptsAndHarmsNoOther(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.open(true)
		poison := p.submit("poison", func(sp *tuning.Spec) { sp.Priority = 1 })
		good := p.submit("good")
		tr := s.trainer(6, 2)
		var workers []*process
		killer := func(n int) *trainer {
			k := s.trainer(6, 2)
			k.at = func(ctx context.Context, task tuning.Task, step int) error {
				if task.Job == poison.ID {
					workers[n].kill()
					return errDead
				}
				return nil
			}
			return k
		}
		for n := range 3 {
			w := s.open(true)
			workers = append(workers, w)
			w.work(killer(n))
			s.until(func() bool { return w.gate.pass() != nil }, "worker %d to die", n)
		}
		s.work(tr)
		j := p.await(poison.ID, tuning.Failed)
		if j.Error == nil || j.Error.Code != codeExhausted || j.Attempt != 3 || !strings.Contains(j.Error.Message, "silent") {
			t.Errorf("attempt %d, %+v", j.Attempt, j.Error)
		}
		p.proven(good.ID, tr, 1)
	})
}

func TestAFailingAttempt(t *testing.T) {
	broken := errors.New("a loose cable")
	for _, c := range []struct {
		name     string
		err      func(task tuning.Task, step int) error
		status   tuning.Status
		attempts int
		code     string
	}{
		{"is tried again", func(task tuning.Task, _ int) error {
			if task.Attempt == 1 {
				return broken
			}
			return nil
		}, tuning.Succeeded, 2, ""},
		{"fails the job after three without a new checkpoint", func(tuning.Task, int) error { return broken }, tuning.Failed, 3, codeExhausted},
		{"is tried until the store has room again", func(task tuning.Task, _ int) error {
			if task.Attempt <= 3 {
				return fmt.Errorf("upload: %w", store.ErrNoSpace)
			}
			return nil
		}, tuning.Succeeded, 4, ""},
		{"is tried until the store is back", func(task tuning.Task, _ int) error {
			if task.Attempt <= 3 {
				return fmt.Errorf("upload: %w", store.ErrUnavailable)
			}
			return nil
		}, tuning.Succeeded, 4, ""},
		{"counts anew after progress", func(task tuning.Task, step int) error {
			if step == task.Attempt*2+1 {
				return broken // each attempt gets to one more checkpoint
			}
			return nil
		}, tuning.Succeeded, 6, ""},
		{"fails the job at once when the input is invalid", func(tuning.Task, int) error {
			return errors.Join(invalid.Line(7, "label", "is missing"), broken)
		}, tuning.Failed, 1, codeInvalid},
		{"that panics is an attempt that fails", func(task tuning.Task, _ int) error {
			if task.Attempt == 1 {
				panic("shapes differ")
			}
			return nil
		}, tuning.Succeeded, 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, s *site) {
				tr := s.trainer(12, 2)
				tr.at = func(_ context.Context, task tuning.Task, step int) error { return c.err(task, step) }
				p := s.work(tr)
				j := p.submit("imdb")
				j = p.await(j.ID, c.status)
				if j.Attempt != c.attempts {
					t.Errorf("%d attempts, want %d", j.Attempt, c.attempts)
				}
				if c.code != "" && (j.Error == nil || j.Error.Code != c.code) {
					t.Errorf("error %+v, want code %s", j.Error, c.code)
				}
				if c.code == codeInvalid && !strings.Contains(j.Error.Message, "line 7: label: is missing") {
					t.Errorf("message %q", j.Error.Message)
				}
				if c.status == tuning.Succeeded {
					p.proven(j.ID, tr, c.attempts)
				}
			})
		})
	}
}

func TestADamagedCheckpointIsPassedOverForTheOneBefore(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, path string)
	}{
		{"flipped", func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			must(t, err)
			data[0] ^= 1
			must(t, os.WriteFile(path, data, 0o600))
		}},
		{"cut short", func(t *testing.T, path string) { must(t, os.Truncate(path, 3)) }},
		{"gone", func(t *testing.T, path string) { must(t, os.Remove(path)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, s *site) {
				tr := s.trainer(20, 4)
				first := s.work(tr)
				p := s.open(true)
				j := p.submit("imdb")
				p.reached(j.ID, 8)
				first.kill()
				s.until(func() bool { return tr.running.Load() == 0 }, "the trainer to end")
				cs, err := p.Checkpoints(t.Context(), j.ID)
				must(t, err)
				sum := strings.TrimPrefix(cs[0].Files["state"].Digest, "sha256:")
				c.damage(t, filepath.Join(s.dir, "store", "blobs", "sha256", sum[:2], sum))
				var from int
				tr.at = func(_ context.Context, task tuning.Task, step int) error {
					if from == 0 {
						from = step - 1
					}
					return nil
				}
				s.work(tr)
				p.proven(j.ID, tr, 2)
				if from != cs[1].Step {
					t.Errorf("it went on from step %d, want %d", from, cs[1].Step)
				}
			})
		})
	}
}

func TestAWorkerThatIsTerminatedHandsItsJobBackAtOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		tr := s.trainer(100, 0)
		first := s.work(tr)
		p := s.open(true)
		j := p.submit("imdb")
		s.until(func() bool { return tr.running.Load() == 1 }, "the trainer")
		time.Sleep(5 * s.step)
		s.work(tr)
		begin := time.Now()
		first.stop()
		s.until(func() bool { j, err := p.Get(t.Context(), j.ID); must(t, err); return j.Attempt == 2 }, "attempt 2")
		if took, most := time.Since(begin), s.lease/2+s.slack; took > most {
			t.Errorf("handed over in %v, want %v at most", took, most)
		}
		p.proven(j.ID, tr, 2)
		wantResumed(t, p, j.ID, 2)
	})
}

func TestATrainerThatDoesNotStopIsCutOffAfterTheGraceTimeAndTheJobIsNotBlamed(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		api := s.open(false)
		j := api.submit("imdb")
		for n := range 4 { // more than may fail
			tr := s.trainer(100000, 0)
			tr.deaf = true
			p := s.work(tr, func(o *WorkerOptions) { o.Grace = s.lease / 4 })
			s.until(func() bool { return tr.running.Load() == 1 }, "the trainer")
			begin := time.Now()
			p.stop()
			if took := time.Since(begin); took > s.lease/2+s.slack {
				t.Errorf("it took %v", took)
			}
			got, err := api.Get(t.Context(), j.ID)
			must(t, err)
			if got.Status != tuning.Queued || got.Attempt != n+1 {
				t.Errorf("%s, attempt %d", got.Status, got.Attempt)
			}
		}
		tr := s.trainer(100, 0)
		s.work(tr)
		api.proven(j.ID, tr, 5)
	})
}
