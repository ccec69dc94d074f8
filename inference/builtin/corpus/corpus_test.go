package corpus

import (
	"slices"
	"testing"
	"testing/fstest"
)

func TestReviews(t *testing.T) {
	if _, err := ParseGrammar(ReviewRules); err != nil {
		t.Fatal(err)
	}
	a, b := slices.Collect(Reviews(200, 1)), slices.Collect(Reviews(200, 1))
	if !slices.Equal(a, b) {
		t.Error("the same seed gives other sentences")
	}
	distinct := map[string]bool{}
	for _, s := range a {
		distinct[s] = true
	}
	if len(distinct) < 180 {
		t.Errorf("200 sentences, only %d distinct", len(distinct))
	}
	if got := Article("A amazing plot, a one trick pony."); got != "An amazing plot, a one trick pony." {
		t.Error(got)
	}
}

func TestGrammarRefusals(t *testing.T) {
	for name, text := range map[string]string{"a line with no colon": "S", "an unknown symbol": "S: <x>", "an open bracket": "S: <S"} {
		if _, err := ParseGrammar(text); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSentences(t *testing.T) {
	for text, want := range map[string][]string{
		"One. Two! \"Three?\" four": {"One.", "Two!", `"Three?" four`},
		"Mr. Smith left. He ran.":   {"Mr. Smith left.", "He ran."},
		"":                          nil,
	} {
		if got := Sentences(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestProse(t *testing.T) {
	for s, want := range map[string]bool{
		"The cat sat on the mat.":          true,
		"too short":                        false,
		"for i := range x { f(x[i]) }":     false,
		"Ein Satz über eine schöne Katze.": false,
		"XKCD HTTP URL JSON and FTP SSH":   false,
	} {
		if got := Prose(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestCollect(t *testing.T) {
	files := fstest.MapFS{
		"data.noun": {Data: []byte("  1 licence\n" + `00001740 03 n 01 entity 0 000 | that which is perceived to be; "it was full of rackets, balls and other objects"` + "\n")},
		"a.go":      {Data: []byte("// Copyright\n\n// Package a does what is asked of it. And more.\npackage a\n")},
		"f":         {Data: []byte("To be or not to be.\n\t\t-- W. S.\n%\nThe cat is on the mat.\n")},
		"r.jsonl":   {Data: []byte(`{"text":"This is a text.","n":[{"deep":"It is not asked for."}]}` + "\nnot json\n")},
		"p.html":    {Data: []byte("<h1>Title</h1><p>This is <b>bold</b> text &amp; prose.</p>")},
	}
	var got []string
	for source, s := range Collect([]Source{
		{Name: "w", Text: WordNet(files, false)}, {Name: "x", Text: WordNet(files, true)}, {Name: "g", Text: GoComments(files)},
		{Name: "f", Text: Paragraphs(files, func(n string) bool { return n == "f" })}, {Name: "r", Text: Rows(files, "text")},
		{Name: "h", Text: HTML(files)}, {Name: "again", Text: Rows(files, "text")},
	}) {
		got = append(got, source+" "+s)
	}
	want := []string{"w entity: that which is perceived to be", "x it was full of rackets, balls and other objects.",
		"g Package a does what is asked of it.", "f To be or not to be.", "f The cat is on the mat.", "r This is a text.", "h This is bold text & prose."}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := spread([]string{"a", "b", "c", "d"}, 2); !slices.Equal(got, []string{"a", "c"}) {
		t.Error(got)
	}
}
