package queue

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

const (
	processLease = 1500 * time.Millisecond
	processPoll  = 100 * time.Millisecond
	processStep  = 20 * time.Millisecond
)

// workerProcess is the body of a worker in a process of its own.
func workerProcess(dir string) int {
	fail := func(err error) int { fmt.Fprintln(os.Stderr, err); return 1 }
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	d, err := store.OpenDir(filepath.Join(dir, "store"))
	if err != nil {
		return fail(err)
	}
	defer d.Close()
	rdb, err := Connect("redis://" + os.Getenv("QUEUE_TEST_REDIS"))
	if err != nil {
		return fail(err)
	}
	defer rdb.Close()
	s := &site{step: processStep}
	q, err := Open(ctx, Options{
		Store: d, Redis: rdb, Lease: processLease, Poll: processPoll, RetryDelay: processPoll, Register: s.register,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)).With("pid", os.Getpid()),
	})
	if err != nil {
		return fail(err)
	}
	defer q.Close()
	w, err := NewWorker(q, WorkerOptions{Trainer: s.trainer(100, 10).on(&doorway{}), Dir: filepath.Join(dir, "scratch")})
	if err != nil {
		return fail(err)
	}
	if err := w.Run(ctx); err != nil {
		return fail(err)
	}
	return 0
}

// eachAddress runs a test on both kinds of Redis, reached by other processes.
func eachAddress(t *testing.T, f func(t *testing.T, s *site, addr string)) {
	t.Parallel()
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		m := miniredis.RunT(t)
		s := realSite2(t, tcp{m.Addr(), m})
		f(t, s, m.Addr())
	})
	t.Run("redis-server", func(t *testing.T) {
		t.Parallel()
		r := startRedis(t)
		f(t, realSite2(t, r), r.Addr())
	})
}

func realSite2(t *testing.T, r server) *site {
	return &site{t: t, dir: t.TempDir(), redis: r, logs: newLogs(t), lease: processLease, poll: processPoll, step: processStep, slack: time.Second}
}

func (s *site) spawn(addr string) *exec.Cmd {
	s.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "QUEUE_TEST_WORKER="+s.dir, "QUEUE_TEST_REDIS="+addr)
	cmd.Stderr = s.logs
	must(s.t, cmd.Start())
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func TestAWorkerProcessKilledAtOnceLosesNoMoreThanTheStepsSinceItsCheckpoint(t *testing.T) {
	eachAddress(t, func(t *testing.T, s *site, addr string) {
		p := s.open(true)
		j := p.submit("imdb")
		first := s.spawn(addr)
		p.reached(j.ID, 20)
		must(t, first.Process.Kill())
		_ = first.Wait()
		killed := time.Now()
		s.spawn(addr)
		s.until(func() bool { j, err := p.Get(t.Context(), j.ID); must(t, err); return j.Attempt == 2 }, "attempt 2")
		if took, most := time.Since(killed), s.lease+3*s.poll+2*s.slack; took > most {
			t.Errorf("attempt 2 began after %v, want %v at most", took, most)
		}
		p.proven(j.ID, s.trainer(100, 10), 2)
		wantResumed(t, p, j.ID, 2)
		if left, err := os.ReadDir(filepath.Join(s.dir, "scratch")); err != nil || len(left) != 1 {
			t.Errorf("%d scratch folders, %v; want only that of the living", len(left), err)
		}
	})
}

func TestAWorkerProcessStoppedForLongerThanItsLeaseYields(t *testing.T) {
	eachAddress(t, func(t *testing.T, s *site, addr string) {
		p := s.open(true)
		j := p.submit("imdb")
		first := s.spawn(addr)
		p.reached(j.ID, 20)
		must(t, first.Process.Signal(syscall.SIGSTOP))
		s.spawn(addr)
		s.until(func() bool { j, err := p.Get(t.Context(), j.ID); must(t, err); return j.Attempt == 2 }, "attempt 2")
		must(t, first.Process.Signal(syscall.SIGCONT))
		p.proven(j.ID, s.trainer(100, 10), 2)
	})
}

func TestAWorkerProcessThatIsTerminatedHandsItsJobBack(t *testing.T) {
	eachAddress(t, func(t *testing.T, s *site, addr string) {
		p := s.open(true)
		j := p.submit("imdb")
		first := s.spawn(addr)
		p.reached(j.ID, 20)
		second := s.spawn(addr)
		must(t, first.Process.Signal(syscall.SIGTERM))
		if err := first.Wait(); err != nil {
			t.Errorf("it ended with %v", err)
		}
		p.proven(j.ID, s.trainer(100, 10), 2)
		must(t, second.Process.Signal(syscall.SIGTERM))
		if err := second.Wait(); err != nil {
			t.Errorf("it ended with %v", err)
		}
		if j := p.await(j.ID, tuning.Succeeded); j.Error != nil {
			t.Errorf("%+v", j.Error)
		}
	})
}
