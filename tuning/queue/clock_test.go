package queue

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
	"lorikeet/tuning/queue/queuetest"
)

// needClocks skips a test where no process can be given a wrong clock.
func needClocks(t *testing.T) {
	t.Helper()
	if out, err := command(t, duty{Clock: &queuetest.Clock{Ahead: time.Hour}}).CombinedOutput(); err != nil {
		t.Skip(strings.TrimSpace(string(out)))
	}
}

// Workers whose clocks are hours wrong, or run at another speed, work beside a right one:
// none takes a job whose worker lives, all take that of a dead one after one lease of
// Redis's, and each job is done once. The clock of Redis may be wrong too.
func TestNoClockStealsALease(t *testing.T) {
	if testing.Short() {
		t.Skip("by the real clock")
	}
	t.Parallel()
	needClocks(t)
	wrong := []*queuetest.Clock{nil, {Ahead: 7 * time.Hour}, {Ahead: -30 * time.Hour}, {Rate: 1.4}, {Ahead: 3 * time.Hour, Rate: 0.7}}
	for _, c := range []struct {
		name   string
		redis  *queuetest.Clock
		victim *queuetest.Clock
	}{
		{"Redis is right, and the worker that dies", nil, nil},
		{"the worker that dies is ahead", nil, wrong[1]},
		{"the worker that dies is behind and slow", nil, &queuetest.Clock{Ahead: -9 * time.Hour, Rate: 0.7}},
		{"Redis is ahead and fast", &queuetest.Clock{Ahead: 5 * time.Hour, Rate: 1.3}, wrong[2]},
		{"Redis is behind and slow", &queuetest.Clock{Ahead: -50 * time.Hour, Rate: 0.8}, wrong[3]},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server, err := queuetest.NewRedis(t.TempDir())
			must(t, err)
			server.Clock = c.redis
			if err := server.Start(); errors.Is(err, queuetest.ErrNoRedis) || errors.Is(err, queuetest.ErrNoSkew) {
				t.Skip(err)
			} else if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Kill)
			s := realSite2(t, &realRedis{server, t})
			s.lease = 3 * time.Second
			const steps = 250 // longer than a lease by every clock
			with := func(clock *queuetest.Clock) func(*duty) {
				return func(d *duty) { d.Steps, d.Clock = steps, clock }
			}
			p := s.open(true)
			if c.redis != nil {
				ms, err := p.redis.now(t.Context())
				if off := time.Until(time.UnixMilli(ms)) - c.redis.Ahead; err != nil || off.Abs() > time.Minute {
					t.Fatalf("Redis's clock is not as wrong as it should be: %v, %v", time.UnixMilli(ms), err)
				}
			}
			first := p.submit("imdb")
			victim := s.spawn(server.Addr(), with(c.victim))
			p.reached(first.ID, 10)
			for _, clock := range wrong {
				s.spawn(server.Addr(), with(clock))
			}
			// They look for work all the while, and the job is for none of them.
			time.Sleep(s.lease + s.lease/4)
			if j, err := p.Get(t.Context(), first.ID); err != nil || j.Attempt != 1 || j.Status != tuning.Running {
				t.Errorf("the job is %s in attempt %d, %v", j.Status, j.Attempt, err)
			}
			must(t, victim.Process.Kill())
			_ = victim.Wait()
			killed := time.Now()
			var others []tuning.Job
			for range 2 * len(wrong) {
				others = append(others, p.submit("other"))
			}
			s.until(func() bool { j, err := p.Get(t.Context(), first.ID); must(t, err); return j.Attempt > 1 }, "attempt 2")
			rate := 1.0
			if c.redis != nil {
				rate = c.redis.Rate
			}
			// A worker that is busy looks again when its job is done.
			most := time.Duration(float64(s.lease)/rate) + 2*steps*s.step + 2*s.slack
			if took, least := time.Since(killed), time.Duration(float64(s.lease)/rate*3/4)-s.slack/2; took < least || took > most {
				t.Errorf("attempt 2 began %v after the kill; the lease is %v by Redis's clock", took, s.lease)
			}
			tr := s.trainer(steps, 10)
			p.proven(first.ID, tr, 2)
			for _, j := range others {
				p.proven(j.ID, tr, 1)
			}
		})
	}
}

