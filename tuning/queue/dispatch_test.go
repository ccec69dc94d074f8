package queue

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"lorikeet/tuning"
)

// eachDispatch runs a test against the scripts alone.
func eachDispatch(t *testing.T, f func(t *testing.T, s *site, d *dispatch)) {
	everywhere(t, func(t *testing.T, s *site) {
		d := s.open(false).redis
		must(t, d.rdb.Set(t.Context(), d.key("epoch"), "1", 0).Err())
		f(t, s, d)
	})
}

func specOf(id string, age int, priority int) specRecord {
	return specRecord{ID: id, CreatedAt: time.Now().Add(time.Duration(-age) * time.Second), Spec: tuning.Spec{Priority: priority}}
}

func TestALeaseIsHeldByOneTakerAtATime(t *testing.T) {
	eachDispatch(t, func(t *testing.T, s *site, d *dispatch) {
		ctx := t.Context()
		classes := []string{"other", defaultClass}
		for i := range 50 {
			must(t, d.enqueue(ctx, specOf(strings.Repeat("j", i+1), 0, 0)))
		}
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			taken = map[string]int{}
		)
		for range 8 {
			wg.Go(func() {
				for {
					c, err := d.claim(ctx, classes, "me", time.Minute)
					if err != nil {
						t.Error(err)
					}
					if err != nil || c.id == "" {
						return
					}
					mu.Lock()
					taken[c.id]++
					mu.Unlock()
					if c.prior != priorNone || c.class != defaultClass {
						t.Errorf("%+v", c)
					}
				}
			})
		}
		wg.Wait()
		if len(taken) != 50 {
			t.Errorf("%d of 50 taken", len(taken))
		}
		for id, n := range taken {
			if n != 1 {
				t.Errorf("%s taken %d times", id, n)
			}
		}
	})
}

func TestWhatBecomesOfALease(t *testing.T) {
	eachDispatch(t, func(t *testing.T, s *site, d *dispatch) {
		ctx := t.Context()
		job := specOf("a", 0, 0)
		must(t, d.enqueue(ctx, job))
		take := func(token, want string) claim {
			t.Helper()
			c, err := d.claim(ctx, []string{defaultClass}, token, s.lease)
			must(t, err)
			if c.prior != want {
				t.Errorf("%s took %+v, want prior %q", token, c, want)
			}
			return c
		}
		beat := func(token, want string) {
			t.Helper()
			if got, err := d.beat(ctx, job, token, s.lease); err != nil || got != want {
				t.Errorf("%s: beat %q, %v; want %q", token, got, err, want)
			}
		}
		a := take("a", priorNone)
		take("b", "") // it is taken
		beat("a", "held")
		beat("b", "other")
		time.Sleep(s.lease * 3 / 4)
		beat("a", "held")
		time.Sleep(s.lease * 3 / 4)
		take("b", "") // it was extended
		time.Sleep(s.lease / 2)
		b := take("b", priorExpired)
		beat("a", "other")
		must(t, d.release(ctx, a, 0, true)) // not a's to give
		beat("b", "held")
		must(t, d.release(ctx, b, s.lease, false))
		take("c", "")
		beat("a", "adopted") // its old owner lives after all
		beat("b", "other")
		must(t, d.release(ctx, a, 0, false))
		c := take("c", priorNone)
		must(t, d.release(ctx, c, 0, true))
		take("d", "")
		s.redis.flush()
		if _, err := d.claim(ctx, []string{defaultClass}, "d", s.lease); !errors.Is(err, errEmpty) {
			t.Errorf("a claim of an empty Redis: %v", err)
		}
		beat("c", "empty")
		must(t, d.rdb.Set(ctx, d.key("epoch"), "1", 0).Err())
		beat("c", "held")
		if n, err := d.position(ctx, job); err != nil || n != 0 {
			t.Errorf("the beat did not put it back into the queue: %d, %v", n, err)
		}
	})
}

func TestAppendTakesEachEventOnceAndNoticesALoss(t *testing.T) {
	eachDispatch(t, func(t *testing.T, s *site, d *dispatch) {
		ctx := t.Context()
		put := func(token, prev, want string, ids ...string) {
			t.Helper()
			var events []logged
			for _, id := range ids {
				e, ok := parseEventID(id)
				if !ok {
					t.Fatal(id)
				}
				l, err := newEvent(e, "step", time.Now(), 1)
				must(t, err)
				events = append(events, l)
			}
			if got, err := d.appendEvents(ctx, "j", token, prev, "{}", time.Hour, events); err != nil || got != want {
				t.Errorf("append %v after %q: %q, %v; want %q", ids, prev, got, err, want)
			}
		}
		holds := func(want ...string) {
			t.Helper()
			ms, err := d.rdb.XRange(ctx, d.key("events:j"), "-", "+").Result()
			must(t, err)
			var got []string
			for _, m := range ms {
				got = append(got, m.ID)
			}
			if strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("holds %v, want %v", got, want)
			}
		}
		put("", "", "ok", "0-1", "1-1", "9-1", "10-1")
		put("", "", "ok", "1-1", "10-1", "9-5") // none is new
		holds("0-1", "1-1", "9-1", "10-1")
		put("", "10-1", "ok", "10-2", "11-1")
		put("", "11-1", "ok") // no events, only progress
		put("", "11-2", "lost", "12-1")
		put("", "12-1", "lost", "13-1")
		holds("0-1", "1-1", "9-1", "10-1", "10-2", "11-1")
		must(t, d.rdb.HSet(ctx, d.key("owners"), "j", "b").Err())
		put("a", "11-1", "other", "12-1")
		put("b", "11-1", "ok", "12-1")
		put("b", "reset", "ok", "13-1")
		holds("13-1")
		put("b", "13-1", "ok", overID.String())
		put("b", "13-1", "ok", "14-1") // the last event is the last
		holds("13-1", overID.String())
	})
}

