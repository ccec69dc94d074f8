package queue

import (
	"context"
	"encoding/json"
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
	"lorikeet/tuning/queue/queuetest"
)

const (
	processLease = 1500 * time.Millisecond
	processPoll  = 100 * time.Millisecond
	processStep  = 20 * time.Millisecond
)

// workerVariable holds a duty in the environment of a worker process.
const workerVariable = "QUEUE_TEST_WORKER"

// duty is what a worker process is told, as JSON in its environment.
type duty struct {
	Dir, Redis   string
	Steps, Every int
	Lease        time.Duration
	Clock        *queuetest.Clock // nil: the right one
	Collect      bool             // say how many blobs and jobs of a day are collected, and exit
}

// workerProcess is the body of a worker in a process of its own.
func workerProcess(text string) int {
	fail := func(err error) int { fmt.Fprintln(os.Stderr, err); return 1 }
	var d duty
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return fail(err)
	}
	if d.Clock != nil {
		if err := d.Clock.Set(); err != nil {
			return fail(err)
		}
	}
	if d.Dir == "" {
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	records, err := store.OpenDir(filepath.Join(d.Dir, "store"))
	if err != nil {
		return fail(err)
	}
	defer records.Close()
	if d.Collect {
		q, err := Open(ctx, Options{Store: records, Keep: 24 * time.Hour})
		if err != nil {
			return fail(err)
		}
		defer q.Close()
		c, err := q.Collect(ctx, func(string) bool { return false }, 24*time.Hour)
		if err != nil {
			return fail(err)
		}
		fmt.Print(c.Blobs + c.Jobs)
		return 0
	}
	rdb, err := Connect("redis://" + d.Redis)
	if err != nil {
		return fail(err)
	}
	defer rdb.Close()
	s := &site{step: processStep}
	q, err := Open(ctx, Options{
		Store: records, Redis: rdb, Lease: d.Lease, Poll: processPoll, RetryDelay: processPoll, Register: s.register,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)).With("pid", os.Getpid()),
	})
	if err != nil {
		return fail(err)
	}
	defer q.Close()
	w, err := NewWorker(q, WorkerOptions{Trainer: s.trainer(d.Steps, d.Every).on(&doorway{}), Dir: filepath.Join(d.Dir, "scratch")})
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

// command is this program with a duty.
func command(t *testing.T, d duty) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(d)
	must(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workerVariable+"="+string(text))
	return cmd
}

func (s *site) spawn(addr string, change ...func(*duty)) *exec.Cmd {
	s.t.Helper()
	d := duty{Dir: s.dir, Redis: addr, Steps: 100, Every: 10, Lease: s.lease}
	for _, f := range change {
		f(&d)
	}
	cmd := command(s.t, d)
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
