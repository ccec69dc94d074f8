package queue

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

func TestASuccessIsRegisteredInTheEnd(t *testing.T) {
	t.Run("when registering fails at first", func(t *testing.T) {
		everywhere(t, func(t *testing.T, s *site) {
			var calls atomic.Int64
			tr := s.trainer(3, 0)
			p := s.open(true, func(o *Options) {
				inner := o.Register
				o.Register = func(ctx context.Context, f Finished) (tuning.Result, error) {
					if calls.Add(1) < 3 {
						return tuning.Result{}, errors.New("the registry is away")
					}
					return inner(ctx, f)
				}
			})
			p.work(tr)
			j := p.submit("imdb")
			p.proven(j.ID, tr, 1)
		})
	})
	t.Run("by Reconcile when the winner died before it", func(t *testing.T) {
		everywhere(t, func(t *testing.T, s *site) {
			tr := s.trainer(3, 0)
			var first *process
			first = s.open(true, func(o *Options) {
				o.Register = func(context.Context, Finished) (tuning.Result, error) {
					first.kill()
					return tuning.Result{}, errDead
				}
			})
			first.work(tr)
			p := s.open(true)
			j := p.submit("imdb")
			s.until(func() bool { return first.gate.pass() != nil }, "the worker to die")
			if got, err := p.Get(t.Context(), j.ID); err != nil || got.Status != tuning.Running || got.Phase != "registering" {
				t.Errorf("%s, phase %q, %v", got.Status, got.Phase, err)
			}
			if _, err := p.Cancel(t.Context(), j.ID); !errors.Is(err, tuning.ErrOver) {
				t.Errorf("a decided job is cancelled: %v", err)
			}
			p.proven(j.ID, tr, 1)
			if n := s.called[j.ID]; n != 1 {
				t.Errorf("registered %d times", n)
			}
		})
	})
	t.Run("by the next worker, even with no one reconciling", func(t *testing.T) {
		everywhere(t, func(t *testing.T, s *site) {
			tr := s.trainer(3, 0)
			var first *process
			first = s.open(true, func(o *Options) {
				o.Register = func(context.Context, Finished) (tuning.Result, error) {
					first.kill()
					return tuning.Result{}, errDead
				}
			})
			first.work(tr)
			p := s.open(false)
			j := p.submit("imdb")
			s.until(func() bool { return first.gate.pass() != nil }, "the worker to die")
			p.work(tr)
			p.proven(j.ID, tr, 1)
		})
	})
	t.Run("or fails when what was trained is refused", func(t *testing.T) {
		everywhere(t, func(t *testing.T, s *site) {
			p := s.open(true, func(o *Options) {
				o.Register = func(context.Context, Finished) (tuning.Result, error) {
					return tuning.Result{}, invalid.Field("lora_A", "is not a number")
				}
			})
			p.work(s.trainer(3, 0))
			j := p.submit("imdb")
			j = p.await(j.ID, tuning.Failed)
			if j.Error == nil || j.Error.Code != codeInvalid || !strings.Contains(j.Error.Message, "lora_A") {
				t.Errorf("%+v", j.Error)
			}
		})
	})
}

func TestCollectDeletesWhatNothingRefersTo(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		tr := s.trainer(30, 5)
		p := s.work(tr)
		put := func(text string) string {
			digest, _, err := p.store.PutBlob(t.Context(), strings.NewReader(text))
			must(t, err)
			return digest
		}
		rows, validation, dataset, garbage := put(`{"text":"a"}`), put(`{"text":"v"}`), put("dataset"), put("garbage")
		tr.at = func(context.Context, tuning.Task, int) error { return nil }
		j, _, err := p.Submit(t.Context(), tuning.Spec{Kind: tuning.LoRA, Name: "imdb"}, Inputs{Train: rows, Validation: validation})
		must(t, err)
		p.reached(j.ID, 20)
		keep := func(digest string) bool { return digest == dataset }
		if c, err := p.Collect(t.Context(), keep, anAge); err != nil || c.Blobs != 0 {
			t.Errorf("young blobs are deleted: %+v, %v", c, err)
		}
		_, err = p.Collect(t.Context(), keep, -anAge)
		must(t, err)
		there := func(digest string) bool {
			_, err := p.store.StatBlob(t.Context(), digest)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Error(err)
			}
			return err == nil
		}
		if !there(rows) || !there(validation) || !there(dataset) || there(garbage) {
			t.Errorf("rows %v, validation %v, dataset %v, garbage %v", there(rows), there(validation), there(dataset), there(garbage))
		}
		cs, err := p.Checkpoints(t.Context(), j.ID)
		must(t, err)
		for _, c := range cs[:2] {
			if !there(c.Files["state"].Digest) {
				t.Errorf("the checkpoint at step %d is gone", c.Step)
			}
		}
		p.await(j.ID, tuning.Succeeded)
		_, err = p.Collect(t.Context(), func(d string) bool { return d == dataset }, -anAge)
		must(t, err)
		st, err := p.load(t.Context(), j.ID)
		must(t, err)
		if !there(st.final.History) || there(rows) || there(cs[0].Files["state"].Digest) {
			t.Error("after the end the history stays and the rest goes")
		}
		events, err := p.Events(t.Context(), j.ID, "", 0)
		must(t, err)
		checkHistory(t, events, 30)
	})
}

