package data

import (
	"bufio"
	"bytes"
	"fmt"
	"path"
	"strings"

	"lorikeet/adapters/invalid"
)

// parse checks the options and reads the rows of a file, or of several.
func (p *parser) parse(files *parts) error {
	if err := joinFaults([]error{p.checkFormat(), p.opt.Choice.check()}); err != nil {
		return err
	}
	err := p.rows(files)
	// A file that was not read to its end is still open.
	err = withVerdict(files.located(files.close()), err)
	for _, warn := range files.warnings {
		warn()
	}
	return err
}

func (p *parser) checkFormat() error {
	switch p.opt.Format {
	case "", "auto", "csv", "tsv", "json", "jsonl", "ndjson", "parquet", "text":
		return nil
	}
	return invalid.Field("format", "unknown format %q; there are auto, csv, jsonl, json, parquet and text", p.opt.Format)
}

// afterHead reads what follows a decoder's head, undecoded.
type afterHead struct{ d *decoder }

func (a afterHead) Read(p []byte) (int, error) {
	if a.d.err != nil {
		return 0, a.d.err
	}
	return a.d.src.Read(p)
}

// open chooses the reader for a text file. An explicit format decides; else what the
// file starts with, and after that its name.
func (p *parser) open(in *bufio.Reader) (source, error) {
	head := peek(in)
	if bytes.IndexByte(head, '\n') < 0 && bytes.IndexByte(head, '\r') >= 0 {
		in = bufio.NewReaderSize(carriageReturns{in}, in.Size())
		head = peek(in)
	}
	whole := len(head) < in.Size()
	if whole && len(bytes.TrimSpace(head)) == 0 {
		return nil, invalid.Line(1, "", "the file is empty")
	}
	format, ext := p.opt.Format, strings.TrimPrefix(strings.ToLower(path.Ext(p.opt.Name)), ".")
	if format == "" || format == "auto" {
		switch {
		case startsJSON(head):
			format = "json"
		case ext == "csv" || ext == "tsv" || ext == "json" || ext == "jsonl" || ext == "ndjson":
			format = ext
		case ext == "txt" || ext == "text":
			format = "txt"
		default:
			format = "csv"
		}
	}
	switch format {
	case "text":
		p.report.Format = "text"
		return &textLines{lines{r: in, max: p.limits.Line}}, nil
	case "json", "jsonl", "ndjson":
		if jsonForm(head, whole) {
			p.report.Format = "jsonl"
			if ext == "json" {
				p.warn("the name says .json, the file holds JSON lines, and was read as such")
			}
			return &jsonLines{lines{r: in, max: p.limits.Line}}, nil
		}
		p.report.Format = "json"
		if ext == "jsonl" || ext == "ndjson" {
			p.warn("the name says .%s, the file holds one JSON document and was read as such", ext)
		}
		return newJSONDocument(in, p.limits.Line), nil
	}
	p.report.Format = "csv"
	return p.openCSV(in, format == "txt")
}

// startsJSON: an array or an object, with whatever quotes.
func startsJSON(head []byte) bool {
	text := bytes.TrimLeft(head, " \t\r\n")
	if len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return false
	}
	next := bytes.TrimLeft(text[1:], " \t\r\n")
	return len(next) == 0 || bytes.IndexByte([]byte("\"'{[]}"), next[0]) >= 0
}

// readError says what failed when the file could not be read to its end.
func readError(err error) error {
	if invalid.Is(err) {
		return err
	}
	return fmt.Errorf("read the dataset: %w", err)
}
