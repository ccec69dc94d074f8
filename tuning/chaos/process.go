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

// process is a worker process, which is started again whenever it ends, or as number 0
// the API, which is this one.
type process struct {
	r     *runner
	n     int
	road  way
	queue *queue.Queue // of the API

	mu, way sync.Mutex // held while one harms the process, or its way to Redis

	state sync.Mutex
	clock *queuetest.Clock // that the next start gives it; nil: the right one
	cmd   *exec.Cmd
	over  bool // it is not started again
	ended chan struct{}
}

// hire starts worker n.
func (r *runner) hire(n int) (*process, error) {
	p := &process{r: r, n: n, ended: make(chan struct{})}
	var err error
	if p.road, err = newWay(fmt.Sprint("worker", n), r.redis.Addr()); err != nil {
		return nil, err
	}
	if err := p.start(); err != nil {
		return nil, err
	}
	go p.watch()
	return p, nil
}

func (p *process) start() error {
	class := ""
	if p.n%2 == 0 {
		class = "big"
	}
	text, err := json.Marshal(setup{Dir: p.r.c.dir, Redis: p.road.address(), N: p.n, Class: class, Slots: p.r.c.slots, Lease: p.r.c.lease, Clock: p.clock})
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logs, err := os.OpenFile(filepath.Join(p.r.c.dir, "logs", fmt.Sprintf("worker-%d.log", p.n)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logs.Close()
	cmd := exec.Command(self) //nolint:gosec // this program
	cmd.Env = append(os.Environ(), workerVariable+"="+string(text))
	cmd.Stderr = logs
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd = cmd
	return nil
}

// watch starts the process again when it has ended.
func (p *process) watch() {
	defer close(p.ended)
	for {
		p.state.Lock()
		cmd := p.cmd
		p.state.Unlock()
		err := cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() >= 0 { // it was not killed by a signal
			p.r.violation("worker %d ends with %v; see its log", p.n, err)
		}
		p.r.mu.Lock()
		p.r.deaths++
		p.r.mu.Unlock()
		p.state.Lock()
		if p.over {
			p.state.Unlock()
			return
		}
		err = p.start()
		p.state.Unlock()
		if err != nil {
			p.r.violation("worker %d does not start: %v", p.n, err)
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

func (p *process) pid() int {
	p.state.Lock()
	defer p.state.Unlock()
	return p.cmd.Process.Pid
}

// signal sends a signal to the process, which may have ended meanwhile.
func (p *process) signal(s syscall.Signal) error { return send(p.pid(), s) }

func send(pid int, s syscall.Signal) error {
	if err := syscall.Kill(pid, s); !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// dismiss ends the process for good, as SIGTERM does.
func (p *process) dismiss() {
	p.state.Lock()
	p.over = true
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	p.state.Unlock()
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		p.r.violation("worker %d does not end", p.n)
		_ = p.signal(syscall.SIGKILL)
		<-p.ended
	}
	p.road.proxy.Stop()
}
