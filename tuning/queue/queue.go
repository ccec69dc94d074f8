// Package queue hands fine-tunes to workers and loses none. What is true about a job
// are its records in the store: immutable, each created at most once, so that its
// status is computed and never stored. What Redis holds is only who works on what
// now, and what was said about it a moment ago: a Redis that is flushed, restarted
// empty or out of reach costs seconds, never a job.
//
// The one idea: attempt n of a job is the record attempts/<n>, made by create-if-
// absent, and it is the fencing token. A lease in Redis keeps two workers from
// trying at once; that a worker whose lease was lost can do no harm is the work of
// the store, where a newer attempt and the final record each have one writer.
package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// Store is what the queue needs of a record store; see [store.Dir].
type Store interface {
	Create(ctx context.Context, key string, data []byte) error
	Get(ctx context.Context, key string) ([]byte, error)
	Created(ctx context.Context, key string) (time.Time, error)
	List(ctx context.Context, prefix string) ([]string, error)
	Children(ctx context.Context, prefix string) ([]string, error)
	Delete(ctx context.Context, key string) error
	PutBlob(ctx context.Context, r io.Reader) (digest string, size int64, err error)
	Fetch(ctx context.Context, digest string, w io.Writer) (int64, error)
	StatBlob(ctx context.Context, digest string) (store.BlobInfo, error)
	DeleteBlob(ctx context.Context, digest string) error
	Blobs(ctx context.Context) iter.Seq2[store.BlobInfo, error]
}

// Options of a queue. Only Store is needed; zero values mean what is said below.
type Options struct {
	Store Store
	// Redis is where work is handed out; see [Connect]. Nil: a Redis inside this
	// process, for which no other process may use the store's queue. The caller
	// closes what it gives.
	Redis redis.UniversalClient
	Log   *slog.Logger // nil: nowhere
	// Register makes what a job trained available and says under which name. It
	// is called after the job's final record is durable, again after a crash, and
	// perhaps by two processes at once: it must do its work once per job. An error
	// that holds an invalid.Fault fails the job; any other is tried again. Nil:
	// nothing is to be done.
	Register func(ctx context.Context, f Finished) (tuning.Result, error)
	// Over is told of each job that is over, once by every process that comes to know of
	// it: by one that runs Run in any case, also at its start of those that ended before,
	// of which it may know no more than id, kind, tenant, status and times. It must not
	// wait. Nil: nobody is told.
	Over func(tuning.Job)

	Lease      time.Duration // how long a silent worker keeps its job; 30 s
	Poll       time.Duration // how often an idle worker looks for work unasked; 1 s
	Every      time.Duration // how often Run reconciles; 15 s
	RetryDelay time.Duration // before the attempt after a failed one, doubled each time; 5 s
	MaxJobs    int           // jobs queued or running beyond which Submit refuses; 1000
	// JobsPerTenant is how many jobs of one tenant may be queued, running or paused; 0:
	// as many as there may be at all. Processes that submit at once may pass it by one each.
	JobsPerTenant int
	Attempts      int // attempts without a new checkpoint that fail a job; 3
	// Keep is how long a job stays after its end before Collect deletes it; 0: for ever.
	Keep   time.Duration
	Prefix string // of the Redis keys; default from the store's identity
}

func (o *Options) defaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	or(&o.Lease, 30*time.Second)
	or(&o.Poll, time.Second)
	or(&o.Every, 15*time.Second)
	or(&o.RetryDelay, 5*time.Second)
	or(&o.MaxJobs, 1000)
	or(&o.Attempts, 3)
}

// or gives *p a default.
func or[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

// gate lets one through at a time, as a mutex does, for work that takes long: who
// waits may leave.
type gate chan struct{}

func (g gate) enter(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g gate) leave() { <-g }

// Queue is the job service: what the API asks and what workers take from. It is
// safe for concurrent use.
type Queue struct {
	o      Options
	store  Store
	log    *slog.Logger
	redis  *dispatch
	hub    *hub
	index  *index
	meters *meters
	own    *embedded // nil: Redis was given

	kicked chan struct{} // asks Run to reconcile now

	admitting   gate // held by who counts a tenant's jobs
	reconciling gate
	rounds      int       // of Reconcile, guarded by reconciling
	copyAfter   time.Time // when the next copy may be written, guarded by reconciling

	clock sync.Mutex
	last  time.Time // the newest CreatedAt given out, guarded by clock
}

// Open opens the queue of the jobs in o.Store. A Redis that cannot be reached is
// logged and is no error: jobs can be submitted and read without it.
func Open(ctx context.Context, o Options) (*Queue, error) {
	if o.Store == nil {
		return nil, errors.New("queue: no store")
	}
	o.defaults()
	q := &Queue{
		o: o, store: o.Store, log: o.Log,
		index:       newIndex(),
		meters:      newMeters(),
		kicked:      make(chan struct{}, 1),
		admitting:   make(gate, 1),
		reconciling: make(gate, 1),
	}
	if o.Prefix == "" {
		id, err := q.identity(ctx)
		if err != nil {
			return nil, fmt.Errorf("queue: %w", err)
		}
		o.Prefix = "lorikeet:" + id
	}
	rdb := o.Redis
	if rdb == nil {
		own, err := openEmbedded(ctx, o.Store)
		if err != nil {
			return nil, fmt.Errorf("queue: %w", err)
		}
		q.own, rdb = own, own.client
	}
	rdb.AddHook(q.meters.redis)
	q.redis = newDispatch(rdb, o.Prefix)
	q.hub = newHub(rdb, q.redis.channel, q.kick)
	if q.own == nil {
		q.redis.checkPolicy(ctx, q.log)
	}
	return q, nil
}

// Close stops what Open started. Workers and Run must have returned before.
func (q *Queue) Close() error {
	q.hub.close()
	if q.own != nil {
		return q.own.close()
	}
	return nil
}

// Ping reports whether Redis answers. Jobs are safe when it does not, but no one
// works on them.
func (q *Queue) Ping(ctx context.Context) error {
	return q.redis.rdb.Ping(ctx).Err()
}

// identity names this store, so that two stores on one Redis do not mix. Only the first
// process ever writes it: one that starts while the disk is full can do its work.
func (q *Queue) identity(ctx context.Context) (string, error) {
	id, err := store.Once(ctx, q.store, "queue/identity", []byte(strings.ToLower(rand.Text()[:12])))
	return string(id), err
}

// now gives each job of this process a time of its own, so that their order does not
// depend on chance within a millisecond.
func (q *Queue) now() time.Time {
	q.clock.Lock()
	defer q.clock.Unlock()
	t := time.Now().UTC().Truncate(time.Millisecond)
	if !t.After(q.last) {
		t = q.last.Add(time.Millisecond)
	}
	q.last = t
	return t
}

// kick asks Run to reconcile soon.
func (q *Queue) kick() {
	select {
	case q.kicked <- struct{}{}:
	default:
	}
}

// Announce tells every process that listens to topic, by [Queue.Hear]; for example
// that an adapter was registered. It may be lost: listeners look for themselves now
// and then.
func (q *Queue) Announce(ctx context.Context, topic, text string) error {
	return q.redis.publish(ctx, "say "+topic+" "+text)
}

// Hear delivers what is announced on topic until stop is called. A listener that
// does not keep up misses some. An empty text means that some may have been missed.
func (q *Queue) Hear(topic string) (texts <-chan string, stop func()) {
	return q.hub.listen("say " + topic)
}
