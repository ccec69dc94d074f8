// Package wordpiece makes the vocabulary of a lower-cased BERT: pieces that start a
// word, and pieces with "##" before them that go on one. It starts from letters and
// joins, again and again, the pair of neighbours that is seen most often, as byte pair
// encoding does (Sennrich et al. 2016). How a text is then cut is WordPiece's greedy
// longest match, in inference/text.
package wordpiece

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
)

// Special are the first tokens of every vocabulary, in BERT's order.
var Special = []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}

// Words cuts ASCII text as BERT's pre-tokenizer does, in lower case: at blanks, and
// each mark of punctuation is a word.
func Words(text string) []string {
	var out []string
	from := -1
	text = strings.ToLower(text)
	for i, r := range text {
		letter := unicode.IsLetter(r) || unicode.IsDigit(r)
		if !letter && from >= 0 {
			out, from = append(out, text[from:i]), -1
		}
		switch {
		case letter && from < 0:
			from = i
		case !letter && r > ' ':
			out = append(out, string(r))
		}
	}
	if from >= 0 {
		out = append(out, text[from:])
	}
	return out
}

// word is a distinct word, in pieces.
type word struct {
	pieces []string
	count  int
}

type pair [2]string

// Train gives a vocabulary of size tokens: the special ones, every character of
// alphabet and of the words with and without "##", then the pieces in the order they
// were joined. counts says how often each word was seen. The result depends on nothing
// but the arguments.
func Train(counts map[string]int, alphabet string, size int) []string {
	words, seen := split(counts)
	for _, r := range alphabet {
		seen[string(r)], seen["##"+string(r)] = true, true
	}
	vocab := append(slices.Clone(Special), sorted(seen)...)
	have := map[string]bool{}
	for _, v := range vocab {
		have[v] = true
	}
	total, where := map[pair]int{}, map[pair]map[int]bool{}
	for i, w := range words {
		tally(w, i, 1, total, where)
	}
	for len(vocab) < size {
		best, ok := most(total)
		if !ok {
			break
		}
		joined := best[0] + strings.TrimPrefix(best[1], "##")
		for i := range where[best] {
			tally(words[i], i, -1, total, where)
			words[i].pieces = join(words[i].pieces, best, joined)
			tally(words[i], i, 1, total, where)
		}
		delete(total, best)
		delete(where, best)
		if !have[joined] {
			have[joined] = true
			vocab = append(vocab, joined)
		}
	}
	return vocab
}

// split cuts the words into characters.
func split(counts map[string]int) (words []word, seen map[string]bool) {
	seen = map[string]bool{}
	for _, w := range sorted(counts) {
		var pieces []string
		for i, r := range w {
			p := string(r)
			if i > 0 {
				p = "##" + p
			}
			seen[p] = true
			pieces = append(pieces, p)
		}
		words = append(words, word{pieces, counts[w]})
	}
	return words, seen
}

// tally adds the pairs of a word to the totals, times sign.
func tally(w word, at, sign int, total map[pair]int, where map[pair]map[int]bool) {
	for i := range len(w.pieces) - 1 {
		p := pair{w.pieces[i], w.pieces[i+1]}
		total[p] += sign * w.count
		if sign > 0 {
			if where[p] == nil {
				where[p] = map[int]bool{}
			}
			where[p][at] = true
		}
	}
}

// most is the pair seen most often, the first in the alphabet among equals.
func most(total map[pair]int) (best pair, ok bool) {
	n := 1
	for p, c := range total {
		if c > n || ok && c == n && slices.Compare(p[:], best[:]) < 0 {
			best, n, ok = p, c, true
		}
	}
	return best, ok
}

func join(pieces []string, p pair, joined string) []string {
	out := make([]string, 0, len(pieces))
	for i := 0; i < len(pieces); i++ {
		if i+1 < len(pieces) && pieces[i] == p[0] && pieces[i+1] == p[1] {
			out = append(out, joined)
			i++
		} else {
			out = append(out, pieces[i])
		}
	}
	return out
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
