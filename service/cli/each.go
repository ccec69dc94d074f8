package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// each does something to what the arguments name, one after the other, and tells of all
// that could not be done. do gives a line for people, already cleaned, and what the API
// answered; either may be empty.
func (a *app) each(out io.Writer, names []string, do func(name string) (line string, text json.RawMessage, err error)) error {
	var errs []error
	for _, name := range names {
		line, text, err := do(name)
		switch {
		case err != nil:
			err = fmt.Errorf("%s: %w", clean(name), err)
		case a.json:
			err = answer(out, text)
		case line != "":
			_, err = fmt.Fprintln(out, line)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
