package queue

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
	"lorikeet/tuning/queue/queuetest"
)

// site is a place with one store, one Redis, and any number of processes.
type site struct {
	t       *testing.T
	dir     string
	redis   server
	lease   time.Duration
	poll    time.Duration
	step    time.Duration // of a fake trainer
	slack   time.Duration // for a machine that has other things to do
	fake    bool          // the clock is synctest's
	logs    *logs
	creates func(key string) // called before a record is created
	created func(key string) // called after it is
	deletes func(key string) // called before a record is deleted
	mu      sync.Mutex
	called  map[string]int // how often each job was registered
}

// server is a Redis that can be harmed.
type server interface {
	dial() (net.Conn, error)
	flush()
	restart() // empty
}

// everywhere runs a test on an in-process Redis with a fake clock and with the
// product's own times, and on a real redis-server with short ones.
func everywhere(t *testing.T, f func(t *testing.T, s *site)) {
	t.Parallel()
	t.Run("miniredis, fake clock", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, fakeSite(t)) })
	})
	t.Run("redis-server", func(t *testing.T) {
		if testing.Short() {
			t.Skip("by the real clock")
		}
		t.Parallel()
		f(t, realSite(t))
	})
}

func fakeSite(t *testing.T) *site {
	m := miniredis.NewMiniRedis()
	t.Cleanup(func() {
		m.Close()
		time.Sleep(3 * time.Second) // a closed client's dialer finds out within a second
	})
	s := &site{t: t, dir: t.TempDir(), redis: &mini{m: m}, fake: true,
		lease: 30 * time.Second, poll: time.Second, step: time.Second}
	s.logs = newLogs(t)
	return s
}

// fakeSiteOutside is a fakeSite by the real clock, for tests in which no time passes.
func fakeSiteOutside(t *testing.T) *site {
	m := miniredis.NewMiniRedis()
	t.Cleanup(m.Close)
	return &site{t: t, dir: t.TempDir(), redis: &mini{m: m}, lease: time.Minute, poll: time.Second, step: time.Second, logs: newLogs(t)}
}

func realSite(t *testing.T) *site {
	s := &site{t: t, dir: t.TempDir(), redis: startRedis(t),
		lease: 2 * time.Second, poll: 50 * time.Millisecond, step: 20 * time.Millisecond, slack: time.Second}
	s.logs = newLogs(t)
	return s
}

// mini is a miniredis reached through memory.
type mini struct{ m *miniredis.Miniredis }

// dial connects with a buffer such as a kernel has: miniredis holds its lock while it
// publishes, so without one a subscriber that is frozen would freeze all.
func (m *mini) dial() (net.Conn, error) {
	far, err := m.m.Dial()
	if err != nil {
		return nil, err
	}
	near, in := net.Pipe()
	chunks := make(chan []byte, 10000)
	go func() {
		defer close(chunks)
		for {
			p := make([]byte, 4096)
			n, err := far.Read(p)
			if err != nil {
				return
			}
			chunks <- p[:n]
		}
	}()
	go func() {
		defer in.Close()
		for p := range chunks {
			_, _ = in.Write(p) // after an error the rest is thrown away
		}
	}()
	return bufferedConn{far, near}, nil
}

type bufferedConn struct {
	net.Conn
	near net.Conn
}

