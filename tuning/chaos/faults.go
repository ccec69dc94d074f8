//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"lorikeet/tuning"
	"lorikeet/tuning/queue/queuetest"
)

// way is how one process reaches Redis; it can be cut and slowed.
type way struct{ proxy *toxiproxy.Proxy }

func newWay(name, upstream string) (way, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	w := way{toxiproxy.NewProxy(server, name, "127.0.0.1:0", upstream)}
	return w, w.proxy.Start()
}

func (w way) address() string { return w.proxy.Listen }

// poison makes all connections, old and new, slow or silent until undone.
func (w way) poison(ctx context.Context, kind, attributes string) (undo func() error, err error) {
	toxics := []string{}
	for _, stream := range []string{"upstream", "downstream"} {
		text := fmt.Sprintf(`{"name":"%s-%s","type":%q,"stream":%q,"attributes":%s}`, kind, stream, kind, stream, attributes)
		if _, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			return nil, err
		}
		toxics = append(toxics, kind+"-"+stream)
	}
	return func() error {
		var errs []error
		for _, name := range toxics {
			errs = append(errs, w.proxy.Toxics.RemoveToxic(ctx, name))
		}
		return errors.Join(errs...)
	}, nil
}

// harm does one act and undoes it, unless its victim is being harmed already.
func (r *runner) harm(ctx context.Context, a act) {
	victim, do := r.aim(a)
	if !victim.TryLock() {
		r.note("%s: its victim has trouble enough", a.what)
		return
	}
	defer victim.Unlock()
	err := do(ctx)
	switch {
	case errors.Is(err, queuetest.ErrNoSkew):
		r.note("%s: skipped: %v", a.what, err)
	case errors.Is(err, errNoVictim):
		r.note("%s: there is none to harm", a.what)
	case err != nil && ctx.Err() == nil:
		r.violation("the fault %q cannot be done: %v", a.what, err)
	default:
		r.count(a.what)
	}
}

var errNoVictim = errors.New("no victim")

// aim finds what an act harms, and how.
func (r *runner) aim(a act) (victim locker, do func(context.Context) error) {
	w := r.workers[a.who%len(r.workers)]
	ways := append([]*process{r.api}, r.workers...)
	p := ways[a.who%len(ways)]
	for_ := func(ctx context.Context, begin, end func() error) error {
		if err := begin(); err != nil {
			return err
		}
		sleep(ctx, a.long)
		return end() // also when all ends: what follows is the healing
	}
	switch a.what {
	case "kill", "terminate":
		return &w.mu, func(context.Context) error {
			r.note("%s worker %d", a.what, w.n)
			return w.signal(map[string]syscall.Signal{"kill": syscall.SIGKILL, "terminate": syscall.SIGTERM}[a.what])
		}
	case "clock":
		return &w.mu, func(context.Context) error {
			if r.skew != nil {
				return r.skew
			}
			clock := clocks[a.who/len(r.workers)%len(clocks)]
			r.note("kill worker %d; its next clock is %v", w.n, clock)
			w.set(clock)
			return w.signal(syscall.SIGKILL)
		}
	case "freeze":
		return &w.mu, func(ctx context.Context) error {
			r.note("freeze worker %d for %v", w.n, a.long)
			pid := w.pid()
			return for_(ctx, func() error { return send(pid, syscall.SIGSTOP) }, func() error { return send(pid, syscall.SIGCONT) })
		}
	case "cut":
		return &p.way, func(ctx context.Context) error {
			r.note("cut process %d off for %v", p.n, a.long)
			return for_(ctx, func() error { p.road.proxy.Stop(); return nil }, p.road.proxy.Start)
		}
	case "silence", "slow":
		return &p.way, func(ctx context.Context) error {
			r.note("%s around process %d for %v", a.what, p.n, a.long)
			kind, attributes := "timeout", `{"timeout":0}`
			if a.what == "slow" {
				kind, attributes = "latency", `{"latency":300,"jitter":200}`
			}
			undo, err := p.road.poison(context.WithoutCancel(ctx), kind, attributes)
			if err != nil {
				return err
			}
			return for_(ctx, func() error { return nil }, undo)
		}
	case "flush":
		return &r.redisMu, func(ctx context.Context) error { r.note("flush"); return r.admin.FlushAll(ctx).Err() }
	case "restart":
		return &r.redisMu, func(ctx context.Context) error {
			r.note("kill Redis, and start it empty after %v", a.long)
			return for_(ctx, func() error { r.redis.Kill(); return nil }, r.redis.Start)
		}
	case "redis clock":
		return &r.redisMu, func(ctx context.Context) error {
			clock := clocks[a.who%len(clocks)]
			if clock != nil {
				if _, err := clock.Environ(); err != nil {
					return err
				}
			}
			r.note("kill Redis, and start it empty after %v with the clock %v", a.long, clock)
			r.redis.Clock = clock
			return for_(ctx, func() error { r.redis.Kill(); return nil }, r.redis.Start)
		}
	case "client pause":
		return &r.redisMu, func(ctx context.Context) error {
			r.note("Redis answers no one for %v", a.long)
			err := r.admin.Do(ctx, "CLIENT", "PAUSE", a.long.Milliseconds(), "ALL").Err()
			sleep(ctx, a.long)
			return err
		}
	case "full", "lost":
		return &r.storeMu, func(ctx context.Context) error {
			r.note("the store is %s for %v", map[string]string{"full": "full", "lost": "on a bad line"}[a.what], a.long)
			file := filepath.Join(r.c.dir, "control", a.what)
			return for_(ctx, func() error { return os.WriteFile(file, nil, 0o600) }, func() error { return os.Remove(file) })
		}
	}
	return &r.jobMu, func(ctx context.Context) error { return r.ask(ctx, a) }
}

