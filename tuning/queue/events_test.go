package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning"
	"lorikeet/tuning/queue/queuetest"
)

// collect reads a followed job to its end.
func collect(t *testing.T, s *site, ch <-chan tuning.Event) []tuning.Event {
	t.Helper()
	var all []tuning.Event
	limit := time.After(time.Hour)
	if !s.fake {
		limit = time.After(30 * time.Second)
	}
	for {
		select {
		case e, ok := <-ch:
			if !ok {
				return all
			}
			all = append(all, e)
		case <-limit:
			t.Fatalf("the stream does not end; %d events", len(all))
		}
	}
}

func ids(events []tuning.Event) []string {
	all := make([]string, len(events))
	for i, e := range events {
		all[i] = e.ID
	}
	return all
}

func TestAFollowerSeesEveryEventOnceWhateverHappens(t *testing.T) {
	for name, harm := range map[string]func(s *site, p *process, id string){
		"nothing":              func(*site, *process, string) {},
		"Redis loses its data": func(s *site, _ *process, _ string) { s.redis.flush() },
		"its own way is cut":   func(s *site, p *process, _ string) { p.cut(); time.Sleep(s.lease / 2); p.join() },
		"flushed while cut off": func(s *site, p *process, _ string) {
			p.cut()
			time.Sleep(4 * s.step)
			s.redis.flush()
			time.Sleep(2 * s.step)
			p.join()
		},
		"the job is paused":     func(s *site, p *process, id string) { pauseAndResume(s, p, id) },
		"a pause and a flush":   func(s *site, p *process, id string) { pauseAndResume(s, p, id); s.redis.flush() },
		"Redis restarts":        func(s *site, _ *process, _ string) { s.redis.restart() },
		"flush, pause, restart": func(s *site, p *process, id string) { s.redis.flush(); pauseAndResume(s, p, id); s.redis.restart() },
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, s *site) {
				tr := s.trainer(60, 7)
				s.work(tr)
				p := s.open(true)
				j := p.submit("imdb")
				live, err := p.Follow(t.Context(), j.ID, "")
				must(t, err)
				p.reached(j.ID, 14)
				harm(s, p, j.ID)
				got := collect(t, s, live)
				checkHistory(t, got, 60)
				done := p.await(j.ID, tuning.Succeeded)
				p.proven(j.ID, tr, done.Attempt)

				all, err := p.Events(t.Context(), j.ID, "", 0)
				must(t, err)
				// Who comes back with the last id it saw gets the rest, by either way.
				for _, i := range []int{0, 1, len(all) / 2, len(all) - 2, len(all) - 1} {
					rest, err := p.Events(t.Context(), j.ID, all[i].ID, 0)
					must(t, err)
					if !slices.Equal(ids(rest), ids(all[i+1:])) {
						t.Errorf("after %s: %v, want %v", all[i].ID, ids(rest), ids(all[i+1:]))
					}
				}
				again, err := p.Follow(t.Context(), j.ID, all[3].ID)
				must(t, err)
				if rest := collect(t, s, again); !slices.Equal(ids(rest), ids(all[4:])) {
					t.Errorf("followed after %s: %v", all[3].ID, ids(rest))
				}
				page, err := p.Events(t.Context(), j.ID, all[1].ID, 3)
				must(t, err)
				if !slices.Equal(ids(page), ids(all[2:5])) {
					t.Errorf("page %v", ids(page))
				}
			})
		})
	}
}

// An attempt may end before Redis has heard of its last steps. They are in the store,
// and whoever speaks next says them first.
func TestStepsThatRedisDidNotHearOfAreNotMissedByAFollower(t *testing.T) {
	for name, goOn := range map[string]func(s *site, p *process, id string, tr *trainer){
		"another attempt":    func(s *site, p *process, _ string, tr *trainer) { p.work(tr) },
		"a pause and resume": func(s *site, p *process, id string, tr *trainer) { pauseAndResume(s, p, id); p.work(tr) },
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, s *site) {
				ctx := t.Context()
				p := s.open(false)
				j := p.submit("imdb")
				tr := s.trainer(8, 0)
				var events []logged
				for step := range 5 {
					e, err := newEvent(eventID{int64(step) + 1, subStep}, "step", time.Now(), tuning.StepData{Step: step + 1})
					must(t, err)
					events = append(events, e)
				}
				must(t, p.create(ctx, numberKey(j.ID, keyAttempts, 1), attemptRecord{At: time.Now()}))
				_, err := p.redis.appendEvents(ctx, j.ID, "", "", "", time.Hour, events[:3])
				must(t, err)
				live, err := p.Follow(ctx, j.ID, "3-0")
				must(t, err)
				got := []tuning.Event{events[0].Event, events[1].Event, <-live}
				// The rest of the steps and a checkpoint are in the store only.
				data, err := encodeEvents(events)
				must(t, err)
				must(t, p.store.Create(ctx, historyKey(j.ID, events[0].id, 1, 1), data))
				must(t, checkpointAt(p, j.ID, 5))
				must(t, p.create(ctx, numberKey(j.ID, keyEnds, 1), endRecord{How: endStopped}))
				goOn(s, p, j.ID, tr)
				checkHistory(t, append(got, collect(t, s, live)...), 8)
			})
		})
	}
}

