//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package child

import (
	"os"
	"os/exec"
	"syscall"
)

// attributes puts the child into a process group of its own, so that a Ctrl-C at the
// terminal is the parent's to pass on, and all it starts can be killed with it.
func attributes(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr)
}

// kill ends a process group at once. One that is gone is none of our business.
func kill(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// terminate asks a process to stop.
func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// lower makes all threads of a process group nicer: on Linux a process's niceness is
// its first thread's only.
func lower(pid, nice int) error {
	return syscall.Setpriority(syscall.PRIO_PGRP, pid, nice)
}
