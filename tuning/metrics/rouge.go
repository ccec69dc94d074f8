package metrics

import (
	"cmp"
	"slices"
	"strings"
)

// PRF is precision, recall and their harmonic mean.
type PRF struct {
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
}

func prf(hits, hyp, ref int) PRF {
	p, r := ratio(float64(hits), float64(hyp)), ratio(float64(hits), float64(ref))
	return PRF{p, r, harmonic(p, r)}
}

// ROUGEScore holds the four variants that summaries are reported with.
type ROUGEScore struct {
	One, Two PRF // n-grams of one and of two words
	L        PRF // longest common subsequence
	Lsum     PRF // the same, sentence by sentence; a sentence is a line
}

// ROUGE compares a summary with one reference. With stemming, words of more than
// three letters are compared by their stems. Words are runs of a to z and 0 to 9, so
// that text in other scripts scores 0.
//
// Lin, "ROUGE: a package for automatic evaluation of summaries" (2004). Equal to
// rouge_score 0.1.2, which follows ROUGE-1.5.5.
func ROUGE(hyp, ref string, stemming bool) ROUGEScore {
	h, r := rougeWords(hyp, stemming), rougeWords(ref, stemming)
	grams := func(n int) PRF {
		a, b := ngrams(h, n), ngrams(r, n)
		return prf(overlap(a, b), sum(a), sum(b))
	}
	common := len(subsequence(r, h))
	return ROUGEScore{grams(1), grams(2), prf(common, len(h), len(r)), rougeLsum(hyp, ref, stemming)}
}

func rougeWords(s string, stemming bool) []string {
	words := strings.FieldsFunc(lower(s), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	for i, w := range words {
		if stemming && len(w) > 3 {
			words[i] = stem(w)
		}
	}
	return words
}

// rougeLsum is the summary-level score of section 3.2 of the paper: for each
// sentence of the reference the union of its common subsequences with all sentences
// of the summary. No word is counted more often than it stands on either side.
func rougeLsum(hyp, ref string, stemming bool) PRF {
	sentences := func(s string) (all [][]string, n int) {
		for line := range strings.SplitSeq(s, "\n") {
			if line != "" {
				all = append(all, rougeWords(line, stemming))
				n += len(all[len(all)-1])
			}
		}
		return all, n
	}
	h, hypLen := sentences(hyp)
	r, refLen := sentences(ref)
	hypLeft, refLeft := ngrams(slices.Concat(h...), 1), ngrams(slices.Concat(r...), 1)
	hits := 0
	for _, sentence := range r {
		var union []int
		for _, other := range h {
			union = append(union, subsequence(sentence, other)...)
		}
		slices.Sort(union)
		for _, i := range slices.Compact(union) {
			if w := sentence[i]; hypLeft[w] > 0 && refLeft[w] > 0 {
				hits++
				hypLeft[w]--
				refLeft[w]--
			}
		}
	}
	return prf(hits, hypLen, refLen)
}

// subsequence returns the indices in a of a longest common subsequence with b; of
// several the one that the reference finds.
func subsequence[T cmp.Ordered](a, b []T) []int {
	table := make([][]int32, len(a)+1)
	for i := range table {
		table[i] = make([]int32, len(b)+1)
	}
	for i := range a {
		for j := range b {
			if a[i] == b[j] {
				table[i+1][j+1] = table[i][j] + 1
			} else {
				table[i+1][j+1] = max(table[i][j+1], table[i+1][j])
			}
		}
	}
	var found []int
	for i, j := len(a), len(b); i > 0 && j > 0; {
		switch {
		case a[i-1] == b[j-1]:
			i, j = i-1, j-1
			found = append(found, i)
		case table[i][j-1] > table[i-1][j]:
			j--
		default:
			i--
		}
	}
	slices.Reverse(found)
	return found
}
