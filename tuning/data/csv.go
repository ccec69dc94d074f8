package data

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
)

// dialect is how a delimited file is written.
type dialect struct {
	delim   byte // 0: each line is one field
	quoting quoting
}

type quoting int

const (
	doubled   quoting = iota // RFC 4180: "a ""quoted"" word"
	backslash                // "a \"quoted\" word", as MySQL exports
	literal                  // a quote is a character like others, as in the GLUE files
)

// scanner reads delimited records. It differs from encoding/csv in what it does
// about mistakes: a quote that is not closed spoils the line it stands on, and
// reading goes on with the next, so that one bad row hides no others.
type scanner struct {
	dialect
	lines
	queue []queued // lines read while a quote was open, and again if it never closes
	at    int      // of queue, the line to read next
	again int      // bytes read again so far

	// The record so far.
	fields []string
	field  []byte // what an open quote has collected
	size   int    // bytes of it all
}

type queued struct {
	text []byte
	long bool
}

// maxAgain bounds the work that broken quotes cause.
const maxAgain = 64 << 20

var errQuotes = errors.New("too many broken quotes")

// quoteError says what is wrong with a quoted field.
type quoteError string

func (e quoteError) Error() string { return string(e) }

// line returns the next line; keep makes it one that can be read again.
func (s *scanner) line(keep bool) ([]byte, error) {
	if s.at < len(s.queue) {
		q := s.queue[s.at]
		s.at++
		s.n++
		if q.long {
			return nil, errLong
		}
		return q.text, nil
	}
	text, err := s.lines.next()
	if keep && (err == nil || errors.Is(err, errLong)) {
		s.queue = append(s.queue, queued{bytes.Clone(text), err != nil})
		s.at = len(s.queue)
	}
	return text, err
}

// record returns the fields of the next record that is not blank, and the line it
// starts on. A quoteError or errLong concerns this record alone.
func (s *scanner) record() (fields []string, line int, err error) {
	s.queue, s.at = s.queue[s.at:], 0
	var text []byte
	for len(text) == 0 {
		if text, err = s.line(false); err != nil {
			return nil, s.n, err
		}
	}
	line, first := s.n, s.at
	s.fields, s.size = make([]string, 0, max(2, cap(s.fields))), 0
	open, err := s.split(text, false)
	for open && err == nil {
		text, err = s.line(true)
		switch {
		case err == nil && s.size+len(text) > s.max, errors.Is(err, io.EOF), errors.Is(err, errLong):
			err = quoteError("the quote that opens here is never closed")
		case err == nil:
			open, err = s.split(text, true)
		}
	}
	var quote quoteError
	if !errors.As(err, &quote) {
		return s.fields, line, err
	}
	for _, q := range s.queue[first:s.at] {
		s.again += len(q.text) + 1
	}
	if s.again > maxAgain {
		return nil, line, errQuotes
	}
	s.at, s.n = first, line
	return nil, line, err
}

// split appends the fields of text to the record; open means that it ends inside of
// quotes, and inside that it starts there.
func (s *scanner) split(text []byte, inside bool) (open bool, err error) {
	s.size += len(text) + 1
	if s.delim == 0 {
		s.fields = append(s.fields, string(text))
		return false, nil
	}
	i := 0
	for {
		start := i
		if !inside {
			for i < len(text) && text[i] == ' ' {
				i++
			}
			if s.quoting == literal || i == len(text) || text[i] != '"' {
				if i = start + bytes.IndexByte(text[start:], s.delim); i < start {
					i = len(text)
				}
				s.fields = append(s.fields, string(text[start:i]))
				if i == len(text) {
					return false, nil
				}
				i++
				continue
			}
			i++
			s.field = s.field[:0]
		} else {
			s.field = append(s.field, '\n')
		}
		inside = false
		end := s.quoted(text, i)
		if end < 0 {
			return true, nil
		}
		s.fields = append(s.fields, string(s.field))
		for i = end; i < len(text) && text[i] == ' '; i++ {
		}
		if i == len(text) {
			return false, nil
		}
		if text[i] != s.delim {
			return false, quoteError(fmt.Sprintf("%q follows a closing quote on line %d: the quote that opens here is not closed, or one inside the field is not doubled",
				clip(string(text[i:]), 20), s.n))
		}
		i++
	}
}

// quoted appends to s.field the rest of a quoted field, from i, and returns the
// index after its closing quote, or -1 when it goes on in the next line.
func (s *scanner) quoted(text []byte, i int) int {
	for ; i < len(text); i++ {
		next := i+1 < len(text)
		switch {
		case s.quoting == backslash && text[i] == '\\' && next && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
		case text[i] == '"' && next && text[i+1] == '"':
			i++
		case text[i] == '"':
			return i + 1
		}
		s.field = append(s.field, text[i])
	}
	return -1
}

// csvFile gives the records of a scanner names.
type csvFile struct {
	scanner
	names   []string
	header  bool     // the names stand in the file
	extra   int      // records with empty fields beyond the last column
	blank   int      // records with nothing in any field
	pending *csvLine // the first record of a file without a header
}

type csvLine struct {
	fields []string
	line   int
}

func (c *csvFile) next() (record, error) {
	for {
		var fields []string
		var line int
		var err error
		if c.pending != nil {
			fields, line, c.pending = c.pending.fields, c.pending.line, nil
		} else {
			fields, line, err = c.record()
		}
		var quote quoteError
		switch {
		case errors.As(err, &quote):
			return badRecord(line, "", "%s", string(quote)), nil
		case errors.Is(err, errLong):
			return badRecord(line, "", "the line is longer than %d bytes", c.max), nil
		case errors.Is(err, errQuotes):
			return record{}, invalid.Line(line, "", "too many quotes are not closed; nothing after this line was read")
		case err != nil:
			return record{}, err
		case blank(fields):
			c.blank++
			continue
		}
		if c.header && slices.Equal(fields, c.names) {
			return badRecord(line, "", "the names of the columns again: two files in one?"), nil
		}
		if len(fields) > len(c.names) && blank(fields[len(c.names):]) {
			fields = fields[:len(c.names)]
			c.extra++
		}
		if len(fields) != len(c.names) {
			return badRecord(line, "", "%s, not %d as the first line", count(len(fields), "field"), len(c.names)), nil
		}
		rec := record{line: line, fields: object{names: c.names, values: make([]any, len(fields))}}
		for i, f := range fields {
			if !utf8.ValidString(f) {
				rec.faults = append(rec.faults, invalid.Fault{Line: line, Field: c.names[i],
					Reason: fmt.Sprintf("byte %d of the field is not valid UTF-8", invalidAt([]byte(f))+1)})
			}
			rec.fields.values[i] = cell(f)
		}
		return rec, nil
	}
}

// cell is a field of a delimited file. It has no type of its own: what it means
// depends on the column, unlike a JSON string.
type cell string

func blank(fields []string) bool {
	for _, f := range fields {
		for i := range len(f) {
			if f[i] != ' ' && f[i] != '\t' {
				return false
			}
		}
	}
	return true
}

// count is "1 field", "2 fields".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
