package queue

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// hub hears the news of all processes over one subscription and passes it on to who
// listens here. News is a hint: every listener also looks for itself now and then.
type hub struct {
	rdb         redis.UniversalClient
	channel     string
	reconnected func()
	cancel      context.CancelFunc
	ended       chan struct{}

	mu        sync.Mutex
	listeners map[string]map[chan string]struct{}
}

// silence is how long a connection may say nothing before it is asked whether it
// lives; as long again and it is given up.
const silence = 15 * time.Second

func newHub(rdb redis.UniversalClient, channel string, reconnected func()) *hub {
	ctx, cancel := context.WithCancel(context.Background())
	h := &hub{
		rdb: rdb, channel: channel, reconnected: reconnected, cancel: cancel,
		ended: make(chan struct{}), listeners: map[string]map[chan string]struct{}{},
	}
	go h.run(ctx)
	return h
}

func (h *hub) close() {
	h.cancel()
	<-h.ended
}

// listen delivers news on a subject. An empty text means that some may have been
// missed.
func (h *hub) listen(subject string) (<-chan string, func()) {
	ch := make(chan string, 16)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listeners[subject] == nil {
		h.listeners[subject] = map[chan string]struct{}{}
	}
	h.listeners[subject][ch] = struct{}{}
	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.listeners[subject], ch)
		if len(h.listeners[subject]) == 0 {
			delete(h.listeners, subject)
		}
	}
}

func (h *hub) run(ctx context.Context) {
	defer close(h.ended)
	for ctx.Err() == nil {
		h.hear(ctx)
		pause(ctx, 200*time.Millisecond)
	}
}

// hear takes news until its connection is gone.
func (h *hub) hear(ctx context.Context) {
	sub := h.rdb.Subscribe(ctx, h.channel)
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() }) // ends a read
	defer func() {
		if stop() {
			_ = sub.Close()
		}
	}()
	asked := false
	for {
		msg, err := sub.ReceiveTimeout(ctx, silence)
		var timeout net.Error
		switch {
		case err == nil:
			asked = false
			h.take(msg)
		case errors.As(err, &timeout) && timeout.Timeout() && !asked && ctx.Err() == nil:
			asked = true
			if sub.Ping(ctx) != nil {
				return
			}
		default:
			return
		}
	}
}

func (h *hub) take(msg any) {
	switch m := msg.(type) {
	case *redis.Subscription:
		// The first one, or one after the connection was lost and news with it.
		h.all()
		h.reconnected()
	case *redis.Message:
		subject, text := m.Payload, ""
		if rest, ok := strings.CutPrefix(m.Payload, "say "); ok {
			topic, said, _ := strings.Cut(rest, " ")
			subject, text = "say "+topic, said
		}
		h.tell(subject, text)
	}
}

func (h *hub) tell(subject, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.listeners[subject] {
		select {
		case ch <- text:
		default:
		}
	}
}

// all tells everyone that something may have been missed.
func (h *hub) all() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, chs := range h.listeners {
		for ch := range chs {
			select {
			case ch <- "":
			default:
			}
		}
	}
}

// pause waits, or returns when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
