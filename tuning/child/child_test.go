//go:build unix

package child

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning"
)

// TestMain also is the child, and the parent that is killed.
func TestMain(m *testing.M) {
	switch mode := os.Getenv("CHILD_TEST"); {
	case strings.HasPrefix(mode, "parent "):
		os.Exit(parentProcess(strings.TrimPrefix(mode, "parent ")))
	case mode != "":
		out := os.Stdout
		if mode != "prints" {
			os.Stdout = os.Stderr
		}
		os.Exit(Serve(context.Background(), os.Stdin, out, childTrainer(mode)))
	}
	goleak.VerifyTestMain(m)
}

// childTrainer is what a child does, by mode.
func childTrainer(mode string) tuning.Trainer {
	return func(ctx context.Context, task tuning.Task, r tuning.Reporter) (tuning.Outcome, error) {
		var none tuning.Outcome
		file := filepath.Join(task.Dir, "file")
		if err := os.WriteFile(file, []byte(task.Job), 0o600); err != nil {
			return none, err
		}
		done := tuning.Outcome{Files: map[string]string{"adapter": file}, Metrics: map[string]float64{"eval_loss": 0.5}, Labels: []string{"a", "b"}, Steps: 2}
		switch mode {
		case "works", "prints":
			if mode == "prints" {
				fmt.Println("a library says hello")
				fmt.Println(`{"not":"ours"}`)
			}
			r.Phase("training")
			for step := 1; step <= 2; step++ {
				r.Event("step", tuning.StepData{Step: step, Loss: 0.5})
				if err := r.Checkpoint(ctx, step, map[string]string{"state": file}); err != nil {
					return none, err
				}
			}
			return done, nil
		case "invalid":
			return none, fmt.Errorf("rows: %w", errors.Join(invalid.Line(3, "label", "is missing"), invalid.Field("text", "is empty")))
		case "fails":
			return none, errors.New("a loose cable")
		case "panics":
			panic("shapes differ")
		case "stops":
			r.Phase("waiting")
			<-r.Stop()
			if err := r.Checkpoint(ctx, 7, map[string]string{"state": file}); err != nil {
				return none, err
			}
			return none, tuning.ErrStopped
		case "hangs":
			r.Phase(strconv.Itoa(os.Getpid()))
			select {}
		case "grandchild":
			cmd := exec.Command("sleep", "1000")
			cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
			if err := cmd.Start(); err != nil {
				return none, err
			}
			r.Phase(strconv.Itoa(cmd.Process.Pid))
			return done, nil
		case "killed":
			for i := range 20 {
				fmt.Fprintln(os.Stderr, "line", i)
			}
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		case "exits":
			fmt.Fprintln(os.Stderr, "fatal error: out of luck")
			os.Exit(9)
		case "nice":
			n, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
			for range 200 { // the parent may not have come to it
				if n, err = syscall.Getpriority(syscall.PRIO_PROCESS, 0); err != nil || n != 20 {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			r.Phase(strconv.Itoa(20 - n)) // the system call answers 20 minus the niceness
			return done, err
		}
		return none, errors.New("no such mode")
	}
}

func options(mode string, log io.Writer) Options {
	return Options{
		Command: func(tuning.Task) *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "CHILD_TEST="+mode)
			return cmd
		},
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}
}

// recorder is a worker's reporter.
type recorder struct {
	mu     sync.Mutex
	told   []string
	phase  chan string
	stop   chan struct{}
	refuse error
}

func newRecorder() *recorder {
	return &recorder{phase: make(chan string, 10), stop: make(chan struct{})}
}

func (r *recorder) note(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, s)
}

func (r *recorder) Phase(p string) { r.note("phase " + p); r.phase <- p }
func (r *recorder) Event(typ string, data any) {
	raw, err := json.Marshal(data)
	r.note(fmt.Sprintf("%s %s %v", typ, raw, err))
}

func (r *recorder) Checkpoint(_ context.Context, step int, files map[string]string) error {
	data, err := os.ReadFile(files["state"])
	r.note(fmt.Sprintf("checkpoint %d %s %v", step, data, err))
	return r.refuse
}
func (r *recorder) Stop() <-chan struct{} { return r.stop }

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func attempt(t *testing.T, mode string, r *recorder) (tuning.Outcome, error, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var log syncBuffer
	out, err := Trainer(options(mode, &log))(ctx, tuning.Task{Job: "job_x", Attempt: 1, Dir: t.TempDir()}, r)
	return out, err, log.String()
}

