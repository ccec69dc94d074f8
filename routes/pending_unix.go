//go:build unix

package routes

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// pending reports whether connections wait in a listener's queue.
func pending(l net.Listener) bool {
	s, ok := l.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	ready := 0
	err = raw.Control(func(fd uintptr) {
		for {
			var again error
			if ready, again = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0); !errors.Is(again, unix.EINTR) { // #nosec G115 -- a file descriptor fits
				return
			}
		}
	})
	return err == nil && ready > 0
}