func TestInputsAreGivenToTheTrainerAndVerified(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.open(true)
		var seen tuning.Task
		tr := s.trainer(1, 0)
		tr.at = func(_ context.Context, task tuning.Task, _ int) error { seen = task; return nil }
		p.work(tr, func(o *WorkerOptions) {
			o.Prepare = func(_ context.Context, task *tuning.Task) error {
				if task.Train == "" {
					task.Train = "fetched"
				}
				return nil
			}
		})
		j := p.submit("named")
		p.await(j.ID, tuning.Succeeded)
		if seen.Train != "fetched" || seen.Job != j.ID || seen.Attempt != 1 || seen.Dir == "" {
			t.Errorf("task %+v", seen)
		}
		digest, _, err := p.store.PutBlob(t.Context(), strings.NewReader("{}\n"))
		must(t, err)
		k, _, err := p.Submit(t.Context(), tuning.Spec{Kind: tuning.LoRA, Name: "b"}, Inputs{Train: digest})
		must(t, err)
		p.await(k.ID, tuning.Succeeded)
		if seen.Train == "" || seen.Train == "fetched" || seen.Validation != "" {
			t.Errorf("task %+v", seen)
		}
		gone := "sha256:" + strings.Repeat("0", 64)
		l, _, err := p.Submit(t.Context(), tuning.Spec{Kind: tuning.LoRA, Name: "c"}, Inputs{Train: gone})
		must(t, err)
		if l := p.await(l.ID, tuning.Failed); l.Error.Code != codeExhausted {
			t.Errorf("%+v", l.Error)
		}
	})
}

func TestTheEmbeddedRedis(t *testing.T) {
	open := func(t *testing.T, s *site) (*Queue, *store.Dir) {
		d, err := store.OpenDir(s.dir + "/store")
		must(t, err)
		q, err := Open(t.Context(), Options{Store: d, Log: s.logs.logger(), Register: s.register})
		must(t, err)
		return q, d
	}
	s := fakeSiteOutside(t)
	q, d := open(t, s)
	if _, err := Open(t.Context(), Options{Store: d}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("two embedded ones on one store: %v", err)
	}
	j, _, err := q.Submit(t.Context(), tuning.Spec{Kind: tuning.LoRA, Name: "imdb"}, Inputs{})
	must(t, err)
	// The process dies in the middle of an attempt: what it leaves are these records.
	must(t, q.create(t.Context(), numberKey(j.ID, keyAttempts, 1), attemptRecord{Worker: "w", At: time.Now()}))
	must(t, errors.Join(q.Close(), d.Close()))

	q, d = open(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	tr := s.trainer(3, 0)
	s.step = time.Millisecond
	w, err := NewWorker(q, WorkerOptions{Trainer: tr.on(&doorway{}), Dir: t.TempDir()})
	must(t, err)
	done := make(chan error, 2)
	go func() { done <- w.Run(ctx) }()
	go func() { done <- q.Run(ctx) }()
	begin := time.Now()
	j, err = q.Wait(t.Context(), j.ID, 20*time.Second)
	must(t, err)
	if took := time.Since(begin); j.Status != tuning.Succeeded || j.Attempt != 2 || took > 10*time.Second {
		t.Errorf("%s, attempt %d after %v", j.Status, j.Attempt, took)
	}
	cancel()
	must(t, errors.Join(<-done, <-done, q.Close(), d.Close()))
}
