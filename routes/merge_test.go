package routes

import (
	"slices"
	"testing"
)

func TestMerge(t *testing.T) {
	s := newService(t, nil)
	s.register("imdb")
	s.register("mood")
	var v adapterVersion
	a := s.want(201, "POST", "/adapters/merge", `{"name":"both","adapters":[{"adapter":"imdb@1","weight":0.7},{"adapter":"mood"}],"method":"dare_ties"}`)
	a.into(&v)
	m := s.engine.merged
	if v.Name != "both" || a.header.Get("Location") != "/adapters/both/versions/1" || m.How.Method != "dare_ties" || m.How.Density != .5 || m.How.Seed != 42 || m.How.Sign != "total" ||
		m.How.Parts[0].Weight != .7 || m.How.Parts[1].Weight != 1 || !slices.Equal(m.Adapters, []string{"imdb@1", "mood"}) {
		t.Errorf("%+v, asked for %+v", v, m)
	}
	s.want(200, "GET", "/adapters/both", nil)
	for body, c := range map[string]struct {
		status int
		field  string
	}{
		`{"name":"both","adapters":[{"adapter":"imdb"},{"adapter":"nope"}]}`:                             {404, "adapter"},
		`{"name":"Both","adapters":[{"adapter":"imdb"},{"adapter":"mood"}]}`:                             {422, "name"},
		`{"name":"both","adapters":[{"adapter":"imdb"},{"adapter":"mood","weight":0}]}`:                  {422, "adapters[1].weight"},
		`{"name":"both","adapters":[{"adapter":""},{"adapter":"mood"}]}`:                                 {422, "adapters[0].adapter"},
		`{"name":"both","adapters":[{"adapter":"imdb"},{"adapter":"mood"}],"method":"soup"}`:             {422, "method"},
		`{"name":"both","adapters":[{"adapter":"imdb"},{"adapter":"mood"}],"method":"ties","density":2}`: {422, "density"},
		`{"name":"both","adapters":[{"name":"imdb"}]}`:                                                   {400, "adapters[0].name"},
	} {
		if p := s.want(c.status, "POST", "/adapters/merge", body).problem(); !slices.Contains(p.fields(), c.field) {
			t.Errorf("%s: fields %q, want %s", body, p.fields(), c.field)
		}
	}
}
