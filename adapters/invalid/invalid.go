// Package invalid says what is wrong with something a caller sent: one Fault
// per mistake, all of them at once. Every parser and validator of outside data
// returns these, joined with errors.Join; routes turns them into the `errors`
// member of a 4xx body.
package invalid

import (
	"errors"
	"fmt"
	"strings"
)

// Fault is one mistake: where it is and what is wrong with it. Line counts from 1
// in a file; 0 means the fault is not in a file. Field is a JSON path such as
// "lora.r", or a column name.
type Fault struct {
	Field  string `json:"field,omitempty"`
	Line   int    `json:"line,omitempty"`
	Reason string `json:"reason"`
}

func (f *Fault) Error() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", f.Line)
	}
	if f.Field != "" {
		fmt.Fprintf(&b, "%s: ", f.Field)
	}
	b.WriteString(f.Reason)
	return b.String()
}

// Field reports a mistake in a named field.
func Field(field, format string, args ...any) error {
	return &Fault{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// Line reports a mistake on a line of a file; field may be empty.
func Line(line int, field, format string, args ...any) error {
	return &Fault{Line: line, Field: field, Reason: fmt.Sprintf(format, args...)}
}

// Faults lists every Fault inside err, in order, through joined and wrapped errors.
func Faults(err error) []Fault {
	if err == nil {
		return nil
	}
	if f, ok := err.(*Fault); ok {
		return []Fault{*f}
	}
	switch u := err.(type) {
	case interface{ Unwrap() []error }:
		var all []Fault
		for _, e := range u.Unwrap() {
			all = append(all, Faults(e)...)
		}
		return all
	case interface{ Unwrap() error }:
		return Faults(u.Unwrap())
	}
	return nil
}

// Is reports whether err holds at least one Fault.
func Is(err error) bool {
	var f *Fault
	return errors.As(err, &f)
}
