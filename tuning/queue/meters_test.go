package queue

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/trace"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning"
)

// TestAWorkerThatEndsByItself makes so many attempts and not one more, and does not
// wait for ever for the first.
func TestAWorkerThatEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fakeSite(t)
		p := s.open(true)
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			p.submit(name)
		}
		tr := s.trainer(3, 1)
		runs := func(change func(*WorkerOptions)) time.Duration {
			t.Helper()
			o := WorkerOptions{Trainer: tr.on(p.gate), Dir: filepath.Join(s.dir, "scratch")}
			change(&o)
			w, err := NewWorker(p.Queue, o)
			must(t, err)
			begun := time.Now()
			must(t, w.Run(t.Context()))
			return time.Since(begun)
		}
		finished := func() (n int) {
			jobs, _, err := p.List(t.Context(), Filter{Status: tuning.Succeeded})
			must(t, err)
			return len(jobs)
		}
		runs(func(o *WorkerOptions) { o.Jobs, o.Slots = 3, 2 })
		if n := finished(); n != 3 {
			t.Errorf("%d jobs are done, want 3", n)
		}
		st, err := p.Stats(t.Context())
		must(t, err)
		if len(st.Workers) != 0 {
			t.Errorf("the worker has left and is still known: %v", st.Workers)
		}
		if c := st.Classes[defaultClass]; c.Queued != 2 || c.Kinds[tuning.LoRA] != (KindStats{Queued: 2}) {
			t.Errorf("the queue fares as %+v", c)
		}
		if took := runs(func(o *WorkerOptions) { o.Jobs, o.Idle = 5, time.Minute }); took < time.Minute || took > 2*time.Minute {
			t.Errorf("an idle worker waits %v, want about a minute", took)
		}
		if n := finished(); n != 5 {
			t.Errorf("%d jobs are done, want 5", n)
		}
		if took := runs(func(o *WorkerOptions) { o.Idle = 10 * time.Second }); took > 15*time.Second {
			t.Errorf("an idle worker waits %v, want 10 s", took)
		}
		if got := testutil.ToFloat64(p.meters.steps.WithLabelValues("lora")); got != 15 {
			t.Errorf("%v steps are counted, want 15", got)
		}
		if n := testutil.CollectAndCount(p.meters.loss); n != 0 {
			t.Errorf("%d losses of jobs that are over are still shown", n)
		}
	})
}

// TestAttemptsAreCountedByTheirEnd has each end happen once.
func TestAttemptsAreCountedByTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fakeSite(t)
		tr := s.trainer(3, 1)
		tr.at = func(_ context.Context, task tuning.Task, step int) error {
			switch {
			case task.Spec.Name == "hopeless":
				return invalid.Field("dataset", "is empty")
			case task.Spec.Name == "unlucky" && task.Attempt == 1 && step == 2:
				return errors.New("the device is gone")
			}
			return nil
		}
		p := s.work(tr)
		p.await(p.submit("hopeless").ID, tuning.Failed)
		p.await(p.submit("unlucky").ID, tuning.Succeeded)
		for outcome, want := range map[string]float64{attemptSucceeded: 1, attemptFailed: 1, attemptRetried: 1, attemptStopped: 0, attemptDiscarded: 0} {
			p.site.until(func() bool { return testutil.ToFloat64(p.meters.attempts.WithLabelValues("lora", outcome)) == want }, "%v attempts that %s", want, outcome)
		}
		if problems, err := testutil.CollectAndLint(p.meters.duration); err != nil || len(problems) > 0 {
			t.Errorf("%v, %v", problems, err)
		}
	})
}

// TestAJobKeepsItsTrace looks for it where workers get it, and in the hash of the
// request, where it must not be: a retry is part of another trace.
func TestAJobKeepsItsTrace(t *testing.T) {
	s := fakeSiteOutside(t)
	p := s.open(false)
	in := func(span byte) context.Context {
		return trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{span}, TraceFlags: trace.FlagsSampled}))
	}
	spec := tuning.Spec{Kind: tuning.LoRA, Model: "bert", Name: "imdb", IdempotencyKey: "key"}
	j, _, err := p.Submit(in(1), spec, Inputs{})
	must(t, err)
	if _, replayed, err := p.Submit(in(2), spec, Inputs{}); err != nil || !replayed {
		t.Errorf("a retry: replayed %v, %v", replayed, err)
	}
	st, err := p.load(t.Context(), j.ID)
	must(t, err)
	if got := st.spec.Trace.ID(); got != "01020000000000000000000000000000" {
		t.Errorf("the trace is %q", got)
	}
	untraced := p.submit("other")
	st, err = p.load(t.Context(), untraced.ID)
	must(t, err)
	if st.spec.Trace != nil || st.spec.Trace.ID() != "" {
		t.Errorf("a job of no trace has %v", st.spec.Trace)
	}
}
