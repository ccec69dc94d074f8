package queue

import (
	"testing"
)

func TestAJobIsRunOnceAndRegistered(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		tr := s.trainer(10, 4)
		p := s.work(tr)
		replica := s.open(false)
		news, stop := replica.Hear(TopicAdapters)
		defer stop()
		s.until(func() bool {
			must(t, replica.Announce(t.Context(), TopicAdapters, "test"))
			select {
			case text := <-news:
				return text == "test"
			default:
				return false
			}
		}, "the replica to be connected")
		j := p.submit("imdb")
		p.proven(j.ID, tr, 1)
		for text := range news {
			if text != "test" && text != "" {
				if text != "imdb@1" {
					t.Errorf("a replica heard %q", text)
				}
				break
			}
		}
		if n := s.called[j.ID]; n != 1 {
			t.Errorf("registered %d times", n)
		}
	})
}
