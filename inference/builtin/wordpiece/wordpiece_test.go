package wordpiece

import (
	"slices"
	"testing"
)

func TestWords(t *testing.T) {
	got := Words(" It's  a Test, no. 42!")
	want := []string{"it", "'", "s", "a", "test", ",", "no", ".", "42", "!"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestTrain(t *testing.T) {
	counts := map[string]int{"low": 5, "lower": 2, "newest": 6, "widest": 3, "rare": 1}
	a, b := Train(counts, "?", 42), Train(counts, "?", 42)
	if !slices.Equal(a, b) {
		t.Error("two runs differ")
	}
	if !slices.Equal(a[:5], Special) {
		t.Error(a[:5])
	}
	for _, p := range []string{"?", "##?", "l", "##w", "low", "##est"} {
		if !slices.Contains(a, p) {
			t.Errorf("%q is missing of %q", p, a)
		}
	}
	if slices.Contains(Train(counts, "", 1000), "rare") {
		t.Error("a word that was seen once became a token")
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(a)))); n != len(a) {
		t.Error("a token is there twice")
	}
}
