// Package examples holds the rows that the demonstration tunes on, written for this
// project: 120 one-sentence reviews, each with its sentiment and its topic, and 80 with
// the stars that an instruction asks for.
package examples

import _ "embed"

// Reviews is a CSV with the columns text, sentiment and topic.
//
//go:embed reviews.csv
var Reviews string

// Instructions are JSON lines with instruction, input and output: reviews that are
// answered with a line such as "stars: 4 of 5".
//
//go:embed instructions.jsonl
var Instructions string
