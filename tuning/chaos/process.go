//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"lorikeet/tuning/queue"
	"lorikeet/tuning/queue/queuetest"
)

// lasting is a worker process that is started again whenever it ends.
type lasting struct {
	n        int
	command  func() (*exec.Cmd, error) // starts it; state is held
	died     func()                    // is told of each end; nil: nobody is
	patience time.Duration             // how long it may take to end
	log      *journal

	state sync.Mutex
	cmd   *exec.Cmd
	over  bool // it is not started again
	ended chan struct{}
}

// process is a worker process, or as number 0 the API, which is this one.
type process struct {
	lasting
	r     *runner
	road  way
	queue *queue.Queue // of the API

	mu, way sync.Mutex // held while one harms the process, or its way to Redis

	clock *queuetest.Clock // that the next start gives it; nil: the right one; under state
}

// hire starts worker n.
func (r *runner) hire(n int) (*process, error) {
	p := &process{lasting: lasting{n: n, patience: 30 * time.Second, log: &r.journal}, r: r}
	p.command = p.worker
	p.died = func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.deaths++
	}
	var err error
	if p.road, err = newWay(fmt.Sprint("worker", n), r.redis.Addr()); err != nil {
		return nil, err
	}
	return p, p.start()
}

// worker starts one.
func (p *process) worker() (*exec.Cmd, error) {
	class := ""
	if p.n%2 == 0 {
		class = "big"
	}
	text, err := json.Marshal(setup{Dir: p.r.c.dir, Redis: p.road.address(), N: p.n, Class: class, Slots: p.r.c.slots, Lease: p.r.c.lease, Clock: p.clock})
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	logs, err := os.OpenFile(filepath.Join(p.r.c.dir, "logs", fmt.Sprintf("worker-%d.log", p.n)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer logs.Close()
	cmd := exec.Command(self) //nolint:gosec // this program
	cmd.Env = append(os.Environ(), workerVariable+"="+string(text))
	cmd.Stderr = logs
	return cmd, cmd.Start()
}

// start starts the process for the first time.
func (p *lasting) start() error {
	p.ended = make(chan struct{})
	cmd, err := p.command()
	if err != nil {
		return err
	}
	p.cmd = cmd
	go p.watch()
	return nil
}

// watch starts the process again when it has ended.
func (p *lasting) watch() {
	defer close(p.ended)
	for {
		p.state.Lock()
		cmd := p.cmd
		p.state.Unlock()
		err := cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() >= 0 { // it was not killed by a signal
			p.log.violation("worker %d ends with %v; see its log", p.n, err)
		}
		if p.died != nil {
			p.died()
		}
		p.state.Lock()
		if p.over {
			p.state.Unlock()
			return
		}
		if cmd, err = p.command(); err == nil {
			p.cmd = cmd
		}
		p.state.Unlock()
		if err != nil {
			p.log.violation("worker %d does not start: %v", p.n, err)
			return
		}
		time.Sleep(50 * time.Millisecond) // not in a circle, should it die at once
	}
}

// set gives the process another clock from its next start on.
func (p *process) set(clock *queuetest.Clock) {
	p.state.Lock()
	defer p.state.Unlock()
	p.clock = clock
}

func (p *lasting) pid() int {
	p.state.Lock()
	defer p.state.Unlock()
	return p.cmd.Process.Pid
}

// signal sends a signal to the process, which may have ended meanwhile.
func (p *lasting) signal(s syscall.Signal) error { return send(p.pid(), s) }

func send(pid int, s syscall.Signal) error {
	if err := syscall.Kill(pid, s); !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// dismiss ends the process for good, as SIGTERM does.
func (p *lasting) dismiss() {
	p.state.Lock()
	p.over = true
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	p.state.Unlock()
	select {
	case <-p.ended:
	case <-time.After(p.patience):
		p.log.violation("worker %d does not end", p.n)
		_ = p.signal(syscall.SIGKILL)
		<-p.ended
	}
}

// dismiss ends the process and its way to Redis.
func (p *process) dismiss() {
	p.lasting.dismiss()
	p.road.proxy.Stop()
}
