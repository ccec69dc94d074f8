package child

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"lorikeet/tuning"
)

// Options of a trainer that works in child processes.
type Options struct {
	// Command makes the command whose process calls [Serve]. Its standard streams
	// and process attributes are set here. It must not be bound to a context.
	Command func(task tuning.Task) *exec.Cmd
	Nice    int          // added to the child's niceness, so that serving comes first; 5 when zero
	Log     *slog.Logger // for what the child writes to standard error; nil: nowhere
}

const (
	maxLine    = 16 << 20         // bytes in a line of the child's output
	keepLines  = 8                // last lines of standard error in an error
	keepBytes  = 300              // of each
	lateOutput = 10 * time.Second // for what is left in a pipe that someone else holds open
)

// Trainer returns a trainer that makes each attempt in a child process. The end of
// its context kills the child and what it started; a wish to stop reaches it as
// SIGTERM. A child that dies is an error of type [*Died].
func Trainer(o Options) tuning.Trainer {
	if o.Nice == 0 {
		o.Nice = 5
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return func(ctx context.Context, task tuning.Task, r tuning.Reporter) (tuning.Outcome, error) {
		p := &parent{o: o, r: r, log: o.Log.With("job", task.Job, "attempt", task.Attempt)}
		if id := task.Trace.ID(); id != "" {
			p.log = p.log.With("trace_id", id)
		}
		return p.run(ctx, task)
	}
}

// parent is the parent's side of one attempt.
type parent struct {
	o   Options
	r   tuning.Reporter
	log *slog.Logger
	in  *os.File // the child's standard input

	told  fromChild // how it ended, by its own word
	last  []string  // of standard error
	asked bool      // to stop

	refused error // why the last checkpoint that failed did
}

func (p *parent) run(ctx context.Context, task tuning.Task) (tuning.Outcome, error) {
	var none tuning.Outcome
	if err := context.Cause(ctx); err != nil {
		return none, err
	}
	cmd := p.o.Command(task)
	pipes, err := connect(cmd)
	if err != nil {
		return none, fmt.Errorf("child: %w", err)
	}
	p.in = pipes.in
	exited, err := start(cmd)
	pipes.closeChild()
	if err != nil {
		return none, errors.Join(fmt.Errorf("child: %w", err), pipes.closeParent())
	}
	if err := lower(cmd.Process.Pid, p.o.Nice); err != nil {
		p.log.Debug("the child keeps its priority", "error", err)
	}

	over := make(chan struct{})
	var watch, read sync.WaitGroup
	watch.Go(func() { p.watch(ctx, cmd, over) })
	read.Go(func() { p.listen(ctx, pipes.out) })
	read.Go(func() { p.capture(pipes.err) })
	p.send(toChild{Task: &task})

	werr := <-exited
	close(over)
	watch.Wait()
	kill(cmd.Process.Pid) // what it started goes with it, and lets go of the pipes
	late := time.Now().Add(lateOutput)
	_ = pipes.err.SetReadDeadline(late)
	_ = pipes.out.SetReadDeadline(late)
	read.Wait()
	if err := pipes.closeParent(); err != nil {
		p.log.Debug("pipes", "error", err)
	}
	return p.result(ctx, cmd, werr)
}

// result prefers what the child said to how it ended.
func (p *parent) result(ctx context.Context, cmd *exec.Cmd, werr error) (tuning.Outcome, error) {
	var none tuning.Outcome
	switch {
	case ctx.Err() != nil:
		return none, context.Cause(ctx)
	case p.told.Stopped:
		return none, tuning.ErrStopped
	case p.told.Error != nil:
		p.told.Error.cause = p.refused
		return none, p.told.Error
	case p.told.Outcome != nil && werr == nil:
		return *p.told.Outcome, nil
	}
	d := &Died{How: "ended without an outcome", Stderr: p.last}
	if werr != nil {
		d.How = "ended: " + werr.Error()
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		if ws.Signal() == syscall.SIGTERM && p.asked {
			return none, tuning.ErrStopped // before it was ready to be asked
		}
		d.How = "was ended by a signal: " + ws.Signal().String()
		d.Killed = ws.Signal() == syscall.SIGKILL
	}
	return none, d
}

// start starts the command and returns a channel that gives what Wait returned. Both
// happen on one thread that lives as long as the child: on Linux the child is killed
// when the thread that made it ends.
func start(cmd *exec.Cmd) (<-chan error, error) {
	begun, exited := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		attributes(cmd)
		err := cmd.Start()
		begun <- err
		if err == nil {
			exited <- cmd.Wait()
		}
	}()
	return exited, <-begun
}

