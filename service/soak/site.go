//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// site is where services run: a folder, and the program.
type site struct {
	c      *common
	dir    string
	own    bool // the folder is removed at the end
	binary string

	mu      sync.Mutex
	running []*process
}

// open makes the folder and builds the service.
func (c *common) open(ctx context.Context) (*site, error) {
	s := &site{c: c, dir: c.dir, own: c.dir == "", binary: c.binary}
	var err error
	if s.own {
		if s.dir, err = os.MkdirTemp("", "lorikeet-soak-"); err != nil {
			return nil, err
		}
	} else if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	if s.binary != "" {
		return s, nil
	}
	start := time.Now()
	c.say("building the service")
	s.binary = filepath.Join(s.dir, "service")
	build := exec.CommandContext(ctx, "go", "build", "-o", s.binary, "lorikeet/service")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("go build: %w\n%s", err, out), s.remove())
	}
	c.say("built in %.1f s", time.Since(start).Seconds())
	return s, nil
}

// remove removes what is the site's own.
func (s *site) remove() error {
	if !s.own {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// close ends the processes that still run.
func (s *site) close() {
	s.mu.Lock()
	all := s.running
	s.running = nil
	s.mu.Unlock()
	for _, p := range all {
		_ = p.signal(syscall.SIGKILL) // it may have ended
		<-p.over
	}
}

// process is a service.
type process struct {
	name string
	url  string
	log  string // the file it logs to
	cmd  *exec.Cmd
	over chan struct{} // closed when it has ended
	err  error         // how, once over is closed
}

// start runs the service with these arguments on a free port. Its log is appended to.
func (s *site) start(name string, args ...string) (*process, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &process{name: name, url: "http://" + l.Addr().String(), log: filepath.Join(s.dir, name+".log"), over: make(chan struct{})}
	args = append(args, "--addr", l.Addr().String(), "--data", filepath.Join(s.dir, name), "--backend", s.c.backend)
	if err := l.Close(); err != nil {
		return nil, err
	}
	logs, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer logs.Close() // the process has its own
	p.cmd = exec.Command(s.binary, args...)
	p.cmd.Stderr = logs
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LORIKEET_") {
			p.cmd.Env = append(p.cmd.Env, v)
		}
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.over)
		p.err = p.cmd.Wait()
	}()
	s.mu.Lock()
	s.running = append(s.running, p)
	s.mu.Unlock()
	return p, nil
}

// ready waits until the processes take requests.
func (s *site) ready(ctx context.Context, all ...*process) error {
	start := time.Now()
	for _, p := range all {
		for said := time.Now(); p.get("/readyz") != http.StatusOK; {
			if time.Since(said) > 5*time.Second {
				s.c.say("%s is not ready yet", p.name)
				said = time.Now()
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-p.over:
				return fmt.Errorf("%s ends before it is ready: %w; see %s", p.name, p.err, p.log)
			case <-time.After(50 * time.Millisecond):
			}
			if time.Since(start) > 3*time.Minute {
				return fmt.Errorf("%s does not become ready; see %s", p.name, p.log)
			}
		}
	}
	s.c.say("ready after %.1f s", time.Since(start).Seconds())
	return nil
}

// get asks a process for the status of a path, 0: there is no answer.
func (p *process) get(path string) int {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(p.url + path)
	if err != nil {
		return 0
	}
	_ = res.Body.Close() // only the status matters
	return res.StatusCode
}

// signal sends a signal to the process, which may have ended.
func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// stop ends a process with SIGTERM. It must end well, and within the time.
func (p *process) stop(within time.Duration) (took time.Duration, err error) {
	start := time.Now()
	if err := p.signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-p.over:
		if p.err != nil {
			p.err = fmt.Errorf("%s: %w; see %s", p.name, p.err, p.log)
		}
		return time.Since(start), p.err
	case <-time.After(within):
		_ = p.signal(syscall.SIGKILL) // it may end just now
		<-p.over
		return time.Since(start), fmt.Errorf("%s still runs %v after SIGTERM; see %s", p.name, within, p.log)
	}
}
