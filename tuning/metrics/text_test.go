package metrics_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"lorikeet/tuning/metrics"
)

// The references are computed in float64 by the same formulas; what is left is the
// order of additions.
const tolerance = 1e-9

func prfs(r metrics.ROUGEScore) [4]metrics.PRF { return [4]metrics.PRF{r.One, r.Two, r.L, r.Lsum} }

func (r ROUGE) plain() [4][3]float64 { return [4][3]float64{r.One, r.Two, r.L, r.Lsum} }
func (r ROUGE) stemmed() [4][3]float64 {
	return [4][3]float64{r.OneStem, r.TwoStem, r.LStem, r.LsumStem}
}

func TestPairsEqualTheirReferences(t *testing.T) {
	f := fixture(t)
	var meteor, em, f1, sentence float64
	var rouge [2][4][3]float64
	for _, p := range f.Pairs {
		name := fmt.Sprintf("%.30q | %.30q: ", p.Hyp, p.Ref)
		bleu := metrics.BLEU([]string{p.Hyp}, [][]string{{p.Ref}}, metrics.BLEUOptions{Sentence: true}).Score
		near(t, name+"sentence BLEU", bleu, p.Sentence, tolerance)
		near(t, name+"chrF", metrics.ChrF([]string{p.Hyp}, [][]string{{p.Ref}}, metrics.ChrFOptions{}), p.ChrF, tolerance)
		near(t, name+"METEOR", metrics.METEOR(p.Hyp, p.Ref), p.METEOR, tolerance)
		near(t, name+"exact match", metrics.ExactMatch(p.Hyp, p.Ref), p.EM, 0)
		near(t, name+"token F1", metrics.TokenF1(p.Hyp, p.Ref), p.F1, tolerance)
		for i, want := range [2][4][3]float64{p.plain(), p.stemmed()} {
			for k, got := range prfs(metrics.ROUGE(p.Hyp, p.Ref, i == 1)) {
				for j, v := range [3]float64{got.Precision, got.Recall, got.F1} {
					near(t, fmt.Sprint(name, "ROUGE ", i, k, j), v, want[k][j], tolerance)
					rouge[i][k][j] += v / float64(len(f.Pairs))
				}
			}
		}
		for _, side := range [][2]string{{p.Hyp, p.TokHyp}, {p.Ref, p.TokRef}} {
			if got := strings.Join(metrics.Tokenize13a(side[0]), " "); got != side[1] {
				t.Errorf("tokens of %q: %q, want %q", side[0], got, side[1])
			}
		}
		for i, w := range strings.Fields(strings.ToLower(p.Hyp)) {
			if i < len(p.Porter) && metrics.Stem(w) != p.Porter[i] {
				t.Errorf("stem of %s: %s, want %s", w, metrics.Stem(w), p.Porter[i])
			}
		}
		sentence += bleu / float64(len(f.Pairs))
		meteor += metrics.METEOR(p.Hyp, p.Ref) / float64(len(f.Pairs))
		em += metrics.ExactMatch(p.Hyp, p.Ref) / float64(len(f.Pairs))
		f1 += metrics.TokenF1(p.Hyp, p.Ref) / float64(len(f.Pairs))
	}
	near(t, "mean sentence BLEU", sentence, f.Mean.Sentence, tolerance)
	near(t, "mean METEOR", meteor, f.Mean.METEOR, tolerance)
	near(t, "mean exact match", em, f.Mean.EM, tolerance)
	near(t, "mean token F1", f1, f.Mean.F1, tolerance)
	for i, want := range [2][4][3]float64{f.Mean.plain(), f.Mean.stemmed()} {
		for k := range want {
			for j := range want[k] {
				near(t, fmt.Sprint("mean ROUGE ", i, k, j), rouge[i][k][j], want[k][j], tolerance)
			}
		}
	}
}

