package queue

import (
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSendingsOfOneRequestHaveOneKey(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		a, b := s.open(false), s.open(false)
		key := func(p *process, by string, again bool, at time.Time) string {
			t.Helper()
			k, err := p.SendingKey(t.Context(), Sending{By: by, Body: "body", Again: again, At: at})
			if err != nil {
				t.Fatal(err)
			}
			return k
		}
		now := time.Now()
		first := key(a, "me", false, now)
		if key(b, "me", true, now) != first || key(a, "me", true, now) != first {
			t.Error("what is sent again has another key")
		}
		second := key(b, "me", false, now.Add(time.Second))
		if second == first {
			t.Error("two requests that are not sent again have one key")
		}
		if key(a, "me", true, now) != second {
			t.Error("what is sent again is not the newest")
		}
		if other := key(a, "you", true, now); other == first || other == second {
			t.Error("another caller's has the same key")
		}
		// The first is slow, and what was sent again overtakes it.
		overtaking := key(a, "slow", true, now)
		if key(b, "slow", false, now.Add(-time.Second)) != overtaking {
			t.Error("a request that was overtaken has another key")
		}
		if key(b, "slow", false, time.Now().Add(time.Second)) == overtaking {
			t.Error("a later request has the key of one before")
		}
		var calls sync.WaitGroup
		keys := sync.Map{}
		for i := range 8 {
			calls.Go(func() {
				k, err := []*process{a, b}[i%2].SendingKey(t.Context(), Sending{By: "many", Body: "body", Again: true, At: now})
				if err != nil {
					t.Error(err)
				}
				keys.Store(k, true)
			})
		}
		calls.Wait()
		n := 0
		keys.Range(func(any, any) bool { n++; return true })
		if n != 1 {
			t.Errorf("eight at once have %d keys", n)
		}
		if _, err := a.Collect(t.Context(), func(string) bool { return true }, time.Hour); err != nil {
			t.Error(err)
		}
		if key(a, "me", true, now) != second {
			t.Error("a fresh record is collected")
		}
		if !strings.HasPrefix(first, "sent-") || len(first) > 255 {
			t.Errorf("the key %q", first)
		}
	})
}
