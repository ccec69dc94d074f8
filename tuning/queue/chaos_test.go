package queue

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"lorikeet/tuning"
)

var (
	chaosSeed = flag.Uint64("chaos.seed", 0, "run only this seed")
	chaosRuns = flag.Int("chaos.runs", 4, "number of seeds")
)

// chaos harms a site at random and remembers what it was told.
type chaos struct {
	*site
	rnd       *rand.Rand
	api       *process
	tr        *trainer
	workers   []*process
	jobs      []string
	cancelled map[string]bool // the caller was told so
	harmed    int             // faults that may cost an attempt each
	count     map[string]int
}

// Whatever happens, in any order: no accepted job is lost, each has one end, which is
// the one that callers were told, its result is that of an undisturbed run, its
// history tells each step once, and no attempt was made without a cause.
func TestChaos(t *testing.T) {
	seeds := make([]uint64, 0, *chaosRuns)
	for i := range *chaosRuns {
		seeds = append(seeds, uint64(i)+1)
	}
	if *chaosSeed != 0 {
		seeds = []uint64{*chaosSeed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := &chaos{site: fakeSite(t), rnd: rand.New(rand.NewPCG(seed, 0)), cancelled: map[string]bool{}, count: map[string]int{}}
				c.run()
			})
		})
	}
}

func (c *chaos) run() {
	c.api = c.open(true, c.patient)
	c.tr = c.trainer(60, 4)
	for range 3 {
		c.hire()
	}
	for range 60 {
		if len(c.jobs) < 12 && c.rnd.IntN(2) == 0 {
			c.jobs = append(c.jobs, c.api.submit("imdb", func(s *tuning.Spec) { s.Priority = c.rnd.IntN(3) }).ID)
		}
		c.fault()
		time.Sleep(time.Duration(c.rnd.IntN(9000)) * time.Millisecond)
	}
	c.heal()
	for _, id := range c.jobs {
		c.check(id)
	}
	attempts := 0
	for _, id := range c.jobs {
		j, err := c.api.Get(context.Background(), id)
		must(c.t, err)
		attempts += j.Attempt
	}
	if most := len(c.jobs) + c.harmed; attempts > most {
		c.t.Errorf("%d attempts at %d jobs under %d faults that cost one", attempts, len(c.jobs), c.harmed)
	}
	c.t.Logf("%d jobs, %d cancelled, %d attempts, faults %v", len(c.jobs), len(c.cancelled), attempts, c.count)
}

// patient has no job given up: here it is not the job's fault.
func (c *chaos) patient(o *Options) { o.Attempts = 1000 }

func (c *chaos) hire() {
	p := c.open(true, c.patient)
	p.work(c.tr)
	c.workers = append(c.workers, p)
}

func (c *chaos) fault() {
	i := c.rnd.IntN(len(c.workers))
	w := c.workers[i]
	replace := func() {
		c.workers = append(c.workers[:i], c.workers[i+1:]...)
		c.hire()
	}
	away := time.Duration(c.rnd.IntN(60)) * time.Second // twice the lease, at most
	what := []string{"flush", "restart", "kill", "terminate", "freeze", "cut", "cut api", "pause", "resume", "cancel", "none"}[c.rnd.IntN(11)]
	c.count[what]++
	switch what {
	case "flush":
		c.redis.flush()
	case "restart":
		c.redis.restart()
	case "kill":
		c.harmed++
		w.kill()
		replace()
	case "terminate":
		c.harmed++
		w.stop()
		replace()
	case "freeze":
		c.harmed++
		w.freeze()
		time.Sleep(away)
		w.thaw()
	case "cut":
		c.harmed++
		w.cut()
		time.Sleep(away)
		w.join()
	case "cut api":
		c.api.cut()
		if len(c.jobs) < 12 {
			c.jobs = append(c.jobs, c.api.submit("cut").ID)
		}
		c.ask("cancel", c.api.Cancel)
		time.Sleep(away)
		c.api.join()
	case "pause":
		c.harmed++
		c.ask(what, c.api.Pause)
	case "resume":
		c.ask(what, c.api.Resume)
	case "cancel":
		c.ask(what, c.api.Cancel)
	}
}

func (c *chaos) ask(what string, f func(context.Context, string) (tuning.Job, error)) {
	if len(c.jobs) == 0 {
		return
	}
	id := c.jobs[c.rnd.IntN(len(c.jobs))]
	j, err := f(context.Background(), id)
	switch {
	case err == nil && what == "cancel":
		if j.Status != tuning.Cancelled {
			c.t.Errorf("cancel answered %s", j.Status)
		}
		c.cancelled[id] = true
	case err != nil && !errors.Is(err, tuning.ErrOver) && !errors.Is(err, tuning.ErrState):
		c.t.Errorf("%s: %v", what, err)
	}
}

// heal wakes everyone.
func (c *chaos) heal() {
	for _, id := range c.jobs {
		if _, err := c.api.Resume(context.Background(), id); err != nil && !errors.Is(err, tuning.ErrOver) && !errors.Is(err, tuning.ErrState) {
			c.t.Errorf("resume: %v", err)
		}
	}
}

func (c *chaos) check(id string) {
	if c.cancelled[id] {
		c.api.await(id, tuning.Cancelled)
		if c.called[id] != 0 {
			c.t.Errorf("a cancelled job was registered")
		}
		return
	}
	j := c.api.await(id, tuning.Succeeded)
	c.api.proven(id, c.tr, j.Attempt)
	if c.called[id] != 1 {
		c.t.Errorf("registered %d times", c.called[id])
	}
}
