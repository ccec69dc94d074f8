// Package data turns what a user uploads into canonical rows. Parse recognises the
// encoding, the format and the meaning of the columns, checks every row, and hands
// the good ones on, one at a time; what it did and what is wrong comes back as a
// Report. Nothing is half accepted: one bad row refuses the file, and all bad rows
// are named at once.
//
// The canonical form is JSON lines, one object a row. Its fields tell its kind:
//
//	classification  {"text", "text_pair"?, "label"}       the label is always a string
//	regression      {"text", "text_pair"?, "target"}      the target is a number
//	instruction     {"instruction", "input", "output"}
//	chat            {"messages": [{"role", "content", "weight"?}]}
//	seq2seq         {"source", "target"}
//	text            {"text"}
//
// A Writer makes such a file, Read and All read it back.
//
// Memory is bounded whatever the size of the file: rows are streamed, an array in a
// JSON file too, and what is remembered of earlier rows (to find duplicates, to
// count labels) has a fixed limit.
package data

import (
	"cmp"

	"lorikeet/adapters/invalid"
)

// Kind of a dataset: what its rows teach.
type Kind string

// The kinds there are.
const (
	Classification Kind = "classification"
	Regression     Kind = "regression"
	Instruction    Kind = "instruction"
	Chat           Kind = "chat"
	Seq2Seq        Kind = "seq2seq"
	Text           Kind = "text"
)

// Known reports whether k is one of the kinds above.
func (k Kind) Known() bool {
	switch k {
	case Classification, Regression, Instruction, Chat, Seq2Seq, Text:
		return true
	}
	return false
}

// Options of a Parse. The zero value detects everything.
type Options struct {
	Format string // csv, jsonl, json, parquet or text; "" and "auto": from the content and the name
	Name   string // the file's name, a hint such as "reviews.tsv"
	Kind   Kind   // "": from the columns

	// Columns maps fields of the canonical row to columns of the file, such as
	// {"text": "review_body", "label": "stars"}. In a file without a header the
	// columns are called "1", "2" and so on. Fields it does not name are detected
	// when Kind is set or follows from those it names.
	Columns map[string]string

	// Choice says which of the rows are read; the others are neither checked nor
	// counted.
	Choice Choice

	// ClassNames are the names of the classes that whole numbers in a column stand for:
	// {"label": ["neg", "pos"]}. A Parquet file may know them itself.
	ClassNames map[string][]string

	Header *bool // whether the first line of a CSV file names its columns; nil: detected
	Limits Limits

	// TempDir is where a Parquet file from a stream is kept while it is read, for
	// its index stands at the end; "" is the system's.
	TempDir string
}

// Limits of what is read. A zero field means the default.
type Limits struct {
	Bytes   int64 // of the whole file, as uploaded; default none
	Line    int   // bytes of one row as UTF-8; default 16 MiB
	Rows    int   // default 20 million
	Columns int   // default 1024
	Classes int   // different labels; default 10,000
	Errors  int   // faults that are listed, the others are counted; default 100
}

func (l Limits) withDefaults() Limits {
	l.Line = cmp.Or(l.Line, 16<<20)
	l.Rows = cmp.Or(l.Rows, 20_000_000)
	l.Columns = cmp.Or(l.Columns, 1024)
	l.Classes = cmp.Or(l.Classes, 10_000)
	l.Errors = cmp.Or(l.Errors, 100)
	return l
}

// Report is what Parse found. It is the body of POST /datasets.
type Report struct {
	Format   string          `json:"format"` // csv, jsonl, json, parquet or text
	Kind     Kind            `json:"kind"`
	Rows     int             `json:"rows"`             // good rows
	Columns  []string        `json:"columns"`          // as the file names them
	Labels   map[string]int  `json:"labels,omitempty"` // rows of each label; classification only
	Warnings []string        `json:"warnings"`
	Errors   []invalid.Fault `json:"errors"`
}

// Classes lists the labels in the order of their indices; see SortLabels.
func (r Report) Classes() []string {
	names := make([]string, 0, len(r.Labels))
	for l := range r.Labels {
		names = append(names, l)
	}
	SortLabels(names)
	return names
}
