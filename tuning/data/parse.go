package data

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
)

// parser is one Parse under way.
type parser struct {
	opt    Options
	limits Limits
	report Report
	plan   plan
	out    func(Row) error
	faults int // all of them; the report lists the first
	checks checks

	wholeLabels bool // all labels so far are whole numbers, and Kind was detected
}

// The head of a file that its columns are judged by.
const (
	sampleRows  = 4096
	sampleBytes = 8 << 20
)

// Parse reads a dataset and calls out with each row, in order. The report is
// complete also when there is an error.
//
// An error that holds invalid.Faults says what is wrong with the file: every bad
// row, up to a limit, with its line, its column and the reason. The rows that out was
// given must then be thrown away; after the first bad row it gets no more. Any other
// error comes from r or from out.
func Parse(r io.Reader, opt Options, out func(Row) error) (Report, error) {
	p := newParser(opt, out)
	err := p.parse(r)
	return p.finish(err)
}

// ParseRows is Parse for rows that came inside of a request. Faults name the row by
// index, "rows[2].label", and have no line.
func ParseRows(rows []json.RawMessage, opt Options, out func(Row) error) (Report, error) {
	p := newParser(opt, out)
	p.report.Format = "json"
	err := p.rows(&rawRows{rows: rows})
	if len(rows) == 0 {
		err = invalid.Field("rows", "there are no rows")
	}
	report, err := p.finish(err)
	if !invalid.Is(err) {
		return report, err
	}
	var faults []error
	for i := range report.Errors {
		f := &report.Errors[i]
		if f.Line > 0 {
			f.Field = strings.TrimSuffix(fmt.Sprintf("rows[%d].%s", f.Line-1, f.Field), ".")
			f.Line = 0
		}
		faults = append(faults, f)
	}
	return report, errors.Join(faults...)
}

func newParser(opt Options, out func(Row) error) *parser {
	p := &parser{opt: opt, limits: opt.Limits.withDefaults(), out: out}
	p.report.Columns, p.report.Warnings, p.report.Errors = []string{}, []string{}, []invalid.Fault{}
	return p
}

