package queue

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"lorikeet/tuning"
)

func ofTenant(id, tenant string, age, priority int) specRecord {
	s := specOf(id, age, priority)
	s.Spec.Tenant = tenant
	return s
}

func TestTenantsTakeTurns(t *testing.T) {
	eachDispatch(t, func(t *testing.T, s *site, d *dispatch) {
		ctx := t.Context()
		for i := range 5 { // whoever has sent many, and with the highest priority
			must(t, d.enqueue(ctx, ofTenant(fmt.Sprintf("a%d", i), "a", 100-i, 9)))
		}
		must(t, d.enqueue(ctx, ofTenant("b0", "b", 50, 0)))
		must(t, d.enqueue(ctx, ofTenant("b1", "b", 40, 5)))
		must(t, d.enqueue(ctx, ofTenant("none", "", 30, 0)))
		order := func(n int, done bool) (got []string) {
			for range n {
				c, err := d.claim(ctx, []string{defaultClass}, "w", s.lease)
				must(t, err)
				got = append(got, c.id)
				if done {
					must(t, d.release(ctx, c, 0, true))
				}
			}
			return got
		}
		if got, want := order(4, true), []string{"a0", "b1", "none", "a1"}; !slices.Equal(got, want) {
			t.Errorf("order %v, want %v", got, want)
		}
		// A tenant that has a job running waits for those that have none, whosever turn
		// it was last.
		must(t, d.enqueue(ctx, ofTenant("b2", "b", 1, 0)))
		must(t, d.enqueue(ctx, ofTenant("b3", "b", 0, 0)))
		if got, want := order(1, false), []string{"b0"}; !slices.Equal(got, want) { // b's turn was before a's
			t.Errorf("order %v, want %v", got, want)
		}
		if got, want := order(2, true), []string{"a2", "a3"}; !slices.Equal(got, want) {
			t.Errorf("order %v, want %v", got, want)
		}
		if got, want := order(3, true), []string{"a4", "b2", "b3"}; !slices.Equal(got, want) {
			t.Errorf("order %v, want %v", got, want)
		}
		if left, err := d.rdb.HGetAll(ctx, d.key("tenants")).Result(); err != nil || len(left) != 1 || left["b0"] != "b" {
			t.Errorf("jobs whose tenant is kept: %v, %v", left, err)
		}
	})
}

// One worker takes jobs in the order of the positions that were shown before.
func TestTheQueuePositionIsThePlaceInTheTurns(t *testing.T) {
	eachDispatch(t, func(t *testing.T, s *site, d *dispatch) {
		ctx := t.Context()
		rnd := rand.New(rand.NewPCG(1, 2))
		for round := range 5 {
			shown := map[int]string{}
			jobs := map[string]specRecord{}
			for i := range 30 {
				j := ofTenant(fmt.Sprintf("%d-%d", round, i), strings.Repeat("t", rnd.IntN(4)), rnd.IntN(1000), rnd.IntN(3))
				jobs[j.ID] = j
				must(t, d.enqueue(ctx, j))
			}
			for id, j := range jobs {
				n, err := d.position(ctx, j)
				must(t, err)
				if shown[n] != "" {
					t.Errorf("round %d: %s and %s are both shown at %d", round, id, shown[n], n)
				}
				shown[n] = id
			}
			for n := range len(jobs) {
				c, err := d.claim(ctx, []string{defaultClass}, "w", s.lease)
				must(t, err)
				if c.id != shown[n] {
					t.Errorf("round %d: %q is taken as number %d, %q was shown there", round, c.id, n, shown[n])
				}
				must(t, d.release(ctx, c, 0, true))
			}
		}
	})
}

func TestTurnsOutliveARedisThatLosesItsData(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.open(false)
		for i, tenant := range []string{"a", "a", "b"} {
			p.submit(fmt.Sprint(i), func(sp *tuning.Spec) { sp.Tenant = tenant })
		}
		s.redis.flush()
		must(t, p.Reconcile(t.Context()))
		var got []string
		for range 3 {
			c, err := p.redis.claim(t.Context(), []string{defaultClass}, "w", time.Minute)
			must(t, err)
			j, err := p.Get(t.Context(), c.id)
			must(t, err)
			got = append(got, j.Name)
		}
		if want := []string{"0", "2", "1"}; !slices.Equal(got, want) {
			t.Errorf("order %v, want %v", got, want)
		}
	})
}
