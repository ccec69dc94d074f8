package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lorikeet/tuning"
)

func TestCancel(t *testing.T) {
	t.Run("of a queued job", func(t *testing.T) {
		everywhere(t, func(t *testing.T, s *site) {
			p := s.open(true)
			j := p.submit("imdb")
			j, err := p.Cancel(t.Context(), j.ID)
			must(t, err)
			if j.Status != tuning.Cancelled || j.FinishedAt == nil {
				t.Errorf("%+v", j)
			}
			tr := s.trainer(3, 0)
			w := s.work(tr)
			other := w.submit("other")
			w.proven(other.ID, tr, 1)
			if j := p.await(j.ID, tuning.Cancelled); j.Attempt != 0 {
				t.Errorf("%d attempts at a cancelled job", j.Attempt)
			}
		})
	})
	t.Run("of a running job stops its trainer long before the next heartbeat", func(t *testing.T) {
		everywhere(t, func(t *testing.T, s *site) {
			tr := s.trainer(100000, 10)
			w := s.work(tr)
			p := s.open(true)
			j := p.submit("imdb")
			p.reached(j.ID, 10)
			begin := time.Now()
			_, err := p.Cancel(t.Context(), j.ID)
			must(t, err)
			s.until(func() bool { return tr.running.Load() == 0 }, "the trainer to stop")
			if took := time.Since(begin); took > s.lease/4+s.slack {
				t.Errorf("it stopped after %v", took)
			}
			w.stop()
			again, err := p.Cancel(t.Context(), j.ID)
			if !errors.Is(err, tuning.ErrOver) || again.Status != tuning.Cancelled {
				t.Errorf("cancelling again: %s, %v", again.Status, err)
			}
			events, err := p.Events(t.Context(), j.ID, "", 0)
			must(t, err)
			if len(events) < 12 || events[len(events)-1].ID != overID.String() {
				t.Errorf("%d events", len(events))
			}
		})
	})
	t.Run("reaches a worker that hears no news, at its next heartbeat", func(t *testing.T) {
		everywhere(t, func(t *testing.T, s *site) {
			tr := s.trainer(100000, 10)
			s.work(tr)
			p := s.open(true)
			j := p.submit("imdb")
			p.reached(j.ID, 10)
			p.cut() // its words do not reach Redis
			begin := time.Now()
			_, err := p.Cancel(t.Context(), j.ID)
			must(t, err)
			s.until(func() bool { return tr.running.Load() == 0 }, "the trainer to stop")
			if took := time.Since(begin); took > s.lease/2+s.slack {
				t.Errorf("it stopped after %v", took)
			}
		})
	})
	t.Run("that races completion: exactly one wins and the caller is told, 50 times", func(t *testing.T) {
		everywhere(t, func(t *testing.T, s *site) {
			tr := s.trainer(1, 0)
			p := s.work(tr, func(o *WorkerOptions) { o.Slots = 4 })
			api := s.open(false)
			var won, lost int
			for i := range 50 {
				j := api.submit("imdb")
				s.until(func() bool {
					j, err := api.Get(t.Context(), j.ID)
					must(t, err)
					return j.Attempt > 0
				}, "the attempt")
				time.Sleep(s.step * time.Duration(80+i) / 100)
				told, err := api.Cancel(t.Context(), j.ID)
				if err != nil && !errors.Is(err, tuning.ErrOver) {
					t.Fatal(err)
				}
				s.until(func() bool { st, err := p.load(t.Context(), j.ID); must(t, err); return st.status().Over() }, "the end")
				st, err2 := p.load(t.Context(), j.ID)
				must(t, err2)
				switch {
				case err == nil && told.Status == tuning.Cancelled && st.final.Status == tuning.Cancelled && s.called[j.ID] == 0:
					won++
				case err != nil && st.final.Status == tuning.Succeeded && s.called[j.ID] == 1:
					lost++
				default:
					t.Errorf("the caller was told %s, %v; the job is %s, registered %d times", told.Status, err, st.final.Status, s.called[j.ID])
				}
				if st.attempts != 1 {
					t.Errorf("%d attempts", st.attempts)
				}
			}
			t.Logf("cancelled %d, succeeded %d", won, lost)
		})
	})
	t.Run("that was cut off after its first record is finished by others", func(t *testing.T) {
		everywhere(t, func(t *testing.T, s *site) {
			p := s.open(false)
			j := p.submit("imdb")
			must(t, p.create(t.Context(), jobKey(j.ID, keyCancel), cancelRecord{At: time.Now()}))
			must(t, p.Reconcile(t.Context()))
			p.await(j.ID, tuning.Cancelled)
			k := p.submit("other")
			must(t, p.create(t.Context(), jobKey(k.ID, keyCancel), cancelRecord{At: time.Now()}))
			s.work(s.trainer(3, 0))
			if k := p.await(k.ID, tuning.Cancelled); k.Attempt != 0 {
				t.Errorf("%d attempts", k.Attempt)
			}
		})
	})
}

