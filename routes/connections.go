package routes

import (
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// limitListener has at most so many connections open; more wait in the system's queue.
// It is netutil.LimitListener, but what it accepts is still a *net.TCPConn to net/http,
// which half-closes one so that a caller who is still sending gets to read the answer.
type limitListener struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	close  func() error
	ending chan struct{} // closed by lastCall
	end    func()
}

func limitConnections(l net.Listener, most int) *limitListener {
	limited := &limitListener{Listener: l, places: make(chan struct{}, most), closed: make(chan struct{}), ending: make(chan struct{})}
	limited.close = sync.OnceValue(func() error {
		close(limited.closed)
		return l.Close()
	})
	limited.end = sync.OnceFunc(func() { close(limited.ending) })
	return limited
}

// Accept takes the next connection. After lastCall it is net.ErrClosed once no more wait.
func (l *limitListener) Accept() (net.Conn, error) {
	release := func() {}
	select {
	case l.places <- struct{}{}:
		release = sync.OnceFunc(func() { <-l.places })
	case <-l.ending: // who waits is taken, whatever the number
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		c, err := l.Listener.Accept()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if l.extended() {
				continue
			}
			release()
			return nil, errors.Join(net.ErrClosed, l.Close())
		}
		if err != nil {
			release()
			return nil, err
		}
		if tcp, ok := c.(*net.TCPConn); ok {
			return &limitedTCP{tcp, release}, nil
		}
		return &limitedConn{c, release}, nil
	}
}

// Close implements net.Listener.
func (l *limitListener) Close() error { return l.close() }

// lastCall closes the listener once the connections that wait in the system's queue are
// taken: their callers have sent their requests already, and would see them reset.
func (l *limitListener) lastCall() error {
	d, ok := l.Listener.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return l.Close()
	}
	l.end()
	if err := d.SetDeadline(time.Now()); err != nil { // an Accept that waits returns, and looks once more
		return errors.Join(err, l.Close())
	}
	return nil
}

// extended reports whether more connections wait, and lets Accept take one. Without
// lastCall there is no deadline.
func (l *limitListener) extended() bool {
	if !pending(l.Listener) {
		return false
	}
	d, ok := l.Listener.(interface{ SetDeadline(time.Time) error })
	return ok && d.SetDeadline(time.Now().Add(lastCall)) == nil
}

// lastCall is how long Accept may take for a connection that is there.
const lastCall = 50 * time.Millisecond

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

// openConnections counts them. One that has been answered counts as one that has not been:
// until it is known to be idle its client may have sent the next request.
type openConnections struct {
	mu  sync.Mutex
	all map[net.Conn]bool
}

// note is an http.Server.ConnState.
func (o *openConnections) note(c net.Conn, s http.ConnState) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch s {
	case http.StateNew, http.StateActive, http.StateIdle:
		o.all[c] = true
	case http.StateHijacked, http.StateClosed:
		delete(o.all, c)
	}
}

func (o *openConnections) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.all)
}
