package data

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
)

// rows finds out what the rows of src mean, and takes them all.
func (p *parser) rows(all source) error {
	src := p.choose(all)
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
	if err := p.understand(sample); err != nil {
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
		sample[i] = record{} // the rest of the file may be long: let go of it
	}
	for end == nil {
		var rec record
		if rec, end = src.next(); end == nil {
			if err := p.take(rec); err != nil {
				return err
			}
		}
	}
	if errors.Is(end, io.EOF) {
		return nil
	}
	return readError(end)
}

// understand makes the plan.
func (p *parser) understand(sample []record) error {
	f := finder{sample: sample}
	if p.header != nil {
		f.names = slices.Clone(p.header)
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
