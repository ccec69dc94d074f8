// Package examples holds the rows that the demonstration tunes on: 120 one-sentence
// reviews written for this project, each with its sentiment and its topic.
package examples

import _ "embed"

// Reviews is a CSV with the columns text, sentiment and topic.
//
//go:embed reviews.csv
var Reviews string