func TestPauseAndResume(t *testing.T) {
	t.Run("a running job takes a checkpoint, rests, and goes on at that step on another worker", func(t *testing.T) {
		everywhere(t, func(t *testing.T, s *site) {
			tr := s.trainer(60, 0)
			first := s.work(tr)
			p := s.open(true)
			j := p.submit("imdb")
			s.until(func() bool { return tr.running.Load() == 1 }, "the trainer")
			time.Sleep(10 * s.step)
			begin := time.Now()
			_, err := p.Pause(t.Context(), j.ID)
			must(t, err)
			j = p.await(j.ID, tuning.Paused)
			if took := time.Since(begin); took > s.lease/4+s.slack {
				t.Errorf("paused after %v", took)
			}
			if _, err := p.Pause(t.Context(), j.ID); err != nil {
				t.Errorf("pausing twice: %v", err)
			}
			cs, err := p.Checkpoints(t.Context(), j.ID)
			must(t, err)
			if len(cs) != 1 || j.Progress == nil || j.Progress.Step != cs[0].Step {
				t.Fatalf("checkpoints %+v, progress %+v", cs, j.Progress)
			}
			time.Sleep(s.lease * 5 / 4)
			if n := tr.running.Load(); n != 0 {
				t.Errorf("%d trainers run on a paused job", n)
			}
			first.stop()
			s.redis.flush()
			from := -1
			tr.at = func(_ context.Context, _ tuning.Task, step int) error {
				if from < 0 {
					from = step - 1
				}
				return nil
			}
			s.work(tr)
			time.Sleep(s.lease * 5 / 4)
			if from >= 0 {
				t.Error("a flush woke a paused job")
			}
			_, err = p.Resume(t.Context(), j.ID)
			must(t, err)
			p.proven(j.ID, tr, 2)
			if from != cs[0].Step {
				t.Errorf("went on from %d, want %d", from, cs[0].Step)
			}
			for name, f := range map[string]func(context.Context, string) (tuning.Job, error){"pause": p.Pause, "resume": p.Resume} {
				if j, err := f(t.Context(), j.ID); !errors.Is(err, tuning.ErrOver) || j.Status != tuning.Succeeded {
					t.Errorf("%s after the end: %s, %v", name, j.Status, err)
				}
			}
		})
	})
	t.Run("a queued job rests and keeps its place", func(t *testing.T) {
		everywhere(t, func(t *testing.T, s *site) {
			p := s.open(true)
			a, b := p.submit("a"), p.submit("b")
			_, err := p.Pause(t.Context(), a.ID)
			must(t, err)
			if j := p.await(a.ID, tuning.Paused); j.QueuePosition != nil {
				t.Errorf("a paused job at position %d", *j.QueuePosition)
			}
			if j := p.await(b.ID, tuning.Queued); *j.QueuePosition != 1 {
				t.Errorf("position %d", *j.QueuePosition)
			}
			_, err = p.Resume(t.Context(), a.ID)
			must(t, err)
			if j := p.await(a.ID, tuning.Queued); *j.QueuePosition != 1 {
				t.Errorf("position %d after it was resumed", *j.QueuePosition)
			}
			if j := p.await(b.ID, tuning.Queued); *j.QueuePosition != 2 {
				t.Errorf("position %d", *j.QueuePosition)
			}
		})
	})
	t.Run("a job that is resumed in the moment it is put to rest goes on, with no one reconciling", func(t *testing.T) {
		everywhere(t, func(t *testing.T, s *site) {
			tr := s.trainer(40, 0)
			api := s.open(false)
			var once sync.Once
			s.created = func(key string) {
				id, _, ended := strings.Cut(strings.TrimPrefix(key, jobsFolder), "/"+keyEnds+"/")
				if !ended {
					return
				}
				// The worker has seen that the job is paused and still has it queued.
				once.Do(func() {
					if _, err := api.Resume(context.Background(), id); err != nil {
						t.Error(err)
					}
				})
			}
			p := s.open(false, func(o *Options) { o.Every = 1000 * time.Hour })
			p.work(tr)
			j := api.submit("a")
			s.until(func() bool { return tr.running.Load() == 1 }, "the trainer")
			_, err := api.Pause(t.Context(), j.ID)
			must(t, err)
			api.proven(j.ID, tr, 2)
		})
	})
	t.Run("a job that was never paused cannot be resumed", func(t *testing.T) {
		everywhere(t, func(t *testing.T, s *site) {
			p := s.open(true)
			j := p.submit("a")
			if _, err := p.Resume(t.Context(), j.ID); !errors.Is(err, tuning.ErrState) {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("the last word of a race of pauses and resumes stands", func(t *testing.T) {
		everywhere(t, func(t *testing.T, s *site) {
			tr := s.trainer(80, 0)
			s.work(tr)
			s.work(tr)
			p := s.open(true)
			j := p.submit("a")
			s.until(func() bool { return tr.running.Load() == 1 }, "the trainer")
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					f := p.Pause
					if i%2 == 1 {
						f = p.Resume
					}
					if _, err := f(context.Background(), j.ID); err != nil && !errors.Is(err, tuning.ErrState) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			_, err := p.Pause(t.Context(), j.ID)
			must(t, err)
			p.await(j.ID, tuning.Paused)
			_, err = p.Resume(t.Context(), j.ID)
			must(t, err)
			done := p.await(j.ID, tuning.Succeeded)
			p.proven(j.ID, tr, done.Attempt)
			if most := tr.most.Load(); most > 1 {
				t.Errorf("%d attempts ran at once", most)
			}
		})
	})
}

func TestJobsAreTakenByPriorityThenAge(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.open(true)
		var (
			mu    sync.Mutex
			order []string
		)
		names := map[string]string{}
		for i, prio := range []int{0, 0, 5, -5, 5, 1000, -1000} {
			j := p.submit(fmt.Sprintf("%d:%d", prio, i), func(sp *tuning.Spec) { sp.Priority = prio })
			names[j.ID] = j.Name
		}
		tr := s.trainer(1, 0)
		tr.at = func(_ context.Context, task tuning.Task, _ int) error {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, names[task.Job])
			return nil
		}
		s.work(tr)
		for id := range names {
			p.proven(id, tr, 1)
		}
		if want := []string{"1000:5", "5:2", "5:4", "0:0", "0:1", "-5:3", "-1000:6"}; !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
	})
}

func TestAWorkerOfAClassTakesItsOwnJobsFirstAndOthersLeaveThem(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.open(true)
		any := p.submit("any")
		gpu := p.submit("gpu", func(sp *tuning.Spec) { sp.Class = "gpu" })
		tr := s.trainer(2, 0)
		plain := s.work(tr)
		p.proven(any.ID, tr, 1)
		time.Sleep(3 * s.poll)
		if j := p.await(gpu.ID, tuning.Queued); j.Attempt != 0 {
			t.Error("a plain worker took the job of a class")
		}
		plain.stop()
		later := p.submit("later", func(sp *tuning.Spec) { sp.Priority = 9 })
		s.work(tr, func(o *WorkerOptions) { o.Class = "gpu" })
		a, b := p.await(gpu.ID, tuning.Succeeded), p.await(later.ID, tuning.Succeeded)
		if !a.StartedAt.Before(*b.StartedAt) {
			t.Error("the job of no class came first")
		}
	})
}

