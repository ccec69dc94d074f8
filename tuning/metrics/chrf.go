package metrics

import "strings"

// ChrFOptions of [ChrF]. The zero value is chrF2; WordOrder 2 makes it chrF2++.
type ChrFOptions struct {
	WordOrder int // longest n-gram of words; those of characters have up to 6
	Lowercase bool
}

const (
	chrfOrder = 6 // longest n-gram of characters
	chrfBeta  = 2 // recall counts twice as much as precision
)

// matches counts the n-grams of one order in hypothesis, reference and both.
type matches struct{ hyp, ref, both int }

// ChrF scores a corpus of hypotheses, each against its references, by their n-grams
// of characters: 0 to 100.
//
// Popović, "chrF: character n-gram F-score for automatic MT evaluation" (WMT 2015)
// and "chrF++: words helping character n-grams" (WMT 2017). Equal to sacrebleu 2.6.
// It panics when hyps and refs differ in length.
func ChrF(hyps []string, refs [][]string, opt ChrFOptions) float64 {
	mustMatch(len(hyps), len(refs))
	total := make([]matches, chrfOrder+opt.WordOrder)
	for i, hyp := range hyps {
		grams := chrfGrams(hyp, opt)
		var best []matches
		top := -1.
		for _, ref := range refs[i] {
			counts := make([]matches, len(total))
			for n, r := range chrfGrams(ref, opt) {
				counts[n].ref = sum(r)
				counts[n].both = overlap(grams[n], r)
				if len(r) > 0 { // n-grams that the reference is too short for are no mistake
					counts[n].hyp = sum(grams[n])
				}
			}
			if f := chrfScore(counts); f > top {
				top, best = f, counts
			}
		}
		for n, c := range best {
			total[n].hyp += c.hyp
			total[n].ref += c.ref
			total[n].both += c.both
		}
	}
	return chrfScore(total)
}

// chrfScore is the F-score of the mean precision and the mean recall, over the
// orders that both sides have.
func chrfScore(orders []matches) float64 {
	var p, r, n float64
	for _, m := range orders {
		if m.hyp > 0 && m.ref > 0 {
			p += float64(m.both) / float64(m.hyp)
			r += float64(m.both) / float64(m.ref)
			n++
		}
	}
	p, r = ratio(p, n), ratio(r, n)
	const factor = chrfBeta * chrfBeta
	return 100 * ratio((1+factor)*p*r, factor*p+r)
}

// chrfGrams are the bags of n-grams: of characters without blanks, then of words.
func chrfGrams(s string, opt ChrFOptions) []map[string]int {
	if opt.Lowercase {
		s = lower(s)
	}
	words := fields(s)
	joined := strings.Join(words, "")
	var starts []int // of the characters, and the end
	for i := range joined {
		starts = append(starts, i)
	}
	starts = append(starts, len(joined))
	var bags []map[string]int
	for n := 1; n <= chrfOrder; n++ {
		bag := map[string]int{}
		for i := 0; i+n < len(starts); i++ {
			bag[joined[starts[i]:starts[i+n]]]++
		}
		bags = append(bags, bag)
	}
	var parts []string
	for _, w := range words {
		parts = append(parts, splitPunctuation(w)...)
	}
	for n := 1; n <= opt.WordOrder; n++ {
		bags = append(bags, ngrams(parts, n))
	}
	return bags
}

// splitPunctuation cuts one mark off the end of a word, or else off its start.
func splitPunctuation(w string) []string {
	last := len(w) - 1
	switch {
	case last == 0:
	case strings.IndexByte(punctuation, w[last]) >= 0:
		return []string{w[:last], w[last:]}
	case strings.IndexByte(punctuation, w[0]) >= 0:
		return []string{w[:1], w[1:]}
	}
	return []string{w}
}
