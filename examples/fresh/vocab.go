package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lorikeet/inference/text/spm"
)

// space is how SentencePiece writes the space before a word.
const space = "▁"

// writeMarianVocabulary makes the files of a MarianTokenizer of the texts in two columns
// of JSON lines: one vocabulary for both languages, n tokens with </s>, <unk> and <pad>.
func writeMarianVocabulary(dir, rows string, columns [2]string, n int) (size int, err error) {
	words, err := countWords(rows, columns)
	if err != nil {
		return 0, err
	}
	pieces, err := learnPieces(words, n-3)
	if err != nil {
		return 0, err
	}
	model := spm.Model{Algorithm: spm.Unigram, Unk: 0, UnkSurface: " \u2047 ", AddDummyPrefix: true, RemoveExtraSpace: true, EscapeSpace: true,
		Pieces: append([]spm.Piece{{Text: "<unk>", Kind: spm.Unknown}, {Text: "<s>", Kind: spm.Control}, {Text: "</s>", Kind: spm.Control}}, pieces...)}
	ids := map[string]int{"</s>": 0, "<unk>": 1}
	for _, p := range pieces {
		ids[p.Text] = len(ids)
	}
	ids["<pad>"] = len(ids)
	vocab, e1 := json.Marshal(ids)
	settings, e2 := json.MarshalIndent(map[string]any{
		"tokenizer_class": "MarianTokenizer", "source_lang": columns[0], "target_lang": columns[1], "model_max_length": 128,
		"unk_token": "<unk>", "eos_token": "</s>", "pad_token": "<pad>", "separate_vocabs": false,
	}, "", "  ")
	err = errors.Join(e1, e2)
	for name, b := range map[string][]byte{"source.spm": model.Marshal(), "target.spm": model.Marshal(), "vocab.json": vocab, "tokenizer_config.json": settings} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), b, 0o644))
	}
	return len(ids), err
}

// countWords counts what stands between spaces, with the mark of the space before it.
func countWords(path string, columns [2]string) (map[string]int, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--rows: %w", err)
	}
	defer f.Close()
	words := map[string]int{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for n := 1; lines.Scan(); n++ {
		var row map[string]any
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("--rows: %s: line %d: %w", path, n, err)
		}
		for _, c := range columns {
			text, ok := row[c].(string)
			if !ok {
				return nil, fmt.Errorf("--rows: %s: line %d: %q is missing, or no text", path, n, c)
			}
			for _, w := range strings.Fields(text) {
				words[space+w]++
			}
		}
	}
	return words, lines.Err()
}

// word is a distinct word, cut into the pieces so far.
type word struct {
	pieces []string
	count  int
}

// reserved are the tokens that no text may be read as.
var reserved = map[string]bool{"<unk>": true, "<s>": true, "</s>": true, "<pad>": true}

// learnPieces finds n pieces by byte-pair encoding (Sennrich et al. 2016) over
// characters: all characters, then the most frequent pair of neighbours, joined, again
// and again. Each gets the logarithm of its share of the text as its score, by which a
// unigram model chooses among them.
func learnPieces(counts map[string]int, n int) ([]spm.Piece, error) {
	var words []word
	uses := map[string]int{}
	for text, count := range counts {
		w := word{count: count}
		for _, r := range text {
			w.pieces = append(w.pieces, string(r))
			uses[string(r)] += count
		}
		words = append(words, w)
	}
	if len(uses) > n {
		return nil, fmt.Errorf("--vocab: the rows have %d different characters, %d tokens are too few", len(uses), n)
	}
	// Which words have a pair, so that a merge looks at these alone.
	pairs, where := map[[2]string]int{}, map[[2]string]map[int]bool{}
	note := func(i, sign int) {
		w := words[i]
		for k := range len(w.pieces) - 1 {
			p := [2]string{w.pieces[k], w.pieces[k+1]}
			pairs[p] += sign * w.count
			if where[p] == nil {
				where[p] = map[int]bool{}
			}
			where[p][i] = true
		}
	}
	for i := range words {
		note(i, 1)
	}
	for len(uses) < n {
		var best [2]string
		for p, count := range pairs {
			if reserved[p[0]+p[1]] {
				continue
			}
			if c := cmp.Compare(count, pairs[best]); c > 0 || c == 0 && slices.Compare(p[:], best[:]) < 0 {
				best = p
			}
		}
		if pairs[best] < 2 {
			break
		}
		joined := best[0] + best[1]
		uses[joined] += 0 // a piece from now on, however it was made
		for i := range where[best] {
			note(i, -1)
			old := words[i].pieces
			var merged []string
			for k := 0; k < len(old); k++ {
				if k+1 < len(old) && old[k] == best[0] && old[k+1] == best[1] {
					merged = append(merged, joined)
					k++
					continue
				}
				merged = append(merged, old[k])
			}
			words[i].pieces = merged
			note(i, 1)
		}
		delete(pairs, best)
		delete(where, best)
	}
	return scored(words, uses), nil
}

// scored counts how often each piece is used, and puts the most frequent first.
func scored(words []word, uses map[string]int) []spm.Piece {
	total := 0
	used := map[string]int{}
	for text := range uses {
		used[text] = 0
	}
	for _, w := range words {
		for _, p := range w.pieces {
			used[p] += w.count
			total += w.count
		}
	}
	var pieces []spm.Piece
	for text, count := range used {
		// What others have replaced everywhere may still be needed for a new word.
		pieces = append(pieces, spm.Piece{Text: text, Score: float32(math.Log(max(float64(count), 0.5) / float64(total))), Kind: spm.Normal})
	}
	slices.SortFunc(pieces, func(a, b spm.Piece) int { return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Text, b.Text)) })
	return pieces
}