func TestStatsTellOfQueuesAndWorkers(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		tr := s.trainer(100000, 0)
		w := s.work(tr, func(o *WorkerOptions) { o.Slots = 2 })
		p := s.open(true)
		for range 5 {
			p.submit("x")
		}
		p.submit("y", func(sp *tuning.Spec) { sp.Class = "gpu"; sp.Priority = -7 })
		s.until(func() bool { return tr.running.Load() == 2 }, "both slots")
		time.Sleep(s.lease / 2)
		st, err := p.Stats(t.Context())
		must(t, err)
		d, g := st.Classes["default"], st.Classes["gpu"]
		if d.Queued != 3 || d.Running != 2 || g.Queued != 1 || g.Running != 0 {
			t.Errorf("classes %+v", st.Classes)
		}
		if g.Oldest < s.lease/4 || g.Oldest > 2*s.lease {
			t.Errorf("oldest %v", g.Oldest)
		}
		if len(st.Workers) != 1 || st.Workers[0].Slots != 2 || st.Workers[0].Busy != 2 || st.Workers[0].Seen > s.lease {
			t.Errorf("workers %+v", st.Workers)
		}
		w.stop()
		if st, err = p.Stats(t.Context()); err != nil || len(st.Workers) != 0 {
			t.Errorf("workers after they left: %+v, %v", st.Workers, err)
		}
		w.kill()
	})
}
