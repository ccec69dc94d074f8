package routes

import (
	"net"
	"sync"
)

// limitListener has at most so many connections open; more wait in the system's queue.
// It is netutil.LimitListener, but what it accepts is still a *net.TCPConn to net/http,
// which half-closes one so that a caller who is still sending gets to read the answer.
type limitListener struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	close  func() error
}

func limitConnections(l net.Listener, most int) net.Listener {
	limited := &limitListener{Listener: l, places: make(chan struct{}, most), closed: make(chan struct{})}
	limited.close = sync.OnceValue(func() error {
		close(limited.closed)
		return l.Close()
	})
	return limited
}

func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	release := sync.OnceFunc(func() { <-l.places })
	if tcp, ok := c.(*net.TCPConn); ok {
		return &limitedTCP{tcp, release}, nil
	}
	return &limitedConn{c, release}, nil
}

func (l *limitListener) Close() error { return l.close() }

type limitedTCP struct {
	*net.TCPConn
	release func()
}

func (c *limitedTCP) Close() error {
	defer c.release()
	return c.TCPConn.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
