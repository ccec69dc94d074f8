package queue

import (
	"testing"
)

func TestAJobIsRunOnceAndRegistered(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		tr := s.trainer(10, 4)
		p := s.work(tr)
		j := p.submit("imdb")
		p.proven(j.ID, tr, 1)
		if n := s.called[j.ID]; n != 1 {
			t.Errorf("registered %d times", n)
		}
	})
}