func TestTheQueuePositionCountsOnlyWhoWaits(t *testing.T) {
	eachDispatch(t, func(t *testing.T, s *site, d *dispatch) {
		ctx := t.Context()
		jobs := []specRecord{specOf("a", 30, 0), specOf("b", 20, 0), specOf("c", 10, 0), specOf("d", 40, -1), specOf("e", 0, 1)}
		for _, j := range jobs {
			must(t, d.enqueue(ctx, j))
		}
		want := func(positions ...int) {
			t.Helper()
			for i, n := range positions {
				if got, err := d.position(ctx, jobs[i]); err != nil || got != n {
					t.Errorf("%s: %d, %v; want %d", jobs[i].ID, got, err, n)
				}
			}
		}
		want(1, 2, 3, 4, 0)
		_, err := d.claim(ctx, []string{defaultClass}, "w", s.lease)
		must(t, err)
		want(0, 1, 2, 3)
		must(t, d.dequeue(ctx, jobs[1], true))
		want(0, -1, 1, 2)
	})
}

func TestConnect(t *testing.T) {
	for _, c := range []struct {
		address string
		kind    any
		wrong   string
	}{
		{"redis://localhost:6379/2", &redis.Client{}, ""},
		{"rediss://user:secret@host:6380/0", &redis.Client{}, ""},
		{"unix:///tmp/redis.sock", &redis.Client{}, ""},
		{"redis+sentinel://host:26379/0?master_name=mymaster&addr=other:26379", &redis.Client{}, ""},
		{"redis+cluster://host:6379?addr=other:6379", &redis.ClusterClient{}, ""},
		{"localhost:6379", nil, "a URL such as"},
		{"redis+sentinel://host:26379/0", nil, "master_name"},
		{"redis+ring://host:26379/0", nil, "unknown kind"},
		{"redis://user:secret@host:port/0", nil, "redis:"},
		{"http://user:secret@host", nil, "redis:"},
	} {
		client, err := Connect(c.address)
		if err != nil {
			if c.wrong == "" || !strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v", c.address, err)
			}
			continue
		}
		if c.wrong != "" {
			t.Errorf("%s is accepted", c.address)
		}
		switch c.kind.(type) {
		case *redis.Client:
			_, ok := client.(*redis.Client)
			if !ok {
				t.Errorf("%s: a %T", c.address, client)
			}
		case *redis.ClusterClient:
			if _, ok := client.(*redis.ClusterClient); !ok {
				t.Errorf("%s: a %T", c.address, client)
			}
		}
		must(t, client.Close())
	}
}

func TestAKeeper(t *testing.T) {
	type beat struct {
		answer string
		err    error
	}
	cut := beat{"", errors.New("cut off")}
	for _, c := range []struct {
		name  string
		beats []beat // the last one repeats
		quits time.Duration
	}{
		{"keeps on while its lease is renewed", []beat{{"held", nil}}, 0},
		{"takes a lease back", []beat{{"held", nil}, {"adopted", nil}, {"empty", nil}, {"held", nil}}, 0},
		{"bears a short absence of Redis", []beat{{"held", nil}, cut, cut, cut, {"held", nil}}, 0},
		{"quits after a lease without Redis", []beat{{"held", nil}, cut}, 30 * time.Second},
		{"quits when another holds the lease for long", []beat{{"held", nil}, {"other", nil}}, 30 * time.Second},
		{"bears a claimer that looks at its job", []beat{{"held", nil}, {"other", nil}, {"held", nil}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var (
					begin = time.Now()
					quits time.Duration
					looks int
					n     int
				)
				k := &keeper{
					lease: 30 * time.Second,
					beat: func(context.Context) (string, error) {
						b := c.beats[min(n, len(c.beats)-1)]
						n++
						return b.answer, b.err
					},
					look: func(context.Context) { looks++ },
					quit: func(string) {
						if quits == 0 {
							quits = time.Since(begin)
						}
					},
					empty: func() {}, done: func() {},
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				k.run(ctx)
				if c.quits == 0 && quits != 0 || c.quits > 0 && (quits < c.quits || quits > c.quits+c.quits/4) {
					t.Errorf("it quit after %v, want %v", quits, c.quits)
				}
				if looks < 40 {
					t.Errorf("it looked into the store %d times in 5 minutes", looks)
				}
			})
		})
	}
}