func TestCorpusBLEUEqualsSacrebleu(t *testing.T) {
	f := fixture(t)
	for name, opt := range map[string]metrics.BLEUOptions{
		"bleu": {}, "bleu_lc": {Lowercase: true}, "bleu_intl": {Tokenize: "intl"}, "bleu_char": {Tokenize: "char"}, "bleu_none": {Tokenize: "none"},
		"bleu_zh": {Tokenize: "zh"}, "bleu_floor": {Smooth: "floor"}, "bleu_addk": {Smooth: "add-k"}, "bleu_two_refs": {},
	} {
		t.Run(name, func(t *testing.T) {
			var want struct {
				Score      float64
				Counts     [4]float64
				Totals     [4]float64
				Precisions *[4]float64
				BP         float64
				SysLen     int      `json:"sys_len"`
				RefLen     int      `json:"ref_len"`
				Second     []string `json:"second_refs"`
			}
			if err := json.Unmarshal(f.Corpus[name], &want); err != nil {
				t.Fatal(err)
			}
			hyps, refs := f.corpus()
			for i, r := range want.Second {
				refs[i] = append(refs[i], r)
			}
			got := metrics.BLEU(hyps, refs, opt)
			near(t, "score", got.Score, want.Score, tolerance)
			near(t, "brevity penalty", got.Brevity, want.BP, tolerance)
			if got.Counts != want.Counts || got.Totals != want.Totals || got.HypLen != want.SysLen || got.RefLen != want.RefLen {
				t.Errorf("%+v, want %+v", got, want)
			}
			for n := range got.Precisions {
				if want.Precisions != nil {
					near(t, "precision", got.Precisions[n], want.Precisions[n], tolerance)
				}
			}
		})
	}
}

// corpus is the pairs as BLEU, ChrF and TER take them.
func (r references) corpus() (hyps []string, refs [][]string) {
	for _, p := range r.Pairs {
		hyps, refs = append(hyps, p.Hyp), append(refs, []string{p.Ref})
	}
	return hyps, refs
}

func (r references) score(t *testing.T, name string) float64 {
	t.Helper()
	var want struct{ Score float64 }
	if err := json.Unmarshal(r.Corpus[name], &want); err != nil {
		t.Fatal(err)
	}
	return want.Score
}

func TestCorpusChrFAndTEREqualSacrebleu(t *testing.T) {
	f := fixture(t)
	hyps, refs := f.corpus()
	near(t, "chrF", metrics.ChrF(hyps, refs, metrics.ChrFOptions{}), f.score(t, "chrf"), tolerance)
	near(t, "chrF++", metrics.ChrF(hyps, refs, metrics.ChrFOptions{WordOrder: 2}), f.score(t, "chrf_pp"), tolerance)
	near(t, "chrF in lower case", metrics.ChrF(hyps, refs, metrics.ChrFOptions{Lowercase: true}), f.score(t, "chrf_lc"), tolerance)
	near(t, "TER", metrics.TER(hyps, refs), f.score(t, "ter"), tolerance)
}

func TestGenerationIsTheMeanOfEach(t *testing.T) {
	f := fixture(t)
	var hyps, refs []string
	for _, p := range f.Pairs {
		hyps, refs = append(hyps, p.Hyp), append(refs, p.Ref)
	}
	got := metrics.Generation(hyps, refs)
	want := map[string]float64{
		"bleu": f.score(t, "bleu"), "chrf": f.score(t, "chrf"), "chrf_pp": f.score(t, "chrf_pp"), "ter": f.score(t, "ter"),
		"rouge1": f.Mean.One[2], "rouge2": f.Mean.Two[2], "rougeL": f.Mean.L[2], "rougeLsum": f.Mean.Lsum[2],
		"meteor": f.Mean.METEOR, "exact_match": f.Mean.EM, "token_f1": f.Mean.F1,
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
	for name, w := range want {
		near(t, name, got[name], w, tolerance)
	}
	if len(metrics.Generation(nil, nil)) != 0 {
		t.Error("metrics of nothing")
	}
}

// testdata/text.json holds what sacrebleu, rouge_score and nltk say to texts that the
// shared fixture has none of: many references, long sentences that need shifts, other
// scripts, marks of all kinds.
func TestMoreTextsEqualTheirReferences(t *testing.T) {
	data, err := os.ReadFile("testdata/text.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Name   string
			Hyps   []string
			Refs   [][]string
			Expect map[string]float64
		}
		Stems map[string]string
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			first := make([]string, len(c.Hyps))
			for i, r := range c.Refs {
				first[i] = r[0]
			}
			got := map[string]float64{
				"bleu":      metrics.BLEU(c.Hyps, c.Refs, metrics.BLEUOptions{}).Score,
				"bleu_intl": metrics.BLEU(c.Hyps, c.Refs, metrics.BLEUOptions{Tokenize: "intl"}).Score,
				"bleu_zh":   metrics.BLEU(c.Hyps, c.Refs, metrics.BLEUOptions{Tokenize: "zh", Smooth: "floor", Value: 0.01, Lowercase: true}).Score,
				"bleu_char": metrics.BLEU(c.Hyps, c.Refs, metrics.BLEUOptions{Tokenize: "char", Smooth: "none"}).Score,
				"chrf":      metrics.ChrF(c.Hyps, c.Refs, metrics.ChrFOptions{}),
				"chrf_pp":   metrics.ChrF(c.Hyps, c.Refs, metrics.ChrFOptions{WordOrder: 2, Lowercase: true}),
				"ter":       metrics.TER(c.Hyps, c.Refs),
			}
			n := float64(len(c.Hyps))
			for i, hyp := range c.Hyps {
				r := metrics.ROUGE(hyp, first[i], true)
				got["rouge2"] += r.Two.F1 / n
				got["rougeL"] += r.L.F1 / n
				got["rougeLsum"] += r.Lsum.F1 / n
				got["meteor"] += metrics.METEOR(hyp, first[i]) / n
				got["em"] += metrics.ExactMatch(hyp, first[i]) / n
				got["f1"] += metrics.TokenF1(hyp, first[i]) / n
			}
			for name, want := range c.Expect {
				near(t, name, got[name], want, tolerance)
			}
		})
	}
	if len(file.Stems) < 1000 {
		t.Errorf("%d stems", len(file.Stems))
	}
	for word, want := range file.Stems {
		if got := metrics.Stem(word); got != want {
			t.Errorf("stem of %s: %s, want %s", word, got, want)
		}
	}
}

