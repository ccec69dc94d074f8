package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"lorikeet/examples"
)

// review is a row of stanfordnlp/imdb: 0 is negative, 1 positive.
type review struct {
	Text  string `parquet:"text" json:"text"`
	Label int64  `parquet:"label" json:"label"`
}

// dataset is a stand-in for stanfordnlp/imdb.
type dataset struct {
	source      string
	train, test []review
}

// imdb takes the rows of a file, or, where it is missing, those of this repository.
func imdb(path string) (dataset, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		rows, err := own(examples.Reviews)
		return cut("examples/reviews.csv", rows), err
	}
	if err != nil {
		return dataset{}, err
	}
	var rows []review
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var r review
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Text == "" || r.Label != 0 && r.Label != 1 {
			return dataset{}, fmt.Errorf("%s: line %d is not a text and a label of 0 or 1: %w", path, n, err)
		}
		rows = append(rows, r)
	}
	return cut(path, rows), lines.Err()
}

// own reads examples/reviews.csv.
func own(text string) ([]review, error) {
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return nil, err
	}
	var rows []review
	for _, l := range lines[1:] {
		r := review{Text: l[0]}
		if l[1] == "positive" {
			r.Label = 1
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// cut holds a fifth back for the test, at random but always the same, and sorts both
// parts by label, as the real files are.
func cut(source string, rows []review) dataset {
	random := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- a shuffle
	random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	d := dataset{source: source, test: rows[:len(rows)/5], train: rows[len(rows)/5:]}
	for _, part := range [][]review{d.train, d.test} {
		slices.SortStableFunc(part, func(a, b review) int { return int(a.Label - b.Label) })
	}
	return d
}

// card is the front matter of the real data set, as far as it says where its files are
// and what its labels mean.
const card = `---
pretty_name: IMDB
dataset_info:
  config_name: plain_text
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': neg
          '1': pos
  splits:
  - name: train
    num_examples: %d
  - name: test
    num_examples: %d
configs:
- config_name: plain_text
  data_files:
  - split: train
    path: plain_text/train-*
  - split: test
    path: plain_text/test-*
  default: true
---

# A stand-in for stanfordnlp/imdb

These are %s, in the layout of the real data set, for machines that cannot reach the hub.
`

// write lays the data set out as it is on the hub.
func (d dataset) write(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "plain_text"), 0o755); err != nil {
		return err
	}
	for split, rows := range map[string][]review{"train": d.train, "test": d.test} {
		var b bytes.Buffer
		w := parquet.NewGenericWriter[review](&b)
		_, err := w.Write(rows)
		if err = errors.Join(err, w.Close()); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "plain_text", split+"-00000-of-00001.parquet"), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	text := fmt.Sprintf(card, len(d.train), len(d.test), "the rows of "+filepath.Base(d.source))
	return os.WriteFile(filepath.Join(dir, "README.md"), []byte(text), 0o644)
}
