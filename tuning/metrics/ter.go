package metrics

import (
	"math"
	"slices"
)

// Limits of the search for shifts, from Tercom and sacrebleu.
const (
	terShiftSize  = 10   // words that are shifted together
	terShiftDist  = 50   // words that they are shifted over
	terBeam       = 25   // distance from the diagonal
	terCandidates = 1000 // shifts that are tried
)

// TER is the translation edit rate of a corpus, in percent: the insertions,
// deletions, substitutions and shifts of runs of words that turn a hypothesis into
// its nearest reference, for each word of the references (on average). Lower is
// better; it can exceed 100. Case is ignored, punctuation counts.
//
// Snover et al., "A study of translation edit rate with targeted human annotation"
// (AMTA 2006). Equal to sacrebleu 2.6, which follows Tercom. It panics when hyps
// and refs differ in length.
func TER(hyps []string, refs [][]string) float64 {
	mustMatch(len(hyps), len(refs))
	var edits, length float64
	for i, hyp := range hyps {
		words := fields(lower(hyp))
		best, sum := math.Inf(1), 0
		for _, ref := range refs[i] {
			r := fields(lower(ref))
			sum += len(r)
			best = min(best, float64(terEdits(words, r)))
		}
		if len(refs[i]) > 0 {
			edits += best
			length += float64(sum) / float64(len(refs[i]))
		}
	}
	if length == 0 {
		return 100 * min(edits, 1)
	}
	return 100 * edits / length
}

// terEdits counts the edits between a hypothesis and one reference. The best shift
// is found again and again, until none brings the two closer.
func terEdits(hyp, ref []string) int {
	if len(ref) == 0 {
		return len(hyp)
	}
	d := distance{ref: ref}
	shifts, tried := 0, 0
	for {
		gain, shifted := d.bestShift(hyp, &tried)
		if tried >= terCandidates || gain <= 0 {
			break
		}
		shifts++
		hyp = shifted
	}
	return shifts + d.to(hyp)
}

// bestShift finds the shift that lowers the distance most. Among equals the longest
// run wins, then the first in the hypothesis, then the one that lands first.
func (d *distance) bestShift(hyp []string, tried *int) (gain int, best []string) {
	before := d.to(hyp)
	align, refWrong, hypWrong := d.alignment(hyp)
	var rank [4]int
	for start := range hyp {
		for at := range d.ref {
			if max(start-at, at-start) > terShiftDist {
				continue
			}
			for n := 1; n <= terShiftSize && start+n <= len(hyp) && at+n <= len(d.ref) && hyp[start+n-1] == d.ref[at+n-1]; n++ {
				// Only words that are wrong, to where words are missing, and not into themselves.
				if !slices.Contains(hypWrong[start:start+n], true) || !slices.Contains(refWrong[at:at+n], true) || align[at] >= start && align[at] < start+n {
					continue
				}
				last := -1
				for offset := -1; offset < n; offset++ {
					target := 0
					if at+offset >= 0 {
						target = align[at+offset] + 1
					}
					if target == last {
						continue
					}
					last = target
					shifted := shift(hyp, start, n, target)
					*tried++
					if r := [4]int{before - d.to(shifted), n, -start, -target}; best == nil || slices.Compare(r[:], rank[:]) > 0 {
						rank, best = r, shifted
					}
				}
				if *tried >= terCandidates {
					return rank[0], best
				}
			}
		}
	}
	return rank[0], best
}

// shift moves n words from start to before target.
func shift(words []string, start, n, target int) []string {
	run := words[start : start+n]
	switch {
	case target < start:
		return slices.Concat(words[:target], run, words[target:start], words[start+n:])
	case target > start+n:
		return slices.Concat(words[:start], words[start+n:target], run, words[target:])
	}
	// Within the run itself: over as many of the words behind it.
	end := min(n+target, len(words))
	return slices.Concat(words[:start], words[start+n:end], run, words[end:])
}

// distance computes Levenshtein's distance to ref within a beam around the diagonal.
// It keeps the matrix of the hypothesis before, whose rows hold for another up to
// the first word that differs.
type distance struct {
	ref  []string
	hyp  []string
	rows [][]edit
}

type edit struct {
	cost int
	op   byte
}

// Edits that turn the hypothesis into the reference.
const (
	keep    = ' '
	replace = 's'
	insert  = 'i'
	remove  = 'd'
)

// to returns the distance of hyp.
func (d *distance) to(hyp []string) int {
	if d.rows == nil {
		first := make([]edit, len(d.ref)+1)
		for j := range first {
			first[j] = edit{j, insert}
		}
		d.rows = [][]edit{first}
	}
	same := 0
	// The beam depends on the length, so only rows of an equal length can be used.
	for len(hyp) == len(d.hyp) && same < len(hyp) && hyp[same] == d.hyp[same] {
		same++
	}
	d.rows, d.hyp = d.rows[:same+1], hyp
	slope := 1.
	if len(hyp) > 0 {
		slope = float64(len(d.ref)) / float64(len(hyp))
	}
	beam := terBeam
	if float64(terBeam) < slope/2 {
		beam = int(math.Ceil(slope/2 + terBeam))
	}
	for i := same + 1; i <= len(hyp); i++ {
		row, above := make([]edit, len(d.ref)+1), d.rows[i-1]
		for j := range row {
			row[j].cost = math.MaxInt / 2
		}
		middle := int(float64(i) * slope)
		from, to := max(0, middle-beam), min(len(d.ref)+1, middle+beam)
		if i == len(hyp) {
			to = len(d.ref) + 1
		}
		for j := from; j < to; j++ {
			if j == 0 {
				row[0] = edit{above[0].cost + 1, remove}
				continue
			}
			diagonal := edit{above[j-1].cost + 1, replace}
			if hyp[i-1] == d.ref[j-1] {
				diagonal = edit{above[j-1].cost, keep}
			}
			for _, e := range [3]edit{diagonal, {above[j].cost + 1, remove}, {row[j-1].cost + 1, insert}} {
				if e.cost < row[j].cost {
					row[j] = e
				}
			}
		}
		d.rows = append(d.rows, row)
	}
	return d.rows[len(hyp)][len(d.ref)].cost
}

// alignment reads off the matrix of hyp, which was the last to be measured, on which
// word of it each word of the reference stands (or after which, -1 for none), and
// which words of both are wrong.
func (d *distance) alignment(hyp []string) (align []int, refWrong, hypWrong []bool) {
	align, refWrong, hypWrong = make([]int, len(d.ref)), make([]bool, len(d.ref)), make([]bool, len(hyp))
	i, j := len(hyp), len(d.ref)
	for i > 0 || j > 0 {
		op := d.rows[i][j].op
		switch {
		case (op == keep || op == replace) && i > 0 && j > 0:
			i, j = i-1, j-1
			align[j], refWrong[j], hypWrong[i] = i, op != keep, op != keep
		case i == 0 || op == insert && j > 0:
			j--
			align[j], refWrong[j] = i-1, true
		default:
			i--
			hypWrong[i] = true
		}
	}
	return align, refWrong, hypWrong
}
