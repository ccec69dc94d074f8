package routes

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A client may delete what a page shows before it asks for the next one, as a loop over
// OpenAI's lists does.
func TestWhatIsListedMayBeDeletedMeanwhile(t *testing.T) {
	job := func(s *service, _ int) {
		j, _ := s.submit("")
		s.want(200, "POST", "/tune/jobs/"+j.ID+"/cancel", nil)
	}
	set := func(s *service, i int) { s.upload(fmt.Sprintf("text,label\na%d,x\nb,y\n", i)) }
	for _, l := range []struct {
		path, item, query string // the list, and where one of it is deleted
		make              func(s *service, i int)
	}{
		{"/datasets", "/datasets/", "", set},
		{"/v1/files", "/v1/files/", "", set},
		{"/v1/files", "/v1/files/", "&order=asc", set},
		{"/v1/webhook_endpoints", "/v1/webhook_endpoints/", "", func(s *service, _ int) {
			s.want(200, "POST", "/v1/webhook_endpoints", `{"name":"a","url":"https://hooks.example/","event_types":["fine_tuning.job.failed"]}`)
		}},
		{"/tune/jobs", "/tune/jobs/", "", job},
		{"/tune/jobs", "/tune/jobs/", "&status=cancelled", job},
		{"/v1/fine_tuning/jobs", "/tune/jobs/", "", job},
		{"/adapters", "/adapters/", "", func(s *service, i int) { s.register(fmt.Sprint("a", i)) }},
		{"/feedback", "/feedback/", "", func(s *service, i int) {
			s.want(201, "POST", "/feedback", fmt.Sprintf(`{"collection":"c%d","row":{"text":"a","label":"x"}}`, i))
		}},
	} {
		t.Run(l.path+l.query, func(t *testing.T) {
			s := newService(t, nil)
			for i := range 5 {
				l.make(s, i)
			}
			list := func(query string) (ids []string, more bool) {
				var p page[struct{ ID, Name string }]
				s.want(200, "GET", l.path+query+l.query, nil).into(&p)
				for _, i := range p.Data {
					if i.ID == "" {
						i.ID = i.Name
					}
					ids = append(ids, i.ID)
				}
				return ids, p.HasMore
			}
			whole, _ := list("?limit=10")
			var seen []string
			for after, more := "", true; more && len(seen) < 6; {
				var part []string
				part, more = list("?limit=2" + after)
				seen = append(seen, part...)
				for _, id := range part { // also what the place of the next page depends on
					if a := s.do("DELETE", l.item+id, nil); a.status/100 != 2 {
						t.Fatalf("%s is not deleted: %s", id, a.body)
					}
				}
				after = "&after=" + part[len(part)-1]
			}
			if len(whole) != 5 || !slices.Equal(seen, whole) {
				t.Errorf("page by page %v, in one %v", seen, whole)
			}
			want := 422
			if strings.HasPrefix(l.path, openaiPrefix) {
				want = 400
			}
			s.want(want, "GET", l.path+"?after=No%20such", nil)
		})
	}
}

// Where two items are of one time the place of a third that is gone is between them.
func TestPlacesAmongEqualTimes(t *testing.T) {
	type item struct {
		id string
		at time.Time
	}
	now := time.Now()
	all := []item{{"d", now.Add(time.Second)}, {"a", now}, {"b", now}, {"c", now}, {"e", now.Add(-time.Second)}}
	id, made := func(i item) string { return i.id }, func(i item) time.Time { return i.at }
	for _, oldest := range []bool{false, true} {
		if oldest {
			slices.Reverse(all)
		}
		e := newEnds()
		for i, gone := range all {
			if _, err := cutByTime(t.Context(), e, all, paging{Limit: i + 1}, oldest, id, made); err != nil {
				t.Fatal(err)
			}
			rest := slices.Delete(slices.Clone(all), i, i+1)
			got, err := cutByTime(t.Context(), e, rest, paging{Limit: 9, After: gone.id}, oldest, id, made)
			if err != nil || !slices.Equal(got.Data, all[i+1:]) && len(got.Data)+len(all[i+1:]) > 0 {
				t.Errorf("oldest first %v: after %s come %v, %v", oldest, gone.id, got.Data, err)
			}
		}
	}
	e := newEnds()
	for i := range mostEnds + 10 {
		e.remember(fmt.Sprint(i), now)
	}
	if _, known := e.find("9"); known || len(e.at) != mostEnds || len(e.recent) != mostEnds {
		t.Errorf("%d are remembered", len(e.at))
	}
	if _, known := e.find("10"); !known {
		t.Error("a late one is forgotten")
	}
}