func (c bufferedConn) Read(p []byte) (int, error)         { return c.near.Read(p) }
func (c bufferedConn) SetReadDeadline(t time.Time) error  { return c.near.SetReadDeadline(t) }
func (c bufferedConn) SetWriteDeadline(t time.Time) error { return c.Conn.SetWriteDeadline(t) }
func (c bufferedConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
func (c bufferedConn) Close() error { return errors.Join(c.near.Close(), c.Conn.Close()) }

func (m *mini) flush()   { m.m.FlushAll() }
func (m *mini) restart() { m.m.FlushAll() }

// tcp is a miniredis that other processes can reach.
type tcp struct {
	addr string
	m    *miniredis.Miniredis
}

func (r tcp) dial() (net.Conn, error) { return net.Dial("tcp", r.addr) }
func (r tcp) flush()                  { r.m.FlushAll() }
func (r tcp) restart()                { r.m.FlushAll() }

// realRedis is a redis-server process.
type realRedis struct {
	*queuetest.Redis
	t *testing.T
}

func startRedis(t *testing.T) *realRedis {
	t.Helper()
	r, err := queuetest.NewRedis(t.TempDir())
	must(t, err)
	if err := r.Start(); errors.Is(err, queuetest.ErrNoRedis) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	return &realRedis{r, t}
}

func (r *realRedis) dial() (net.Conn, error) { return net.Dial("tcp", r.Addr()) }
func (r *realRedis) restart()                { r.Kill(); must(r.t, r.Start()) }
func (r *realRedis) flush() {
	c := redis.NewClient(&redis.Options{Addr: r.Addr()})
	defer c.Close()
	must(r.t, c.FlushAll(context.Background()).Err())
}

// process stands for one process of the service: its own way to Redis and to the
// store, which can be cut, frozen and killed.
type process struct {
	*Queue
	site   *site
	gate   *doorway
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// doorway is what stands between a process and the rest of the world.
type doorway struct {
	mu     sync.Mutex
	cut    bool          // no way to Redis
	dead   bool          // no way to the store either
	frozen chan struct{} // nil: not; closed by thaw
	conns  map[net.Conn]struct{}
}

var (
	errCut  = errors.New("cut off")
	errDead = errors.New("dead")
)

// pass waits while the process is frozen and fails when it is dead.
func (g *doorway) pass() error {
	for {
		g.mu.Lock()
		dead, frozen := g.dead, g.frozen
		g.mu.Unlock()
		switch {
		case dead:
			return errDead
		case frozen == nil:
			return nil
		}
		<-frozen
	}
}

func (g *doorway) set(f func()) {
	g.mu.Lock()
	f()
	closed := g.cut || g.dead
	conns := g.conns
	if closed {
		g.conns = map[net.Conn]struct{}{}
	}
	g.mu.Unlock()
	if closed {
		for c := range conns {
			_ = c.Close()
		}
	}
}

type gatedConn struct {
	net.Conn
	g *doorway
}

func (c gatedConn) Write(p []byte) (int, error) {
	if err := c.g.pass(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// open starts a process without workers. With run it reconciles.
func (s *site) open(run bool, change ...func(*Options)) *process {
	s.t.Helper()
	d, err := store.OpenDir(filepath.Join(s.dir, "store"))
	must(s.t, err)
	g := &doorway{conns: map[net.Conn]struct{}{}}
	rdb := redis.NewClient(&redis.Options{
		Addr: "gate", Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true, DialerRetries: 1, MaxRetries: 1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			if err := g.pass(); err != nil {
				return nil, err
			}
			g.mu.Lock()
			cut := g.cut
			g.mu.Unlock()
			if cut {
				return nil, errCut
			}
			c, err := s.redis.dial()
			if err != nil {
				return nil, err
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			g.conns[c] = struct{}{}
			return gatedConn{c, g}, nil
		},
	})
	o := Options{
		Store: &gatedStore{d, g, s}, Redis: rdb, Lease: s.lease, Poll: s.poll, Every: s.lease / 2, RetryDelay: s.poll,
		Log: s.logs.logger(), Register: s.register,
	}
	for _, f := range change {
		f(&o)
	}
	q, err := Open(s.t.Context(), o)
	must(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{Queue: q, site: s, gate: g, cancel: cancel}
	if run {
		p.wg.Go(func() { _ = q.Run(ctx) })
	}
	s.t.Cleanup(func() {
		p.stop()
		_ = q.Close()
		_ = rdb.Close()
		_ = d.Close()
	})
	return p
}

// stop ends a process as SIGTERM does.
func (p *process) stop() {
	p.gate.set(func() {
		if p.gate.frozen != nil {
			close(p.gate.frozen)
			p.gate.frozen = nil
		}
	})
	p.cancel()
	p.wg.Wait()
}

// kill ends a process as SIGKILL does: nothing more is heard of it.
func (p *process) kill() { p.gate.set(func() { p.gate.dead = true }); p.cancel() }

// cut and join part a process from Redis and bring it back.
func (p *process) cut()  { p.gate.set(func() { p.gate.cut = true }) }
func (p *process) join() { p.gate.set(func() { p.gate.cut = false }) }

// freeze and thaw do what SIGSTOP and SIGCONT do.
func (p *process) freeze() { p.gate.set(func() { p.gate.frozen = make(chan struct{}) }) }
func (p *process) thaw() {
	p.gate.set(func() { close(p.gate.frozen); p.gate.frozen = nil })
}

// work starts a process with one worker and its own reconciling.
func (s *site) work(tr *trainer, change ...func(*WorkerOptions)) *process {
	s.t.Helper()
	p := s.open(true)
	p.work(tr, change...)
	return p
}

func (p *process) work(tr *trainer, change ...func(*WorkerOptions)) {
	p.site.t.Helper()
	o := WorkerOptions{Trainer: tr.on(p.gate), Dir: filepath.Join(p.site.dir, "scratch"), Grace: p.site.lease}
	for _, f := range change {
		f(&o)
	}
	w, err := NewWorker(p.Queue, o)
	must(p.site.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	old := p.cancel
	p.cancel = func() { cancel(); old() }
	p.wg.Go(func() {
		if err := w.Run(ctx); err != nil {
			p.site.t.Error(err)
		}
	})
}

// register counts how often each job is registered.
func (s *site) register(_ context.Context, f Finished) (tuning.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.called == nil {
		s.called = map[string]int{}
	}
	s.called[f.Job.ID]++
	return tuning.Result{Adapter: f.Job.Name + "@1", Digest: f.Files["adapter"].Digest, Kind: "adapter"}, nil
}

// gatedStore is a process's way to the store.
type gatedStore struct {
	d *store.Dir
	g *doorway
	s *site
}

func gated[T any](g *doorway, f func() (T, error)) (T, error) {
	if err := g.pass(); err != nil {
		var zero T
		return zero, err
	}
	v, err := f()
	if perr := g.pass(); perr != nil { // frozen or killed before it heard the answer
		return v, perr
	}
	return v, err
}

func (s *gatedStore) Create(ctx context.Context, key string, data []byte) error {
	if s.s.creates != nil {
		s.s.creates(key)
	}
	_, err := gated(s.g, func() (struct{}, error) { return struct{}{}, s.d.Create(ctx, key, data) })
	if err == nil && s.s.created != nil {
		s.s.created(key)
	}
	return err
}

func (s *gatedStore) Get(ctx context.Context, key string) ([]byte, error) {
	return gated(s.g, func() ([]byte, error) { return s.d.Get(ctx, key) })
}

func (s *gatedStore) Created(ctx context.Context, key string) (time.Time, error) {
	return gated(s.g, func() (time.Time, error) { return s.d.Created(ctx, key) })
}

func (s *gatedStore) List(ctx context.Context, prefix string) ([]string, error) {
	return gated(s.g, func() ([]string, error) { return s.d.List(ctx, prefix) })
}

func (s *gatedStore) Children(ctx context.Context, prefix string) ([]string, error) {
	return gated(s.g, func() ([]string, error) { return s.d.Children(ctx, prefix) })
}

func (s *gatedStore) Delete(ctx context.Context, key string) error {
	if s.s.deletes != nil {
		s.s.deletes(key)
	}
	_, err := gated(s.g, func() (struct{}, error) { return struct{}{}, s.d.Delete(ctx, key) })
	return err
}

func (s *gatedStore) PutBlob(ctx context.Context, r io.Reader) (string, int64, error) {
	var size int64
	digest, err := gated(s.g, func() (digest string, err error) {
		digest, size, err = s.d.PutBlob(ctx, r)
		return digest, err
	})
	return digest, size, err
}

func (s *gatedStore) Fetch(ctx context.Context, digest string, w io.Writer) (int64, error) {
	return gated(s.g, func() (int64, error) { return s.d.Fetch(ctx, digest, w) })
}

func (s *gatedStore) StatBlob(ctx context.Context, digest string) (store.BlobInfo, error) {
	return gated(s.g, func() (store.BlobInfo, error) { return s.d.StatBlob(ctx, digest) })
}

func (s *gatedStore) DeleteBlob(ctx context.Context, digest string) error {
	_, err := gated(s.g, func() (struct{}, error) { return struct{}{}, s.d.DeleteBlob(ctx, digest) })
	return err
}

func (s *gatedStore) Blobs(ctx context.Context) iter.Seq2[store.BlobInfo, error] {
	return s.d.Blobs(ctx)
}

// trainer is a [queuetest.Counter] in a process that can be harmed.
type trainer struct {
	site  *site
	steps int
	every int // steps between checkpoints; 0 none
	// at is called before a step of an attempt and may fail it.
	at func(ctx context.Context, task tuning.Task, step int) error
	// deaf trainers do not listen to Stop.
	deaf bool

	running atomic.Int64
	most    atomic.Int64 // trainers that ran at once
}

func (s *site) trainer(steps, every int) *trainer {
	return &trainer{site: s, steps: steps, every: every}
}

// answer is what an uninterrupted run of a job gives.
func (tr *trainer) answer(job string) string { return queuetest.Counter{Steps: tr.steps}.Answer(job) }

func (tr *trainer) on(g *doorway) tuning.Trainer {
	return func(ctx context.Context, task tuning.Task, r tuning.Reporter) (tuning.Outcome, error) {
		n := tr.running.Add(1)
		defer tr.running.Add(-1)
		for m := tr.most.Load(); n > m && !tr.most.CompareAndSwap(m, n); m = tr.most.Load() {
		}
		c := queuetest.Counter{Steps: tr.steps, Every: tr.every, Step: tr.site.step, Deaf: tr.deaf,
			Before: func(ctx context.Context, task tuning.Task, step int) error {
				if err := g.pass(); err != nil || tr.at == nil {
					return err
				}
				return tr.at(ctx, task, step)
			}}
		return c.Train(ctx, task, r)
	}
}

// submit submits a job with a name.
func (p *process) submit(name string, change ...func(*tuning.Spec)) tuning.Job {
	p.site.t.Helper()
	spec := tuning.Spec{Kind: tuning.LoRA, Model: "bert", Name: name}
	for _, f := range change {
		f(&spec)
	}
	j, replayed, err := p.Submit(context.Background(), spec, Inputs{})
	must(p.site.t, err)
	if replayed {
		p.site.t.Fatal("a new submission was taken for a replay")
	}
	return j
}

// await waits until a job has the status.
func (p *process) await(id string, status tuning.Status) tuning.Job {
	p.site.t.Helper()
	var last tuning.Job
	p.site.until(func() bool {
		j, err := p.Get(context.Background(), id)
		must(p.site.t, err)
		last = j
		if j.Status.Over() && j.Status != status {
			p.site.t.Fatalf("job is %s (%+v), want %s", j.Status, j.Error, status)
		}
		return j.Status == status
	}, "job %s to be %s", id, status)
	return last
}

// until waits for a condition, for an hour of the fake clock or some seconds.
func (s *site) until(ok func() bool, format string, args ...any) {
	s.t.Helper()
	limit, look := 20*time.Second, 5*time.Millisecond
	if s.fake {
		limit, look = time.Hour, 200*time.Millisecond
	}
	for begin := time.Now(); time.Since(begin) < limit; time.Sleep(look) {
		if ok() {
			return
		}
	}
	s.t.Fatalf("waited in vain for "+format, args...)
}

// reached waits until a job has taken a checkpoint at a step or later.
func (p *process) reached(id string, step int) {
	p.site.t.Helper()
	p.site.until(func() bool {
		cs, err := p.Checkpoints(context.Background(), id)
		must(p.site.t, err)
		return len(cs) > 0 && cs[0].Step >= step
	}, "a checkpoint at step %d", step)
}

// proven checks a job that succeeded: its result is that of an uninterrupted run, it
// took as many attempts as it should, and its history has each step once, in order.
func (p *process) proven(id string, tr *trainer, attempts int) {
	t := p.site.t
	t.Helper()
	j := p.await(id, tuning.Succeeded)
	if j.Attempt != attempts {
		t.Errorf("%d attempts, want %d: work was wasted", j.Attempt, attempts)
	}
	s, err := p.load(context.Background(), id)
	must(t, err)
	var b bytes.Buffer
	if _, err := p.store.Fetch(context.Background(), s.final.Files["adapter"].Digest, &b); err != nil || b.String() != tr.answer(id) {
		t.Errorf("the result is not that of an uninterrupted run: %v", err)
	}
	if j.Result == nil || j.Result.Digest != s.final.Files["adapter"].Digest {
		t.Errorf("result %+v", j.Result)
	}
	events, err := p.Events(context.Background(), id, "", 0)
	must(t, err)
	checkHistory(t, events, tr.steps)
}

func checkHistory(t *testing.T, events []tuning.Event, steps int) {
	t.Helper()
	if err := queuetest.CheckHistory(events, steps); err != nil {
		t.Error(err)
	}
}

// logs keeps what is logged, and shows it when a test fails.
type logs struct {
	mu sync.Mutex
	b  strings.Builder
}

func newLogs(t *testing.T) *logs {
	l := &logs{}
	t.Cleanup(func() {
		if t.Failed() {
			l.mu.Lock()
			defer l.mu.Unlock()
			t.Log(l.b.String())
		}
	})
	return l
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
