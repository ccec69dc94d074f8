package unigram

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"lorikeet/inference/text"
)

func TestWords(t *testing.T) {
	got := Words(`Anna said: "I'm 42."`)
	want := []string{"▁Anna", "▁said", ":", `▁"`, "I", "'", "m", "▁", "4", "2", ".", `"`}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// counts are words that share beginnings and ends.
func counts() map[string]int {
	c := map[string]int{"▁the": 50, "▁x": 1}
	for _, stem := range []string{"walk", "talk", "open", "jump", "look", "cook", "play", "call"} {
		c["▁"+stem], c["▁"+stem+"ed"], c["▁"+stem+"ing"] = 9, 9, 9
	}
	return c
}

func TestTrain(t *testing.T) {
	const size = 34
	a, b := Train(counts(), "?", size), Train(counts(), "?", size)
	if !slices.Equal(a, b) {
		t.Error("two runs differ")
	}
	if len(a) > size {
		t.Errorf("%d pieces", len(a))
	}
	sum, have := 0.0, map[string]bool{}
	for _, p := range a {
		if have[p.Text] {
			t.Errorf("%q is there twice", p.Text)
		}
		have[p.Text] = true
		sum += math.Exp(p.Score)
	}
	if have["▁x"] {
		t.Error("a word that was seen once became a piece")
	}
	if sum > 1.001 {
		t.Errorf("probabilities add up to %v", sum)
	}
	for _, p := range []string{"?", "▁", "x", "▁the", "▁walk", "▁cook"} {
		if !have[p] {
			t.Errorf("%q is missing of %v", p, a)
		}
	}
}

// TestEstimates checks the forward-backward counts against a listing of all cuts.
func TestEstimates(t *testing.T) {
	m := &model{scores: map[string]float64{"a": math.Log(0.4), "b": math.Log(0.2), "ab": math.Log(0.3), "ba": math.Log(0.1)}}
	got := m.expect([]word{{[]rune("aba"), 2}})
	// a·b·a 0.032, ab·a 0.12, a·ba 0.04
	total := 0.032 + 0.12 + 0.04
	for p, want := range map[string]float64{"a": 2 * (2*0.032 + 0.12 + 0.04) / total, "b": 2 * 0.032 / total, "ab": 2 * 0.12 / total, "ba": 2 * 0.04 / total} {
		if math.Abs(got[p]-want) > 1e-9 {
			t.Errorf("%s is used %v times, want %v", p, got[p], want)
		}
	}
	if cut, score := m.cut([]rune("aba"), "ab"); !slices.Equal(cut, []string{"a", "ba"}) || math.Abs(score-math.Log(0.04)) > 1e-9 {
		t.Errorf("%q %v", cut, score)
	}
	if d := digamma(1); math.Abs(d+0.5772156649) > 1e-6 { // Euler's constant
		t.Errorf("digamma(1) = %v", d)
	}
}

func TestFilesAreRead(t *testing.T) {
	pieces := append([]Piece{{Newline, -4}}, Train(counts(), "?!.'\"é", 60)...)
	dir := t.TempDir()
	n, err := WriteFiles(dir, pieces, 4, 64)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := text.Load(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if tok.VocabSize() != n || n != len(pieces)+3+4 {
		t.Errorf("%d tokens, %d pieces", tok.VocabSize(), len(pieces))
	}
	for in, want := range map[string]string{
		"the walk":         "the walk</s>",
		"  the \t  walk ":  "the walk</s>",
		"“the walk’":       `"the walk'</s>`,
		"the <extra_id_0>": "the<extra_id_0></s>",
	} {
		if got := tok.Decode(tok.Encode(in, nil, 0).IDs, false); strings.ReplaceAll(got, " <", "<") != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	ids := tok.Encode("the\nwalk", nil, 0).IDs
	if len(ids) != 4 || ids[1] != 3 || !slices.Equal(ids[2:3], tok.EncodePlain("walk")) {
		t.Errorf("a line's end is no piece between whole words: %v", ids)
	}
	if ids := tok.Encode("<extra_id_0> <extra_id_3>", nil, 0).IDs; ids[0] != int32(n-1) || ids[1] != int32(n-4) {
		t.Errorf("sentinels %v of %d", ids, n)
	}
}