// A step of Redis's clock ends every lease at once, or makes them last for hours. The
// fence, not the clock, is what keeps a job from being done twice; a lease that is renewed
// is right again.
func TestAStepOfRedisClockLosesNoJob(t *testing.T) {
	if testing.Short() {
		t.Skip("by the real clock")
	}
	t.Parallel()
	for name, step := range map[string]time.Duration{"ahead": 9 * time.Hour, "back": -9 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := realSite(t)
			tr := s.trainer(150, 10)
			p := s.open(true)
			first, second := s.work(tr), s.work(tr)
			a, b := p.submit("a"), p.submit("b")
			p.reached(a.ID, 10)
			p.reached(b.ID, 10)
			// What the leases look like after the server's clock was set.
			leases := p.redis.key("leases")
			all, err := p.redis.rdb.ZRangeWithScores(t.Context(), leases, 0, -1).Result()
			must(t, err)
			if len(all) != 2 {
				t.Fatalf("%d leases", len(all))
			}
			for _, z := range all {
				must(t, p.redis.rdb.ZAdd(t.Context(), leases, redis.Z{Score: z.Score - float64(step.Milliseconds()), Member: z.Member}).Err())
			}
			for _, j := range []tuning.Job{a, b} {
				j := p.await(j.ID, tuning.Succeeded)
				if j.Attempt > 2 {
					t.Errorf("%d attempts", j.Attempt)
				}
				p.proven(j.ID, tr, j.Attempt)
			}
			first.stop()
			second.stop()
		})
	}
}

// The age of a blob is told by the store's own clock: a process whose clock is days ahead
// would otherwise delete what another is about to refer to. So is that of a job, by the
// younger of what the store says and what is written: whose clock wrote that may have been
// wrong too.
func TestAProcessWithAWrongClockCollectsNothingYoung(t *testing.T) {
	t.Parallel()
	needClocks(t)
	dir := t.TempDir()
	d, err := store.OpenDir(filepath.Join(dir, "store"))
	must(t, err)
	defer d.Close()
	digest, _, err := d.PutBlob(t.Context(), strings.NewReader("rows of a job that is about to be submitted"))
	must(t, err)
	q, err := Open(t.Context(), Options{Store: d})
	must(t, err)
	j, _, err := q.Submit(t.Context(), tuning.Spec{Kind: tuning.LoRA, Name: "imdb"}, Inputs{})
	must(t, err)
	_, err = q.Cancel(t.Context(), j.ID)
	must(t, errors.Join(err, q.Close()))
	_, err = queuetest.Ended(t.Context(), d, 1, 100*time.Hour)
	must(t, err)
	for _, ahead := range []time.Duration{0, 100 * time.Hour, -100 * time.Hour} {
		out, err := command(t, duty{Dir: dir, Collect: true, Clock: &queuetest.Clock{Ahead: ahead}}).CombinedOutput()
		if err != nil || string(out) != "0" {
			t.Errorf("%v ahead: collected %s, %v", ahead, out, err)
		}
	}
	if _, err := d.StatBlob(t.Context(), digest); err != nil {
		t.Error(err)
	}
}

// noBlobs has no room for another blob.
type noBlobs struct{ *store.Dir }

func (noBlobs) PutBlob(context.Context, io.Reader) (string, int64, error) {
	return "", 0, store.ErrNoSpace
}

func TestAFullStoreIsCollected(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := store.OpenDir(dir)
	must(t, err)
	defer d.Close()
	old, _, err := d.PutBlob(t.Context(), strings.NewReader("old"))
	must(t, err)
	young, _, err := d.PutBlob(t.Context(), strings.NewReader("young"))
	must(t, err)
	sum := strings.TrimPrefix(old, "sha256:")
	then := time.Now().Add(-48 * time.Hour)
	must(t, os.Chtimes(filepath.Join(dir, "blobs", "sha256", sum[:2], sum), then, then))
	q, err := Open(t.Context(), Options{Store: noBlobs{d}})
	must(t, err)
	defer q.Close()
	if c, err := q.Collect(t.Context(), func(string) bool { return false }, 24*time.Hour); err != nil || c.Blobs != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := d.StatBlob(t.Context(), young); err != nil {
		t.Error(err)
	}
}
