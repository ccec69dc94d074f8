package queue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"lorikeet/adapters/store"
)

// embedded is a Redis in this process. It is reached through memory, not a port, so
// no other user of the machine can reach it. It forgets everything with the process;
// Reconcile fills it again.
type embedded struct {
	server *miniredis.Miniredis
	client *redis.Client
	unlock func() error
	done   chan struct{}
	ended  chan struct{}
}

// locker is a store of which one process at a time can hold a part; see [store.Dir].
type locker interface {
	Lock(ctx context.Context, name string) (unlock func() error, err error)
}

func openEmbedded(ctx context.Context, s Store) (*embedded, error) {
	e := &embedded{unlock: func() error { return nil }, done: make(chan struct{}), ended: make(chan struct{})}
	// Two processes, each with a Redis of its own, would take each other's jobs for
	// abandoned.
	if l, ok := s.(locker); ok {
		unlock, err := l.Lock(ctx, "redis")
		if errors.Is(err, store.ErrLocked) {
			return nil, fmt.Errorf("another process uses this store with its embedded Redis; give both the address of one Redis: %w", err)
		}
		if err != nil {
			return nil, err
		}
		e.unlock = unlock
	}
	e.server = miniredis.NewMiniRedis()
	e.client = memoryClient(e.server)
	go e.tick()
	return e, nil
}

// memoryClient connects to a miniredis without a socket.
func memoryClient(m *miniredis.Miniredis) *redis.Client {
	quieten()
	return redis.NewClient(&redis.Options{
		Addr: "embedded",
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			return m.Dial()
		},
		Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// tick moves the server's clock: in miniredis nothing expires by itself.
func (e *embedded) tick() {
	defer close(e.ended)
	t := time.NewTicker(time.Second)
	defer t.Stop()
	last := time.Now()
	for {
		select {
		case <-t.C:
			now := time.Now()
			e.server.FastForward(now.Sub(last))
			last = now
		case <-e.done:
			return
		}
	}
}

func (e *embedded) close() error {
	close(e.done)
	<-e.ended
	err := e.client.Close()
	e.server.Close()
	return errors.Join(err, e.unlock())
}