// checkpointAt stores a checkpoint that a [queuetest.Counter] goes on from.
func checkpointAt(p *process, id string, step int) error {
	ctx := context.Background()
	c := queuetest.Counter{Steps: step}
	digest, size, err := p.store.PutBlob(ctx, strings.NewReader(fmt.Sprintf(`{"Step":%d,"State":%q}`, step, c.Answer(id))))
	if err != nil {
		return err
	}
	return p.create(ctx, checkpointKey(id, taken{step, 1}), manifest{Step: step, Attempt: 1, Files: map[string]File{"state": {Digest: digest, Size: size}}})
}

func pauseAndResume(s *site, p *process, id string) {
	_, err := p.Pause(context.Background(), id)
	must(s.t, err)
	p.await(id, tuning.Paused)
	_, err = p.Resume(context.Background(), id)
	must(s.t, err)
}

func TestAFollowerOfAJobWhoseWorkerIsKilledSeesTheStepsThatAreRunAgainOnce(t *testing.T) {
	for name, harm := range map[string]func(s *site){"": func(*site) {}, " with Redis": func(s *site) { s.redis.flush() }} {
		t.Run("killed"+name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, s *site) {
				tr := s.trainer(40, 10)
				first := s.work(tr)
				p := s.open(true)
				j := p.submit("imdb")
				live, err := p.Follow(t.Context(), j.ID, "")
				must(t, err)
				var got []tuning.Event
				for e := range live { // until it has seen steps beyond the checkpoint
					got = append(got, e)
					if strings.HasPrefix(e.ID, "15-") {
						break
					}
				}
				first.kill()
				harm(s)
				s.work(tr)
				got = append(got, collect(t, s, live)...)
				checkHistory(t, got, 40)
				p.proven(j.ID, tr, 2)
			})
		})
	}
}

func TestAStreamThatIsCutOffEndsWithItsContext(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.open(true)
		j := p.submit("imdb")
		ctx, cancel := context.WithCancel(t.Context())
		live, err := p.Follow(ctx, j.ID, "")
		must(t, err)
		if e := <-live; e.ID != "0-1" || e.Type != "status" {
			t.Errorf("first event %+v", e)
		}
		cancel()
		if rest := collect(t, s, live); len(rest) != 0 {
			t.Errorf("rest %v", rest)
		}
		for _, after := range []string{"x", "1", "-1-1", "1-", "1-2-3", "99999999999999999999-1"} {
			if _, err := p.Follow(t.Context(), j.ID, after); !invalid.Is(err) {
				t.Errorf("after %q: %v", after, err)
			}
			if _, err := p.Events(t.Context(), j.ID, after, 0); !invalid.Is(err) {
				t.Errorf("after %q: %v", after, err)
			}
		}
	})
}

func TestProgressAndMetricsAreSeenWhileAJobRunsAndAfter(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		tr := s.trainer(20, 5)
		p := s.work(tr)
		j := p.submit("imdb")
		s.until(func() bool {
			j, err := p.Get(t.Context(), j.ID)
			must(t, err)
			return j.Progress != nil && j.Progress.Step >= 6
		}, "progress")
		j, err := p.Get(t.Context(), j.ID)
		must(t, err)
		if j.Phase != "training" || j.Progress.TotalSteps != 20 || j.Progress.Percent < 30 || j.Progress.ETASeconds <= 0 || j.Metrics["eval_loss"] == 0 {
			t.Errorf("phase %q, progress %+v, metrics %v", j.Phase, j.Progress, j.Metrics)
		}
		j = p.await(j.ID, tuning.Succeeded)
		if j.Phase != "" || j.Progress.Percent != 100 || j.Metrics["eval_accuracy"] != 0.9 || j.StartedAt == nil || j.FinishedAt == nil {
			t.Errorf("phase %q, progress %+v, metrics %v", j.Phase, j.Progress, j.Metrics)
		}
	})
}