func TestWhatAChildTellsArrives(t *testing.T) {
	for _, mode := range []string{"works", "prints"} {
		t.Run(mode, func(t *testing.T) {
			r := newRecorder()
			out, err, log := attempt(t, mode, r)
			if err != nil {
				t.Fatal(err)
			}
			if out.Steps != 2 || out.Metrics["eval_loss"] != 0.5 || len(out.Labels) != 2 {
				t.Errorf("outcome %+v", out)
			}
			if data, err := os.ReadFile(out.Files["adapter"]); err != nil || string(data) != "job_x" {
				t.Errorf("file %q, %v", data, err)
			}
			var steps, checkpoints int
			for _, s := range r.told {
				if strings.HasPrefix(s, `step {"step":`) {
					steps++
				}
				if s == fmt.Sprintf("checkpoint %d job_x <nil>", checkpoints+1) {
					checkpoints++
				}
			}
			if steps != 2 || checkpoints != 2 || r.told[0] != "phase training" {
				t.Errorf("told %q", r.told)
			}
			if mode == "prints" && !strings.Contains(log, "a library says hello") {
				t.Errorf("log %q", log)
			}
		})
	}
}

func TestHowAnAttemptFails(t *testing.T) {
	for _, c := range []struct {
		mode    string
		message string
		faults  int
		died    bool
		code    string
	}{
		{"invalid", "line 3: label: is missing", 2, false, codeInvalid},
		{"fails", "a loose cable", 0, false, codeFailed},
		{"panics", "the trainer panicked: shapes differ", 0, false, codeFailed},
		{"killed", "memory runs out; it last wrote: line 12", 0, true, codeKilled},
		{"exits", "exit status 9; it last wrote: fatal error: out of luck", 0, true, codeCrashed},
	} {
		t.Run(c.mode, func(t *testing.T) {
			_, err, log := attempt(t, c.mode, newRecorder())
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Fatalf("error %v, want %q in it", err, c.message)
			}
			if got := invalid.Faults(err); len(got) != c.faults {
				t.Errorf("faults %v", got)
			}
			var d *Died
			if errors.As(err, &d) != c.died {
				t.Errorf("error %T", err)
			}
			var j interface{ JobError() tuning.JobError }
			if !errors.As(err, &j) || j.JobError().Code != c.code {
				t.Errorf("error %T has not the code %s", err, c.code)
			}
			if c.mode == "killed" && !strings.Contains(log, "line 19") {
				t.Errorf("log %q", log)
			}
		})
	}
}

func TestACheckpointThatCannotBeStoredFailsInTheChild(t *testing.T) {
	r := newRecorder()
	r.refuse = errors.New("no space left in the store")
	_, err, _ := attempt(t, "works", r)
	if err == nil || err.Error() != "no space left in the store" || !errors.Is(err, r.refuse) {
		t.Errorf("got %v", err)
	}
}

func TestAChildThatIsAskedToStopTakesACheckpointFirst(t *testing.T) {
	r := newRecorder()
	go func() { <-r.phase; close(r.stop) }()
	_, err, _ := attempt(t, "stops", r)
	if !errors.Is(err, tuning.ErrStopped) {
		t.Errorf("got %v", err)
	}
	if last := r.told[len(r.told)-1]; last != "checkpoint 7 job_x <nil>" {
		t.Errorf("told %q", r.told)
	}
}

func TestAChildThatIsAskedToStopBeforeItIsReadyHasStopped(t *testing.T) {
	r := newRecorder()
	close(r.stop)
	if _, err, _ := attempt(t, "stops", r); !errors.Is(err, tuning.ErrStopped) {
		t.Errorf("got %v", err)
	}
}

