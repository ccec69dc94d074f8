package safetensors

import (
	"errors"
	"fmt"
	"strings"

	"lorikeet/adapters/invalid"
)

// shown is how many faults of a file are told; a hostile header can hold
// hundreds of thousands.
const shown = 20

// hopeless is how many more faults end the reading of a header.
const hopeless = 10_000

// faults collects what is wrong with a file.
type faults struct {
	list []error
	more int
}

func (f *faults) add(field, format string, args ...any) {
	if len(f.list) == shown {
		f.more++
		return
	}
	f.list = append(f.list, invalid.Field(clip(field), format, args...))
}

// err is nil where nothing was added.
func (f *faults) err() error {
	if f.more > 0 {
		return errors.Join(errors.Join(f.list...), invalid.Field("", "and %d more faults", f.more))
	}
	return errors.Join(f.list...)
}

// clip keeps a text from the file short enough to be read in a message, and on one line.
func clip(s string) string {
	const most = 120
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '�'
		}
		return r
	}, s)
}

// malformed marks faults as being about the file's content; nil stays nil.
func malformed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}
