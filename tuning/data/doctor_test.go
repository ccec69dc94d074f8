package data

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
)

func each(rows []Row) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func says(text, label string) Row { return Row{Kind: Classification, Text: text, Label: label} }

const review = "the film was long and loud and its hero never once did anything that made the least sense to me or to my friends who came along for the popcorn"

func TestTheDoctorFinds(t *testing.T) {
	rows := []Row{
		says("a fine film", "good"),                                                                                                  // 1
		says("a fine film", "good"),                                                                                                  // 2 duplicate
		says("A  FINE film!", "good"),                                                                                                // 3 normalised
		says("a poor film", "bad"),                                                                                                   // 4 contradiction
		says("a poor film", "good"),                                                                                                  // 5 contradiction
		says(review, "bad"),                                                                                                          // 6
		says(review+" too", "bad"),                                                                                                   // 7 near-duplicate
		says(review+" really", "good"),                                                                                               // 8 much like it, and of the other label: nothing
		says(" \u200b", "bad"),                                                                                                       // 9 empty
		says("the cafÃ© was nice", "good"),                                                                                           // 10 encoding
		says("lost \uFFFD here", "bad"),                                                                                              // 11 encoding
		says("asked again later", "bad"),                                                                                             // 12 leakage
		says("ﬁne ½ café", "good"),                                                                                                   // 13
		says("fine 1⁄2 cafe\u0301", "good"),                                                                                          // 14 normalised
		says("“Â quotes” and naïve Äpfel — Ça", "good"),                                                                              // 15: a lone Â before a blank is a letter
		says("not fine", "good"), says("not good", "good"), says("so so", "good"), says("quite so", "good"), says("oh well", "good"), // 16 to 20
		says(strings.Repeat("on and on ", 100), "good"), // 21 length
	}
	held := []Row{says("Asked again, later.", "bad"), says("something else", "bad")}
	d, sick, err := Examine(each(rows), each(held))
	if err != nil {
		t.Fatal(err)
	}
	want := map[int][]string{2: {Duplicate}, 3: {Normalised}, 4: {Contradiction}, 5: {Contradiction}, 7: {NearDuplicate}, 9: {Empty},
		10: {Encoding}, 11: {Encoding}, 12: {Leakage}, 14: {Normalised}, 21: {Length}}
	if !maps.EqualFunc(sick, want, slices.Equal) {
		t.Errorf("found %v, want %v", sick, want)
	}
	if d.Rows != 21 || d.Sound != 10 || d.Validation != 2 || d.NearCompared != 3 {
		t.Errorf("%+v", d)
	}
	var kinds []string
	for _, f := range d.Findings {
		kinds = append(kinds, fmt.Sprint(f.Kind, " ", f.Count))
		if f.Advice == "" || len(f.Examples) == 0 {
			t.Errorf("%+v", f)
		}
		if f.Kind == Leakage && (f.Examples[0] != Trace{Row: 12, Of: 1, Detail: "the text of the validation row"}) {
			t.Errorf("%+v", f.Examples)
		}
	}
	if got := strings.Join(kinds, ", "); got != "duplicate 1, normalised 2, near_duplicate 1, contradiction 2, leakage 1, empty 1, encoding 2, length 1" {
		t.Error(got)
	}
	again, _, err := Examine(each(rows), each(held))
	if err != nil || fmt.Sprint(again) != fmt.Sprint(d) {
		t.Errorf("examined again: %+v, %v", again, err)
	}
}

func TestTheDoctorLooksAtEveryKind(t *testing.T) {
	half := 0.0
	for name, c := range map[string]struct {
		row  Row
		want string
	}{
		"an instruction without an output": {Row{Kind: Instruction, Instruction: "do", Output: " "}, Empty},
		"an instruction":                   {Row{Kind: Instruction, Instruction: "do", Output: "done"}, ""},
		"a source without a target":        {Row{Kind: Seq2Seq, Source: "a", TargetText: "\n"}, Empty},
		"a silent conversation":            {Row{Kind: Chat, Messages: []Message{{Role: "user", Content: "a"}, {Role: "assistant", Content: ""}}}, Empty},
		"a conversation that counts none":  {Row{Kind: Chat, Messages: []Message{{Role: "user", Content: "a"}, {Role: "assistant", Content: "b", Weight: &half}}}, Empty},
		"a conversation":                   {Row{Kind: Chat, Messages: []Message{{Role: "user", Content: "a"}, {Role: "assistant", Content: "b"}}}, ""},
		"a control character":              {Row{Kind: Text, Text: "a\x07b"}, Encoding},
		"a number":                         {Row{Kind: Regression, Text: "a", Target: &half}, ""},
	} {
		_, sick, err := Examine(each([]Row{c.row}), nil)
		if got := strings.Join(sick[1], " "); err != nil || got != c.want {
			t.Errorf("%s has %q, want %q; %v", name, got, c.want, err)
		}
	}
}

func TestTheDoctorWeighsLabels(t *testing.T) {
	var rows []Row
	for i := range 44 {
		rows = append(rows, says(fmt.Sprint("text ", i), map[bool]string{true: "rare", false: "common"}[i < 4]))
	}
	d, _, err := Examine(each(rows), nil)
	if err != nil || len(d.Findings) != 2 || d.Findings[0].Kind != Imbalance || d.Findings[1].Kind != RareLabel || d.Sound != 44 {
		t.Errorf("%+v, %v", d, err)
	}
	if d, _, err := Examine(each(nil), nil); err != nil || len(d.Findings) != 0 || d.Rows != 0 {
		t.Errorf("no rows: %+v, %v", d, err)
	}
}

// The estimate is that of the Jaccard similarity of the texts' runs of three words.
func TestMinHashEstimatesSimilarity(t *testing.T) {
	words := make([]string, 400)
	for i := range words {
		words[i] = fmt.Sprint("w", i)
	}
	a, _ := sketch(strings.Join(words, " "))
	for _, changed := range []int{0, 10, 40} {
		other := slices.Clone(words)
		for i := range changed {
			other[i*400/max(changed, 1)] = fmt.Sprint("x", i)
		}
		b, ok := sketch(strings.Join(other, " "))
		same := float64(398 - 3*changed + 2) // of 398 runs each; those at the ends are in fewer
		if changed == 0 {
			same = 398
		}
		want := same / (2*398 - same)
		if got := a.like(&b); !ok || got < want-0.15 || got > want+0.15 { // three deviations of 64 draws
			t.Errorf("%d words changed: %v, the similarity is %v", changed, got, want)
		}
	}
	if _, ok := sketch("too short a text to compare"); ok {
		t.Error("a short text is compared by its words")
	}
}

func FuzzDoctor(f *testing.F) {
	f.Add("a fine film", "Ã©", "good")
	f.Add("\x00", "\xff", "")
	f.Fuzz(func(t *testing.T, a, b, label string) {
		d, sick, err := Examine(each([]Row{says(a, label), says(b, label), says(a, label)}), each([]Row{says(b, label)}))
		if err != nil || d.Rows != 3 || d.Sound != 3-len(sick) {
			t.Fatalf("%+v, %v, %v", d, sick, err)
		}
		if strings.TrimFunc(a, unseen) != "" && !slices.Contains(sick[3], Duplicate) {
			t.Fatalf("%q twice: %v", a, sick)
		}
	})
}
