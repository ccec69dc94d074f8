package queuetest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"
)

// ErrNoRedis: there is no redis-server to be started.
var ErrNoRedis = errors.New("missing redis-server")

// Redis is a redis-server process that keeps nothing on disk.
type Redis struct {
	Clock   *Clock // that the next start gives it; nil: the right one
	Program string // redis-server of the path unless it says another

	dir  string
	port int
	args []string
	cmd  *exec.Cmd
	out  bytes.Buffer
}

// NewRedis chooses a free port on the loopback. Nothing runs until Start.
func NewRedis(dir string, args ...string) (*Redis, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return &Redis{Program: "redis-server", dir: dir, port: l.Addr().(*net.TCPAddr).Port, args: args}, nil
}

// Addr is host and port.
func (r *Redis) Addr() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// Start starts the process, empty, and waits until it answers.
func (r *Redis) Start() error {
	path, err := exec.LookPath(r.Program)
	if err != nil {
		return ErrNoRedis
	}
	args := append([]string{"--port", fmt.Sprint(r.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", r.dir}, r.args...)
	r.cmd = exec.Command(path, args...) //nolint:gosec // found on the path
	if r.Clock != nil {
		env, err := r.Clock.Environ()
		if err != nil {
			return err
		}
		r.cmd.Env = append(os.Environ(), env...)
	}
	r.out.Reset()
	r.cmd.Stdout = &r.out
	if err := r.cmd.Start(); err != nil {
		return err
	}
	for range 1000 {
		if c, err := net.Dial("tcp", r.Addr()); err == nil {
			return c.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.Kill()
	return fmt.Errorf("redis-server does not answer: %s", r.out.String())
}

// Kill ends the process and all it holds.
func (r *Redis) Kill() {
	_ = r.cmd.Process.Kill() // it may be gone
	_ = r.cmd.Wait()
}
