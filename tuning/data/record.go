package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
)

// record is one row as the file has it, before anybody asked what it means.
type record struct {
	file   string // of several; empty where there is one
	line   int
	fields object
	faults []invalid.Fault // why it could not be read; the fields are then empty
}

func badRecord(line int, field, format string, args ...any) record {
	return record{line: line, faults: []invalid.Fault{{Line: line, Field: field, Reason: fmt.Sprintf(format, args...)}}}
}

// located puts the name of the file before the fields of faults.
func (r record) located(faults []invalid.Fault) []invalid.Fault {
	if r.file == "" {
		return faults
	}
	all := slices.Clone(faults)
	for i := range all {
		all[i].Field = strings.TrimSuffix(r.file+": "+all[i].Field, ": ")
	}
	return all
}

// object holds named values in the order of the file. A value is nil, a string, a
// bool, a json.Number, a []any, or an object.
type object struct {
	names  []string
	values []any
}

func (o object) get(name string) (any, bool) {
	for i, n := range o.names {
		if n == name {
			return o.values[i], true
		}
	}
	return nil, false
}

// source yields records. After io.EOF, or any other error, it is done; an error
// that holds a Fault says that the file cannot be read further.
type source interface {
	next() (record, error)
}

// lines yields the lines of a text without their ends, "\n" or "\r\n". U+0085 and
// U+2028 end no line: they stand inside of texts.
type lines struct {
	r   *bufio.Reader
	max int
	n   int // of the line read last, from 1
	buf []byte
}

var errLong = errors.New("the line is too long")

// next returns a line that is valid until the following call, errLong when it was
// longer than max and has been skipped, or io.EOF.
func (l *lines) next() ([]byte, error) {
	l.buf = l.buf[:0]
	long := false
	for {
		part, err := l.r.ReadSlice('\n')
		if len(l.buf)+len(part) > l.max+2 {
			long = true
			l.buf = l.buf[:0]
		}
		if !long {
			l.buf = append(l.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		case err != nil && len(l.buf) == 0 && !long:
			return nil, io.EOF
		}
		l.n++
		if long {
			return nil, errLong
		}
		text := bytes.TrimSuffix(l.buf, []byte("\n"))
		return bytes.TrimSuffix(text, []byte("\r")), nil
	}
}

// carriageReturns replaces the line ends of old Macs and of some spreadsheets.
type carriageReturns struct{ r io.Reader }

func (c carriageReturns) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for i, b := range p[:n] {
		if b == '\r' {
			p[i] = '\n'
		}
	}
	return n, err
}

// capped refuses a file longer than its limit.
type capped struct {
	r         io.Reader
	left, max int64
}

func (c *capped) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, invalid.Field("", "the file is larger than %d bytes", c.max)
	}
	return n, err
}

// textLines is a plain text: each line that is not blank is a row.
type textLines struct{ lines }

func (t *textLines) next() (record, error) {
	for {
		line, err := t.lines.next()
		switch {
		case errors.Is(err, errLong):
			return badRecord(t.n, "text", "the line is longer than %d bytes", t.max), nil
		case err != nil:
			return record{}, err
		case len(bytes.TrimSpace(line)) > 0:
			return record{line: t.n, fields: object{[]string{"text"}, []any{string(line)}}}, nil
		}
	}
}
