package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	header []string // the columns of the first CSV file

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
	one := File{Name: opt.Name, Open: func() (io.ReadCloser, error) { return io.NopCloser(r), nil }}
	err := p.parse(&parts{p: p, files: []File{one}})
	return p.finish(err)
}

// ParseRows is Parse for rows that came inside of a request. Faults name the row by
// index, "rows[2].label", and have no line.
func ParseRows(rows []json.RawMessage, opt Options, out func(Row) error) (Report, error) {
	p := newParser(opt, out)
	p.report.Format = "json"
	err := p.opt.Choice.check()
	switch {
	case len(rows) == 0:
		err = joinFaults([]error{invalid.Field("rows", "there are no rows"), err})
	case err == nil:
		err = p.rows(&rawRows{rows: rows})
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

// take turns a record into a row and hands it on.
func (p *parser) take(rec record) error {
	if p.report.Rows+p.faults >= p.limits.Rows {
		return invalid.Line(rec.line, "", "more than %d rows", p.limits.Rows)
	}
	if len(rec.faults) > 0 {
		p.fault(rec.located(rec.faults)...)
		return nil
	}
	row, faults := p.row(rec)
	if len(faults) > 0 {
		p.fault(rec.located(faults)...)
		return nil
	}
	if fault := p.checks.look(row, p.limits.Classes); fault != nil {
		return joinFaults(asErrors(rec.located(invalid.Faults(fault))))
	}
	p.report.Rows++
	if p.faults > 0 {
		return nil
	}
	return p.out(row)
}

func (p *parser) takeFaultsOf(sample []record) {
	for _, r := range sample {
		p.fault(r.located(r.faults)...)
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
	if w := fmt.Sprintf(format, args...); !slices.Contains(p.report.Warnings, w) { // of an earlier file
		p.report.Warnings = append(p.report.Warnings, w)
	}
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
			reason := oneClass(p.report)
			if c := p.opt.Choice; c.Limit > 0 && c.Sample == 0 {
				reason += "; these are the first rows of a file that may be sorted by label: draw them with sample"
			}
			p.fault(invalid.Fault{Field: p.plan.columns["label"], Reason: reason})
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

// joinFaults is errors.Join without a level of nesting around one error.
func joinFaults(errs []error) error {
	errs = slices.DeleteFunc(errs, func(e error) bool { return e == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
