package data

import (
	"encoding/json"
	"errors"

	"lorikeet/adapters/invalid"
)

// ParseRow reads one row that came by itself. kind, when set, is what it must be. Faults
// name its fields. What takes several rows to see is left to a Parse of them together: that
// all have the same label, or that whole numbers are values, unless they are called target.
func ParseRow(raw json.RawMessage, kind Kind) (Row, error) {
	var named struct {
		Text          *string
		Label, Target any
	}
	if kind == "" && json.Unmarshal(raw, &named) == nil && named.Text != nil && named.Label == nil {
		if _, ok := named.Target.(float64); ok {
			kind = Regression
		}
	}
	var row Row
	p := newParser(Options{Kind: kind}, func(r Row) error {
		row = r
		return nil
	})
	err := p.rows(&rawRows{rows: []json.RawMessage{raw}})
	if err != nil && !invalid.Is(err) {
		return Row{}, err
	}
	p.fault(invalid.Faults(err)...)
	var faults []error
	for i := range p.report.Errors {
		p.report.Errors[i].Line = 0
		faults = append(faults, &p.report.Errors[i])
	}
	return row, errors.Join(faults...)
}
