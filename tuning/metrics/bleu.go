package metrics

import (
	"math"
	"regexp"
	"strings"
)

// BLEUOptions of [BLEU]. The zero value is sacrebleu's default: 13a, exp.
type BLEUOptions struct {
	Tokenize  string  // 13a, intl, zh, char or none; "" is 13a
	Smooth    string  // exp, floor, add-k or none; "" is exp
	Value     float64 // of floor and add-k; 0 is 0.1 and 1
	Lowercase bool
	// Sentence leaves out the orders for which the hypothesis is too short:
	// sacrebleu's effective_order, made for single sentences.
	Sentence bool
}

// BLEUScore is a BLEU score and what it is made of, for n-grams of 1 to 4 words.
type BLEUScore struct {
	Score      float64    // 0 to 100
	Counts     [4]float64 // n-grams that stand in a reference; add-k adds to them
	Totals     [4]float64 // n-grams of the hypotheses
	Precisions [4]float64 // in percent, smoothed
	Brevity    float64    // penalty for hypotheses shorter than their references
	HypLen     int        // words
	RefLen     int        // words of the references that are closest in length
}

// BLEU scores a corpus of hypotheses, each against its references.
//
// Papineni et al., "BLEU: a method for automatic evaluation of machine translation"
// (ACL 2002). Equal to sacrebleu 2.6 (Post, "A call for clarity in reporting BLEU
// scores", 2018). It panics when hyps and refs differ in length.
func BLEU(hyps []string, refs [][]string, opt BLEUOptions) BLEUScore {
	mustMatch(len(hyps), len(refs))
	split := func(s string) []string {
		if opt.Lowercase {
			s = lower(s)
		}
		return fields(tokenize(trimEnd(s), opt.Tokenize))
	}
	var b BLEUScore
	for i, hyp := range hyps {
		words := split(hyp)
		var lengths []int
		var ref [4]map[string]int
		for _, r := range refs[i] {
			w := split(r)
			lengths = append(lengths, len(w))
			for n := range ref {
				ref[n] = most(ref[n], ngrams(w, n+1))
			}
		}
		b.HypLen += len(words)
		b.RefLen += closest(len(words), lengths)
		for n := range ref {
			bag := ngrams(words, n+1)
			b.Counts[n] += float64(overlap(bag, ref[n]))
			b.Totals[n] += float64(sum(bag))
		}
	}
	b.score(opt)
	return b
}

// score computes the score from the counts.
func (b *BLEUScore) score(opt BLEUOptions) {
	value := opt.Value
	if value == 0 {
		value = map[string]float64{"floor": 0.1, "add-k": 1}[opt.Smooth]
	}
	b.Brevity = 1
	if b.HypLen < b.RefLen {
		b.Brevity = 0
		if b.HypLen > 0 {
			b.Brevity = math.Exp(1 - float64(b.RefLen)/float64(b.HypLen))
		}
	}
	if b.Counts == [4]float64{} {
		return
	}
	orders, halvings := len(b.Precisions), 1.
	for n := range b.Precisions {
		if opt.Smooth == "add-k" && n > 0 {
			b.Counts[n] += value
			b.Totals[n] += value
		}
		if b.Totals[n] == 0 {
			break
		}
		if opt.Sentence {
			orders = n + 1
		}
		switch {
		case b.Counts[n] > 0:
			b.Precisions[n] = 100 * b.Counts[n] / b.Totals[n]
		case opt.Smooth == "exp" || opt.Smooth == "":
			halvings *= 2
			b.Precisions[n] = 100 / (halvings * b.Totals[n])
		case opt.Smooth == "floor":
			b.Precisions[n] = 100 * value / b.Totals[n]
		}
	}
	var logs float64
	for _, p := range b.Precisions[:orders] {
		if p == 0 {
			return // the geometric mean is 0
		}
		logs += math.Log(p)
	}
	b.Score = b.Brevity * math.Exp(logs/float64(orders))
}