func TestTheLastTwoCheckpointsAndTheBestAreKept(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		tr := s.trainer(50, 5) // step 10 is the best
		p := s.work(tr)
		j := p.submit("imdb")
		p.await(j.ID, tuning.Succeeded)
		cs, err := p.Checkpoints(t.Context(), j.ID)
		must(t, err)
		var steps []int
		for _, c := range cs {
			steps = append(steps, c.Step)
			if c.Best != (c.Step == 10) || c.Bytes == 0 || c.Metrics["eval_loss"] == 0 || c.Progress == nil {
				t.Errorf("%+v", c)
			}
		}
		if !slices.Equal(steps, []int{45, 40, 10}) {
			t.Errorf("kept %v", steps)
		}
	})
}

func TestWaitReturnsAtTheEndOrInTime(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.open(true)
		j := p.submit("imdb")
		begin := time.Now()
		got, err := p.Wait(t.Context(), j.ID, 5*s.poll)
		must(t, err)
		if took := time.Since(begin); took < 5*s.poll || got.Status != tuning.Queued {
			t.Errorf("%s after %v", got.Status, took)
		}
		s.work(s.trainer(3, 0))
		got, err = p.Wait(t.Context(), j.ID, time.Hour)
		must(t, err)
		if got.Status != tuning.Succeeded {
			t.Errorf("%s", got.Status)
		}
		ctx, cancel := context.WithTimeout(t.Context(), s.poll)
		defer cancel()
		if _, err := p.Wait(ctx, p.submit("b").ID, time.Hour); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
}

func TestWhatIsAnnouncedIsHeardByOtherProcesses(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		a, b := s.open(false), s.open(false)
		texts, stop := b.Hear("adapters")
		defer stop()
		var got []string
		s.until(func() bool {
			must(t, a.Announce(t.Context(), "other", "x"))
			must(t, a.Announce(t.Context(), "adapters", "imdb 3"))
			for {
				select {
				case text := <-texts:
					if text != "" {
						got = append(got, text)
					}
					continue
				default:
				}
				return len(got) > 0
			}
		}, "the announcement")
		for _, text := range got {
			if text != "imdb 3" {
				t.Errorf("heard %q", text)
			}
		}
	})
}

// A trainer may report in any order; ids must grow all the same, and be the same in
// the next attempt.
func TestEventIDsFollowFromTheStepInEveryAttempt(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.open(true)
		script := func(ctx context.Context, task tuning.Task, r tuning.Reporter) (tuning.Outcome, error) {
			r.Phase("training")
			for step := 1; step <= 6; step++ {
				r.Event("step", &tuning.StepData{Step: step})
				if step%2 == 0 {
					r.Phase("evaluating")
					r.Event("eval", json.RawMessage(fmt.Sprintf(`{"step":%d,"metrics":{"eval_a":1}}`, step)))
					r.Event("eval", tuning.EvalData{Step: step, Metrics: map[string]float64{"eval_b": 1}})
					r.Phase("training")
				}
				if task.Attempt == 1 && step == 5 {
					return tuning.Outcome{}, fmt.Errorf("broken")
				}
			}
			return tuning.Outcome{}, nil
		}
		w, err := NewWorker(p.Queue, WorkerOptions{Trainer: script, Dir: t.TempDir()})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		j := p.submit("imdb")
		p.await(j.ID, tuning.Succeeded)
		cancel()
		must(t, <-done)
		events, err := p.Events(t.Context(), j.ID, "", 0)
		must(t, err)
		checkHistory(t, events, 6)
		var got []string
		for _, e := range events {
			if e.Type == "step" || e.Type == "eval" {
				got = append(got, e.ID)
			}
		}
		want := []string{"1-1", "2-1", "2-100", "2-101", "3-1", "4-1", "4-100", "4-101", "5-1", "6-1", "6-100", "6-101"}
		if !slices.Equal(got, want) {
			t.Errorf("ids %v, want %v", got, want)
		}
	})
}

func FuzzEventID(f *testing.F) {
	for _, s := range []string{"0-1", "57-1", "9999999999999-0", "", "-", "1-", "+1-+1", "01-1", "9223372036854775807-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, ok := parseEventID(s)
		if !ok {
			return
		}
		if again, ok := parseEventID(id.String()); !ok || again != id {
			t.Errorf("%q: %v, %v", s, again, id)
		}
		if !id.less(id.next()) {
			t.Errorf("%v is not before its next", id)
		}
	})
}

func FuzzHistory(f *testing.F) {
	e, err := newEvent(eventID{1, 1}, "step", time.Unix(0, 0), tuning.StepData{Step: 1})
	if err != nil {
		f.Fatal(err)
	}
	good, err := encodeEvents([]logged{e})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		events, err := decodeEvents(data)
		if err != nil {
			return
		}
		again, err := encodeEvents(events)
		if err != nil {
			t.Fatal(err)
		}
		if round, err := decodeEvents(again); err != nil || len(round) != len(events) {
			t.Errorf("%d events, then %d, %v", len(events), len(round), err)
		}
	})
}
