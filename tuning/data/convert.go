package data

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"lorikeet/adapters/invalid"
)

// reading collects what is wrong with one record while its fields are read.
type reading struct {
	rec    record
	plan   *plan
	faults []invalid.Fault
}

func (r *reading) fault(field, format string, args ...any) {
	r.faults = append(r.faults, invalid.Fault{Line: r.rec.line, Field: field, Reason: fmt.Sprintf(format, args...)})
}

// row makes the canonical row of a record.
func (p *parser) row(rec record) (Row, []invalid.Fault) {
	r := reading{rec: rec, plan: &p.plan}
	row := Row{Line: rec.line, Kind: p.plan.kind}
	switch row.Kind {
	case Classification, Regression:
		row.Text = p.trimmed(r.text("text", false))
		if r.plan.columns["text_pair"] != "" {
			pair := p.trimmed(r.text("text_pair", false))
			row.Pair = &pair
		}
		if row.Kind == Classification {
			row.Label = p.label(&r)
		} else {
			row.Target = r.target()
		}
	case Instruction:
		row.Instruction, row.Output = r.text("instruction", false), r.text("output", false)
		row.Input = r.text("input", true)
	case Chat:
		row.Messages = r.messages()
	case Seq2Seq:
		if r.plan.columns["translation"] != "" {
			row.Source, row.TargetText = r.translation()
		} else {
			row.Source, row.TargetText = r.text("source", false), r.text("target", false)
		}
	case Text:
		row.Text = r.text("text", false)
	}
	return row, r.faults
}

// trimmed cuts blanks around a text that is classified; they carry no meaning there.
// In texts that a model learns to write they may.
func (p *parser) trimmed(s string) string {
	t := strings.TrimSpace(s)
	if len(t) != len(s) {
		p.checks.trimmed++
	}
	return t
}

// text reads a field that must be a text with something in it, unless it is
// optional.
func (r *reading) text(field string, optional bool) string {
	column := r.plan.columns[field]
	v, ok := r.rec.fields.get(column)
	if optional && (column == "" || !ok || v == nil) {
		return ""
	}
	return r.textValue(column, v, ok, optional)
}

func (r *reading) textValue(name string, v any, ok, optional bool) string {
	var s string
	switch v := v.(type) {
	case string:
		s = v
	case cell:
		s = string(v)
	case nil:
		if ok {
			r.fault(name, "the text is null")
		} else {
			r.fault(name, "missing")
		}
		return ""
	default:
		r.fault(name, "want a text, got %s", typeName(v))
		return ""
	}
	switch {
	case strings.IndexByte(s, 0) >= 0:
		r.fault(name, "the text holds a NUL character")
	case !optional && strings.TrimSpace(s) == "":
		r.fault(name, "the text is empty")
	}
	return s
}

// maxLabel is the length in bytes from which on a label is no name of a class.
const maxLabel = 256

// label reads the label of a classification row as a string.
func (p *parser) label(r *reading) string {
	column := r.plan.columns["label"]
	v, ok := r.rec.fields.get(column)
	var s string
	switch v := v.(type) {
	case string:
		s = strings.TrimSpace(v)
		p.checks.types |= typeText
	case cell:
		s = p.whole(strings.TrimSpace(string(v)))
		if missing(s) {
			r.fault(column, "the label is missing (%q)", s)
			return ""
		}
	case bool:
		s = strconv.FormatBool(v)
		p.checks.types |= typeBool
	case json.Number:
		s = p.whole(v.String())
		p.checks.types |= typeNumber
	case nil:
		if ok {
			r.fault(column, "the label is null")
		} else {
			r.fault(column, "missing")
		}
		return ""
	case []any:
		r.fault(column, "a list of labels: rows with several labels are not supported")
		return ""
	default:
		r.fault(column, "want a label, got %s", typeName(v))
		return ""
	}
	switch {
	case s == "":
		r.fault(column, "the label is empty")
	case len(s) > maxLabel:
		r.fault(column, "the label is %d bytes long: is this the right column?", len(s))
	case strings.IndexByte(s, 0) >= 0:
		r.fault(column, "the label holds a NUL character")
	}
	if p.wholeLabels && len(r.faults) == 0 {
		if x, ok := decimal(s); !ok {
			p.wholeLabels = false
		} else if x != math.Trunc(x) {
			r.fault(column, "%s is not a whole number, unlike the labels before it; if these are scores, set `kind` to regression", s)
		}
	}
	return s
}

// missing reports how spreadsheets and pandas write that there is no value. "None",
// "NA" and "N/A" are not among them: they name classes too often.
func missing(s string) bool {
	switch strings.ToLower(s) {
	case "", "null", "nan", "<na>", "#n/a":
		return true
	}
	return false
}

// whole writes a whole number without ".0": pandas turns labels into 0.0 and 1.0 as
// soon as one is missing.
func (p *parser) whole(s string) string {
	head, zeros, ok := strings.Cut(s, ".")
	if ok && zeros != "" && strings.Trim(zeros, "0") == "" {
		if _, err := strconv.ParseInt(head, 10, 64); err == nil {
			p.checks.shortened++
			return head
		}
	}
	return s
}

// decimal reads a finite number; a comma may stand for the point.
func decimal(s string) (float64, bool) {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil && strings.Count(s, ",") == 1 && !strings.Contains(s, ".") {
		x, err = strconv.ParseFloat(strings.Replace(s, ",", ".", 1), 64)
	}
	return x, err == nil && !math.IsNaN(x) && !math.IsInf(x, 0)
}

// target reads the number of a regression row.
func (r *reading) target() *float64 {
	column := r.plan.columns["target"]
	v, ok := r.rec.fields.get(column)
	var s string
	switch v := v.(type) {
	case json.Number:
		s = v.String()
	case string:
		s = strings.TrimSpace(v)
	case cell:
		s = strings.TrimSpace(string(v))
	case nil:
		if ok {
			r.fault(column, "the target is null")
		} else {
			r.fault(column, "missing")
		}
		return nil
	default:
		r.fault(column, "want a number, got %s", typeName(v))
		return nil
	}
	x, ok := decimal(s)
	switch {
	case missing(s):
		r.fault(column, "the target is missing (%q)", s)
	case !ok:
		r.fault(column, "want a finite number, got %q", clip(s, 40))
	default:
		return &x
	}
	return nil
}

// translation reads {"translation": {"en": …, "fr": …}}.
func (r *reading) translation() (source, target string) {
	column := r.plan.columns["translation"]
	v, ok := r.rec.fields.get(column)
	o, isObject := v.(object)
	if !isObject {
		if !ok {
			r.fault(column, "missing")
		} else {
			r.fault(column, "want an object of two languages, got %s", typeName(v))
		}
		return "", ""
	}
	var texts [2]string
	for i, language := range r.plan.languages {
		v, ok := o.get(language)
		texts[i] = r.textValue(column+"."+language, v, ok, false)
	}
	return texts[0], texts[1]
}