func TestScoresOfNothing(t *testing.T) {
	for name, got := range map[string]float64{
		"BLEU of no texts":             metrics.BLEU(nil, nil, metrics.BLEUOptions{}).Score,
		"BLEU without references":      metrics.BLEU([]string{"a"}, [][]string{nil}, metrics.BLEUOptions{}).Score,
		"BLEU of an empty text":        metrics.BLEU([]string{""}, [][]string{{"a"}}, metrics.BLEUOptions{}).Score,
		"chrF of no texts":             metrics.ChrF(nil, nil, metrics.ChrFOptions{}),
		"chrF of empty texts":          metrics.ChrF([]string{""}, [][]string{{""}}, metrics.ChrFOptions{WordOrder: 2}),
		"TER of no texts":              metrics.TER(nil, nil),
		"TER without references":       metrics.TER([]string{"a"}, [][]string{nil}),
		"TER of empty texts":           metrics.TER([]string{""}, [][]string{{""}}),
		"TER of an empty reference":    metrics.TER([]string{"a b"}, [][]string{{""}}) - 100,
		"TER of an empty hypothesis":   metrics.TER([]string{""}, [][]string{{"a b"}}) - 100,
		"METEOR of empty texts":        metrics.METEOR("", ""),
		"ROUGE of empty texts":         metrics.ROUGE("", "", true).Lsum.F1,
		"exact match of nothing":       metrics.ExactMatch("the", "A.") - 1,
		"token F1 of one empty answer": metrics.TokenF1("the", "cat"),
	} {
		if got != 0 || math.IsNaN(got) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range [][2]string{{"the cat sat", "the cat is sitting"}, {"", "a"}, {"a\nb b", "b\na"}, {"ΣΑΣ İ", "σας i"}, {"yyy yies eeing", "\xff"}, {"1,000.5-3", "$1 $2"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, hyp, ref string) {
		if len(hyp)+len(ref) > 2000 {
			return
		}
		for name, v := range metrics.Generation([]string{hyp}, []string{ref}) {
			if math.IsNaN(v) || v < 0 || v > 100+tolerance && name != "ter" {
				t.Errorf("%s: %v", name, v)
			}
		}
		for _, how := range []string{"intl", "zh", "char", "none"} {
			metrics.BLEU([]string{hyp}, [][]string{{ref, hyp}}, metrics.BLEUOptions{Tokenize: how, Lowercase: true})
		}
		if words := strings.Fields(hyp); len(words) > 0 && strings.ToValidUTF8(hyp, "") == hyp {
			if v := metrics.TER([]string{hyp}, [][]string{{hyp}}); v != 0 {
				t.Errorf("TER of itself: %v", v)
			}
		}
	})
}

func BenchmarkGeneration(b *testing.B) {
	words := strings.Fields(strings.Repeat("the quick brown fox jumps over the lazy dog while seven other animals watch from afar ", 4))
	hyp := strings.Join(words, " ")
	slices.Reverse(words)
	ref := strings.Join(words, " ")
	for b.Loop() {
		metrics.Generation([]string{hyp}, []string{ref})
	}
}