func TestTheEndOfTheContextKillsTheChild(t *testing.T) {
	r := newRecorder()
	fenced := errors.New("a newer attempt has begun")
	ctx, cancel := context.WithCancelCause(t.Context())
	pid := make(chan string, 1)
	go func() { pid <- <-r.phase; cancel(fenced) }()
	_, err := Trainer(options("hangs", io.Discard))(ctx, tuning.Task{Dir: t.TempDir()}, r)
	if !errors.Is(err, fenced) {
		t.Errorf("got %v", err)
	}
	wantGone(t, <-pid)
	if _, err := Trainer(options("works", io.Discard))(ctx, tuning.Task{}, r); !errors.Is(err, fenced) {
		t.Errorf("a context that has ended: %v", err)
	}
}

func TestWhatAChildStartedEndsWithIt(t *testing.T) {
	r := newRecorder()
	begin := time.Now()
	if _, err, _ := attempt(t, "grandchild", r); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > lateOutput {
		t.Errorf("it took %v", took)
	}
	wantGone(t, <-r.phase)
}

func TestAChildIsNicerThanItsParent(t *testing.T) {
	own, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil {
		t.Skip("no priorities here:", err)
	}
	r := newRecorder()
	if _, err, _ := attempt(t, "nice", r); err != nil {
		t.Fatal(err)
	}
	if got, want := <-r.phase, strconv.Itoa(20-own+5); got != want {
		t.Errorf("niceness %s, want %s", got, want)
	}
}

// parentProcess is a parent that is killed while its child works.
func parentProcess(dir string) int {
	r := newRecorder()
	go func() { fmt.Println(<-r.phase) }()
	_, err := Trainer(options("hangs", io.Discard))(context.Background(), tuning.Task{Dir: dir}, r)
	fmt.Println(err)
	return 1
}

func TestAChildDoesNotOutliveAParentThatIsKilled(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CHILD_TEST=parent "+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	wantGone(t, strconv.Itoa(pid))
}

func wantGone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		// Who is nobody's child any more may stay a zombie where there is no init.
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n))
		if syscall.Kill(n, 0) != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d lives", n)
	_ = syscall.Kill(n, syscall.SIGKILL)
}

// Without a kernel that kills orphans, a child sees its input end.
func TestAChildWhoseInputEndsGivesUp(t *testing.T) {
	in, feed := io.Pipe()
	var out syncBuffer
	ended := make(chan int, 1)
	started := make(chan struct{})
	go func() {
		ended <- Serve(t.Context(), in, &out, func(ctx context.Context, _ tuning.Task, r tuning.Reporter) (tuning.Outcome, error) {
			close(started)
			err := r.Checkpoint(context.Background(), 1, nil) // never answered
			<-ctx.Done()
			return tuning.Outcome{}, errors.Join(err, context.Cause(ctx))
		})
	}()
	fmt.Fprintln(feed, `{"task":{"job":"job_x"}}`)
	<-started
	_ = feed.Close()
	if got := <-ended; got != exitOrphan {
		t.Errorf("exit status %d, wrote %s", got, out.String())
	}
}

func TestAChildWithoutATaskSaysSo(t *testing.T) {
	for _, in := range []string{"", "{}", "x", `{"stored":{"n":1}}`} {
		if got := Serve(t.Context(), strings.NewReader(in), io.Discard, nil); got != exitTask {
			t.Errorf("%q: exit status %d", in, got)
		}
	}
}

func TestACommandThatCannotBeStartedIsAnError(t *testing.T) {
	o := Options{Command: func(tuning.Task) *exec.Cmd { return exec.Command("/does/not/exist") }}
	if _, err := Trainer(o)(t.Context(), tuning.Task{}, newRecorder()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// FuzzListen has a parent listen to anything.
func FuzzListen(f *testing.F) {
	f.Add([]byte(`{"phase":"training"}` + "\n" + `{"event":{"type":"step","data":{"step":1}}}` + "\n"))
	f.Add([]byte(`{"checkpoint":{"n":1,"step":-1,"files":null}}` + "\n" + `{"outcome":{}}` + "\n" + `{"error":{"faults":[{}]}}`))
	f.Add([]byte("{\n\n\x00{\"event\":null}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		r := newRecorder()
		r.phase = make(chan string, 1<<16)
		p := &parent{r: r, in: null, log: slog.New(slog.DiscardHandler)}
		p.listen(context.Background(), bytes.NewReader(data))
		if p.told.Error != nil {
			_ = invalid.Faults(p.told.Error)
		}
	})
}