// ask does what a user does to a job, or harms one.
func (r *runner) ask(ctx context.Context, a act) error {
	if a.what == "delete" {
		return r.delete(ctx, a.who)
	}
	j := r.pick(a.who)
	if j == nil {
		return errNoVictim
	}
	switch a.what {
	case "cancel":
		r.note("cancel %s twice", j.id)
		for range 2 {
			r.wg.Go(func() { r.cancel(context.WithoutCancel(ctx), j) })
		}
		return nil
	case "pause":
		r.note("pause %s for %v", j.id, a.long)
		if _, err := r.api.queue.Pause(ctx, j.id); err != nil && !excused(err) {
			return err
		}
		r.wg.Go(func() {
			sleep(ctx, a.long)
			r.resume(context.WithoutCancel(ctx), j)
		})
		return nil
	}
	return r.flip(ctx, j)
}

// excused are answers that may be given to a request.
func excused(err error) bool {
	return errors.Is(err, tuning.ErrOver) || errors.Is(err, tuning.ErrState) || errors.Is(err, tuning.ErrNotFound) || unstored(err)
}

// flip harms the newest checkpoint of a job that has an older one too, and kills its
// worker, so that the next must notice.
func (r *runner) flip(ctx context.Context, j *job) error {
	list, err := r.api.queue.Checkpoints(ctx, j.id)
	if errors.Is(err, tuning.ErrNotFound) && j.goes() {
		return errNoVictim
	}
	if err != nil {
		return err
	}
	mark, err := os.ReadFile(filepath.Join(r.c.dir, "running", j.id))
	if len(list) < 2 || err != nil {
		return errNoVictim
	}
	n, err := strconv.Atoi(string(mark))
	if err != nil {
		return err
	}
	sum := strings.TrimPrefix(list[0].Files["state"].Digest, "sha256:")
	path := filepath.Join(r.c.dir, "store", "blobs", "sha256", sum[:2], sum)
	data, err := os.ReadFile(path) //nolint:gosec // ours
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 4
	if err := os.WriteFile(path, data, 0o600); err != nil { //nolint:gosec // ours
		return err
	}
	r.note("flip a bit of the checkpoint of %s at step %d, and kill worker %d", j.id, list[0].Step, n)
	return r.workers[n-1].signal(syscall.SIGKILL)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

type locker interface {
	TryLock() bool
	Unlock()
}
