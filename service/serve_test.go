package main

import (
	"slices"
	"testing"
)

func TestNewsOfNames(t *testing.T) {
	for name, c := range map[string]struct {
		news, want []string
	}{
		"of one":                         {[]string{"a"}, []string{"a"}},
		"each once":                      {[]string{"b", "a", "b"}, []string{"a", "b"}},
		"some may be missed":             {[]string{"a", "", "b"}, nil},
		"so many that some were dropped": {[]string{"a", "b", "c", "d"}, nil},
		"fewer than there is room for":   {[]string{"a", "b", "c"}, []string{"a", "b", "c"}},
	} {
		news := make(chan string, 4)
		for _, n := range c.news {
			news <- n
		}
		if got := changed(<-news, news); !slices.Equal(got, c.want) || len(news) != 0 {
			t.Errorf("%s: %q, want %q; %d left", name, got, c.want, len(news))
		}
	}
}
