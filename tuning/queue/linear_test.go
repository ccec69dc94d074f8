package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"lorikeet/tuning"
)

// heard is what a caller was told about a job.
type heard struct {
	status tuning.Status
	won    bool
	over   bool // [tuning.ErrOver]
}

// jobStates is the model of one job: open, then decided by whoever is first; a success is
// shown as running until it is registered.
var jobStates = porcupine.Model{
	Init: func() any { return tuning.Running },
	Step: func(state, input, output any) (bool, any) {
		is, out := state.(tuning.Status), output.(heard)
		const decided = tuning.Status("decided") // succeeded and not registered
		switch what := input.(tuning.Status); what {
		case "get":
			return out.status == is || is == decided && out.status == tuning.Running, is
		case "register":
			if is == decided {
				return true, tuning.Succeeded
			}
			return true, is
		case "cancel":
			if is == tuning.Running {
				return !out.over && out.status == tuning.Cancelled, tuning.Cancelled
			}
			return out.over && is != tuning.Cancelled || is == tuning.Cancelled, is
		default: // a worker that decides
			if is != tuning.Running {
				return !out.won, is
			}
			if what == tuning.Succeeded {
				return out.won, decided
			}
			return out.won, what
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v: %+v", input, output) },
}

// Workers that succeed and fail, users who cancel and users who look, all at once and in
// several processes: there is one order in which what each was told makes sense.
func TestTheStateOfAJobIsLinearizable(t *testing.T) {
	t.Parallel()
	s := fakeSiteOutside(t)
	var ps []*process
	for range 4 {
		ps = append(ps, s.open(false))
	}
	won := map[tuning.Status]int{}
	for round := range 40 {
		id := ps[0].submit("imdb").ID
		must(t, ps[0].create(t.Context(), numberKey(id, keyAttempts, 1), attemptRecord{Worker: "w", At: time.Now()}))
		var (
			mu      sync.Mutex
			history []porcupine.Operation
			clock   atomic.Int64
			wg      sync.WaitGroup
		)
		do := func(who int, what tuning.Status, f func() (heard, error)) {
			o := porcupine.Operation{ClientId: who, Input: what, Call: clock.Add(1)}
			out, err := f()
			o.Return, o.Output = clock.Add(1), out
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			mu.Lock()
			defer mu.Unlock()
			history = append(history, o)
			if out.won {
				won[what]++
			}
		}
		for who := range 8 {
			p := ps[who%len(ps)]
			rnd := rand.New(rand.NewPCG(uint64(round), uint64(who)))
			wg.Go(func() {
				for range 3 {
					time.Sleep(time.Duration(rnd.IntN(3000)) * time.Microsecond)
					what := []tuning.Status{tuning.Succeeded, tuning.Failed, "cancel", "get", "get"}[rnd.IntN(5)]
					switch what {
					case "get":
						do(who, what, func() (heard, error) {
							j, err := p.Get(context.Background(), id)
							return heard{status: j.Status}, err
						})
					case "cancel":
						do(who, what, func() (heard, error) {
							j, err := p.Cancel(context.Background(), id)
							h := heard{status: j.Status, over: errors.Is(err, tuning.ErrOver), won: err == nil}
							if h.over {
								err = nil
							}
							return h, err
						})
					default:
						st, err := p.load(context.Background(), id)
						must(t, err)
						do(who, what, func() (h heard, err error) {
							h.won, err = p.decide(context.Background(), st, finalRecord{Status: what, Attempt: 1})
							return h, err
						})
						if st.registering() {
							do(who, "register", func() (heard, error) { return heard{}, p.Queue.register(context.Background(), st) })
						}
					}
				}
			})
		}
		wg.Wait()
		if porcupine.CheckOperationsTimeout(jobStates, history, 20*time.Second) == porcupine.Illegal {
			for _, o := range history {
				t.Logf("%d-%d client %d: %s", o.Call, o.Return, o.ClientId, jobStates.DescribeOperation(o.Input, o.Output))
			}
			t.Fatalf("round %d: no order of this makes sense", round)
		}
	}
	if won[tuning.Succeeded] == 0 || won[tuning.Failed] == 0 || won["cancel"] == 0 {
		t.Errorf("nobody raced: %v", won)
	}
}