// most has of each n-gram as many as the bag that has more.
func most(a, b map[string]int) map[string]int {
	if a == nil {
		return b
	}
	for gram, n := range b {
		a[gram] = max(a[gram], n)
	}
	return a
}

// closest is the length nearest to n, the shorter of two that are as near.
func closest(n int, lengths []int) int {
	best, distance := 0, -1
	for _, l := range lengths {
		d := max(n-l, l-n)
		if distance < 0 || d < distance || d == distance && l < best {
			best, distance = l, d
		}
	}
	return best
}

func mustMatch(hyps, refs int) {
	if hyps != refs {
		panic("metrics: as many predictions as references are needed")
	}
}

// substitution is one step of a tokenizer.
type substitution struct {
	find    *regexp.Regexp
	replace string
}

// mteval13a are the rules of mteval-v13a.pl for Western languages.
var mteval13a = []substitution{
	{regexp.MustCompile("([{-~\\[-` -&(-+:-@/])"), " $1 "},
	{regexp.MustCompile(`([^0-9])([.,])`), "$1 $2 "}, // unless a digit stands before
	{regexp.MustCompile(`([.,])([^0-9])`), " $1 $2"}, // unless a digit stands behind
	{regexp.MustCompile(`([0-9])(-)`), "$1 $2 "},
}

// mteval14 are the rules of mteval-v14.pl for all languages.
var mteval14 = []substitution{
	{regexp.MustCompile(`(\P{N})(\p{P})`), "$1 $2 "},
	{regexp.MustCompile(`(\p{P})(\P{N})`), " $1 $2"},
	{regexp.MustCompile(`(\p{S})`), " $1 "},
}

// tokenize puts blanks between the tokens of s.
func tokenize(s, how string) string {
	switch how {
	case "", "13a":
		s = strings.ReplaceAll(s, "<skipped>", "")
		s = strings.ReplaceAll(s, "-\n", "")
		s = strings.ReplaceAll(s, "\n", " ")
		// One after the other, as the reference: "&amp;lt;" becomes "<".
		for _, e := range [][2]string{{"&quot;", `"`}, {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}} {
			s = strings.ReplaceAll(s, e[0], e[1])
		}
		return substitute(" "+s+" ", mteval13a)
	case "intl":
		return substitute(s, mteval14)
	case "zh":
		var b strings.Builder
		for _, r := range strings.TrimFunc(s, isSpace) {
			if isChinese(r) {
				b.WriteString(" " + string(r) + " ")
			} else {
				b.WriteRune(r)
			}
		}
		return substitute(b.String(), mteval13a)
	case "char":
		return strings.Join(strings.Split(s, ""), " ")
	}
	return s
}

func substitute(s string, rules []substitution) string {
	for _, r := range rules {
		s = r.find.ReplaceAllString(s, r.replace)
	}
	return s
}

// chinese are sacrebleu's ranges, with its mistake: it writes U+20000 as "\u20000",
// which Python reads as two characters, so that the supplementary planes are
// missing and U+2001 to U+2A6D are in.
var chinese = [][2]rune{
	{0x3400, 0x4DB5}, {0x4E00, 0x9FA5}, {0x9FA6, 0x9FBB}, {0xF900, 0xFA2D}, {0xFA30, 0xFA6A}, {0xFA70, 0xFAD9},
	{0x2001, 0x2A6D}, {0x2F81, 0x2FA1}, {0xFF00, 0xFFEF}, {0x2E80, 0x2EFF}, {0x3000, 0x303F}, {0x31C0, 0x31EF},
	{0x2F00, 0x2FDF}, {0x2FF0, 0x2FFF}, {0x3100, 0x312F}, {0x31A0, 0x31BF}, {0xFE10, 0xFE1F}, {0xFE30, 0xFE4F},
	{0x2600, 0x26FF}, {0x2700, 0x27BF}, {0x3200, 0x32FF}, {0x3300, 0x33FF},
}

func isChinese(r rune) bool {
	for _, c := range chinese {
		if r >= c[0] && r <= c[1] {
			return true
		}
	}
	return false
}
