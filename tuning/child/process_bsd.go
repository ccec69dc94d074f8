//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package child

import "syscall"

func dieWithParent(*syscall.SysProcAttr) {}
