package routes

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Serving says how the service stops. A zero means the default.
type Serving struct {
	Delay time.Duration // after /readyz turns 503, new requests are still taken for so long; 0
	Grace time.Duration // then requests in flight have so long to finish; texts half written end shortly before; 30 s

	TLS         *tls.Config // nil: plain HTTP
	Connections int         // open at a time; more wait to be taken; 4096
}

// linger is how long, once the service is stopping, a connection may stay open for its
// next request, which is answered with "Connection: close". Clients that are busy are
// told that way; to close a connection under them would lose what they have just sent.
const linger = time.Second

// Serve answers on l until ctx ends, and then drains: /readyz says 503, streams and
// waits end, the listener closes, requests in flight finish, and so do those that come
// meanwhile on connections that are open. It returns nil after a clean drain, and an
// error when the grace ran out or the listener failed. It closes l.
func Serve(ctx context.Context, l net.Listener, h *Handler, s Serving) error {
	open := &openConnections{all: map[net.Conn]bool{}}
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		TLSConfig:         s.TLS,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 100},
		ConnState:         open.note,
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
		// No ReadTimeout and no WriteTimeout: they would end slow uploads and event
		// streams. Every read and every write has its own deadline instead.
	}
	limited := limitConnections(l, orDefault(s.Connections, 4096))
	failed := make(chan error, 1)
	go func() {
		if s.TLS != nil {
			failed <- server.ServeTLS(limited, "", "") // the configuration has the certificates; HTTP/2 comes with it
			return
		}
		failed <- server.Serve(limited)
	}()
	select {
	case err := <-failed:
		h.Drain()
		return fmt.Errorf("serve %v: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	h.draining.Store(true)
	patience := orDefault(s.Grace, 30*time.Second)
	h.log.Info("draining", "delay", s.Delay, "grace", patience)
	time.Sleep(s.Delay)
	h.Drain()
	grace, stop := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer stop()
	// Texts still being written then are told so, rather than cut off.
	last := time.AfterFunc(patience-min(patience/2, 2*time.Second), h.hurry)
	defer last.Stop()
	err := limited.lastCall()
	select {
	case <-limited.closed: // by who takes connections: all that waited are taken
	case <-grace.Done():
	}
	end := time.Now().Add(linger)
	for open.count() > 0 && time.Now().Before(end) && grace.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	if down := server.Shutdown(grace); down != nil {
		err = errors.Join(err, fmt.Errorf("requests were still in flight when the grace ended: %w", down), server.Close())
	}
	if closed := <-failed; !errors.Is(closed, http.ErrServerClosed) && !errors.Is(closed, net.ErrClosed) {
		err = errors.Join(err, closed)
	}
	return err
}