// watch passes on the wish to stop, and kills.
func (p *parent) watch(ctx context.Context, cmd *exec.Cmd, over <-chan struct{}) {
	stop := p.r.Stop()
	for {
		select {
		case <-over:
			return
		case <-ctx.Done():
			kill(cmd.Process.Pid)
			return
		case <-stop:
			stop, p.asked = nil, true
			if err := terminate(cmd.Process); err != nil {
				p.log.Warn("the child cannot be asked to stop", "error", err)
			}
		}
	}
}

// listen takes the child's messages until its output ends.
func (p *parent) listen(ctx context.Context, out io.Reader) {
	eachLine(out, maxLine, func(text []byte) {
		var m fromChild
		if len(text) == 0 || text[0] != '{' || json.Unmarshal(text, &m) != nil {
			// A library that prints.
			p.log.Info("child", "stdout", clip(string(text)))
			return
		}
		switch {
		case m.Phase != "":
			p.r.Phase(m.Phase)
		case m.Event != nil:
			p.r.Event(m.Event.Type, m.Event.Data)
		case m.Checkpoint != nil:
			answer := &stored{N: m.Checkpoint.N}
			if err := p.r.Checkpoint(ctx, m.Checkpoint.Step, m.Checkpoint.Files); err != nil {
				answer.Error, p.refused = err.Error(), err
			}
			p.send(toChild{Stored: answer})
		case m.Outcome != nil, m.Stopped, m.Error != nil:
			p.told = m
		}
	})
}

// send writes to the child. One that has gone is noticed by its end.
func (p *parent) send(m toChild) {
	data, err := line(m)
	if err == nil {
		_, err = p.in.Write(data)
	}
	if err != nil {
		p.log.Debug("the child does not listen", "error", err)
	}
}

// capture logs the child's standard error and keeps its end.
func (p *parent) capture(r io.Reader) {
	eachLine(r, 1<<16, func(text []byte) {
		s := strings.TrimRight(string(text), "\r")
		if strings.TrimSpace(s) == "" {
			return
		}
		s = clip(s)
		p.log.Info("child", "stderr", s)
		p.last = append(p.last, s)
		if len(p.last) > keepLines {
			p.last = p.last[1:]
		}
	})
}

func clip(s string) string {
	if len(s) > keepBytes {
		return s[:keepBytes] + "…"
	}
	return s
}

// eachLine calls f for each line; what is longer than most is cut to that.
func eachLine(r io.Reader, most int, f func([]byte)) {
	b := bufio.NewReaderSize(r, 1<<16)
	var text []byte
	for {
		part, err := b.ReadSlice('\n')
		if room := most - len(text); room > 0 {
			text = append(text, part[:min(len(part), room)]...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if len(text) > 0 {
			f(bytes.TrimSuffix(text, []byte("\n")))
		}
		text = text[:0]
		if err != nil {
			return
		}
	}
}

// pipes are the parent's ends, and the child's until it has them.
type pipes struct {
	in, out, err *os.File
	child        []*os.File
}

func connect(cmd *exec.Cmd) (*pipes, error) {
	p := &pipes{}
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.in, p.child = inW, append(p.child, inR)
	outR, outW, err := os.Pipe()
	if err != nil {
		p.closeChild()
		return nil, errors.Join(err, inW.Close())
	}
	p.out, p.child = outR, append(p.child, outW)
	errR, errW, err := os.Pipe()
	if err != nil {
		p.closeChild()
		return nil, errors.Join(err, inW.Close(), outR.Close())
	}
	p.err, p.child = errR, append(p.child, errW)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inR, outW, errW
	return p, nil
}

func (p *pipes) closeChild() {
	for _, f := range p.child {
		_ = f.Close()
	}
}

func (p *pipes) closeParent() error {
	return errors.Join(p.in.Close(), p.out.Close(), p.err.Close())
}