// parse opens the file and reads it.
func (p *parser) parse(r io.Reader) error {
	if err := p.checkFormat(); err != nil {
		return err
	}
	if p.limits.Bytes > 0 {
		r = &capped{r: r, left: p.limits.Bytes, max: p.limits.Bytes}
	}
	d := newDecoder(r)
	head := d.head()
	switch {
	case len(head) == 0 && d.err == io.EOF:
		return invalid.Line(1, "", "the file is empty")
	case d.err != nil && d.err != io.EOF:
		return readError(d.err)
	case bytes.HasPrefix(head, []byte("PAR1")):
		return p.parquet(io.MultiReader(bytes.NewReader(head), afterHead{d}))
	}
	if p.opt.Format == "parquet" {
		return invalid.Line(1, "", "not a Parquet file: it does not start with PAR1")
	}
	if err := foreign(head); err != nil {
		return err
	}
	src, err := p.open(bufio.NewReaderSize(d, chunk))
	if err == nil {
		err = p.rows(src)
	}
	warning, verdict := d.verdict()
	if warning != "" {
		p.warn("%s", warning)
	}
	if verdict != nil && (err == nil || invalid.Is(err)) {
		return joinFaults([]error{verdict, err})
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

// rows finds out what the rows of src mean, and takes them all.
func (p *parser) rows(src source) error {
	var sample []record
	size := 0
	var end error
	for len(sample) < sampleRows && size < sampleBytes {
		rec, err := src.next()
		if err != nil {
			end = err
			break
		}
		sample = append(sample, rec)
		for _, v := range rec.fields.values {
			size += weigh(v)
		}
	}
	if len(sample) == 0 && !errors.Is(end, io.EOF) {
		return readError(end)
	}
	if err := p.understand(src, sample); err != nil {
		p.takeFaultsOf(sample)
		if end != nil && !errors.Is(end, io.EOF) {
			if !invalid.Is(end) {
				return readError(end)
			}
			return joinFaults([]error{end, err})
		}
		if p.faults > 0 && len(p.report.Columns) == 0 {
			return nil // the rows could not be read at all, that says enough
		}
		return err
	}
	p.checks.begin(p.plan)
	for i := range sample {
		if err := p.take(sample[i]); err != nil {
			return err
		}
		sample[i] = record{}
	}
	sample = nil
	for end == nil {
		var rec record
		if rec, end = src.next(); end == nil {
			if err := p.take(rec); err != nil {
				return err
			}
		}
	}
	if c, ok := src.(*csvFile); ok {
		p.warnCSV(c)
	}
	if errors.Is(end, io.EOF) {
		return nil
	}
	return readError(end)
}

// understand makes the plan.
func (p *parser) understand(src source, sample []record) error {
	f := finder{sample: sample}
	if c, ok := src.(*csvFile); ok {
		f.names = slices.Clone(c.names)
	} else {
		seen := map[string]bool{}
		for _, r := range sample {
			for _, n := range r.fields.names {
				if !seen[n] {
					seen[n] = true
					f.names = append(f.names, n)
				}
			}
		}
	}
	f.names = slices.DeleteFunc(f.names, func(n string) bool { return n == "" })
	if len(f.names) > p.limits.Columns {
		return invalid.Line(1, "", "%d columns, %d are allowed", len(f.names), p.limits.Columns)
	}
	p.report.Columns = append(p.report.Columns, f.names...)
	if len(sample) == 0 {
		return invalid.Line(1, "", "the file has no rows")
	}
	pl, err := p.detect(f)
	if err != nil {
		return err
	}
	if label, ok := pl.columns["label"]; ok && pl.kind == Classification {
		all, whole := numbers(f, label)
		if p.opt.Kind == Regression || p.opt.Kind == "" && all && !whole {
			pl.kind = Regression
			delete(pl.columns, "label")
			pl.columns["target"] = label
		}
		p.wholeLabels = p.opt.Kind == "" && all && whole
	}
	p.plan, p.report.Kind = pl, pl.kind
	var unused []string
	for _, n := range f.names {
		used := false
		for _, c := range pl.columns {
			used = used || c == n
		}
		if !used {
			unused = append(unused, n)
		}
	}
	if len(unused) > 0 {
		p.warn("not used: %s", quoteList(unused))
	}
	return nil
}

// numbers reports whether every label at the head is a number, and whether all are
// whole. JSON strings are labels, whatever they hold.
func numbers(f finder, column string) (all, whole bool) {
	whole = true
	for _, r := range f.sample {
		v, _ := r.fields.get(column)
		var text string
		switch v := v.(type) {
		case json.Number:
			text = v.String()
		case cell:
			text = strings.TrimSpace(string(v))
		case nil:
			continue
		default:
			return false, false
		}
		if missing(text) {
			continue
		}
		x, ok := decimal(text)
		if !ok {
			return false, false
		}
		all, whole = true, whole && x == math.Trunc(x)
	}
	return all, whole
}

// weigh estimates the memory of a value.
func weigh(v any) int {
	switch v := v.(type) {
	case string:
		return len(v) + 16
	case cell:
		return len(v) + 16
	case []any:
		n := 24
		for _, e := range v {
			n += weigh(e)
		}
		return n
	case object:
		n := 48
		for i, e := range v.values {
			n += len(v.names[i]) + weigh(e)
		}
		return n
	}
	return 16
}

// take turns a record into a row and hands it on.
func (p *parser) take(rec record) error {
	if p.report.Rows+p.faults >= p.limits.Rows {
		return invalid.Line(rec.line, "", "more than %d rows", p.limits.Rows)
	}
	if len(rec.faults) > 0 {
		p.fault(rec.faults...)
		return nil
	}
	row, faults := p.row(rec)
	if len(faults) > 0 {
		p.fault(faults...)
		return nil
	}
	if fault := p.checks.look(row, p.limits.Classes); fault != nil {
		return fault
	}
	p.report.Rows++
	if p.faults > 0 {
		return nil
	}
	return p.out(row)
}

func (p *parser) takeFaultsOf(sample []record) {
	for _, r := range sample {
		p.fault(r.faults...)
	}
}

func (p *parser) fault(faults ...invalid.Fault) {
	for _, f := range faults {
		if p.faults++; p.faults <= p.limits.Errors {
			p.report.Errors = append(p.report.Errors, f)
		}
	}
}

func (p *parser) warn(format string, args ...any) {
	p.report.Warnings = append(p.report.Warnings, fmt.Sprintf(format, args...))
}

func (p *parser) warnCSV(c *csvFile) {
	if c.extra > 0 {
		p.warn("rows with empty fields beyond the last column, which were cut off: %d", c.extra)
	}
	if c.blank > 0 {
		p.warn("rows without any value, which were left out: %d", c.blank)
	}
	if c.quoting == literal && c.delim != 0 {
		p.warn("quotes were read as characters of the text, because they do not come in pairs")
	}
	if c.quoting == backslash {
		p.warn("quotes inside of fields are escaped by backslashes in this file, and were read so")
	}
}

// finish completes the report and joins what is wrong.
func (p *parser) finish(err error) (Report, error) {
	if err != nil && !invalid.Is(err) {
		return p.report, err
	}
	p.fault(invalid.Faults(err)...)
	if p.report.Kind != "" {
		p.report.Labels = p.checks.labels
		p.report.Warnings = append(p.report.Warnings, p.checks.warnings(p.faults == 0)...)
		if p.faults == 0 && p.report.Rows == 0 {
			p.fault(invalid.Fault{Line: 1, Reason: "the file has no rows"})
		}
		if p.faults == 0 && p.report.Kind == Classification && len(p.checks.labels) == 1 {
			p.fault(invalid.Fault{Field: p.plan.columns["label"], Reason: fmt.Sprintf(
				"every row has the label %q: with one class there is nothing to learn", p.report.Classes()[0])})
		}
	}
	if more := p.faults - len(p.report.Errors); more > 0 {
		p.report.Errors = append(p.report.Errors, invalid.Fault{Reason: fmt.Sprintf("and %d more", more)})
	}
	var faults []error
	for i := range p.report.Errors {
		faults = append(faults, &p.report.Errors[i])
	}
	return p.report, errors.Join(faults...)
}

// readError says what failed when the file could not be read to its end.
func readError(err error) error {
	if invalid.Is(err) {
		return err
	}
	return fmt.Errorf("read the dataset: %w", err)
}

// joinFaults is errors.Join without a level of nesting around one error.
func joinFaults(errs []error) error {
	errs = slices.DeleteFunc(errs, func(e error) bool { return e == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// rawRows are rows that came inside of a request.
type rawRows struct {
	rows []json.RawMessage
	n    int
}

func (r *rawRows) next() (record, error) {
	if r.n == len(r.rows) {
		return record{}, io.EOF
	}
	r.n++
	return jsonRecord(r.rows[r.n-1], r.n), nil
}
