package data

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"

	"lorikeet/adapters/invalid"
)

// jsonLines is one JSON object a line.
type jsonLines struct{ lines }

func (j *jsonLines) next() (record, error) {
	for {
		text, err := j.lines.next()
		switch {
		case errors.Is(err, errLong):
			return badRecord(j.n, "", "the line is longer than %d bytes", j.max), nil
		case err != nil:
			return record{}, err
		case len(bytes.TrimSpace(text)) > 0:
			return jsonRecord(text, j.n), nil
		}
	}
}

// jsonRecord reads one row.
func jsonRecord(text []byte, line int) record {
	v, fault := parseJSON(text)
	if fault != nil {
		fault.Line = line
		return record{line: line, faults: []invalid.Fault{*fault}}
	}
	o, ok := v.(object)
	if !ok {
		return badRecord(line, "", "a row is a JSON object, this is %s", typeName(v))
	}
	return record{line: line, fields: o}
}

// jsonDocument is everything else JSON can be: an array of rows, an object that
// holds such an array, or rows written over several lines. It streams: one row is
// in memory at a time. Unlike jsonLines it cannot go on after a syntax error.
type jsonDocument struct {
	dec     *json.Decoder
	in      *counted
	where   int    // outside, inArray or inObject
	wrapped bool   // the array is a member of an object
	row     object // members of a top-level object read so far
	rowLine int
	faults  []invalid.Fault // of these
	ended   bool            // after the array: nothing may follow
}

const (
	outside = iota
	inArray
	inObject
)

// wrappers are the names under which files keep their array of rows.
var wrappers = []string{"data", "rows", "examples", "train", "instances", "records", "items"}

func newJSONDocument(r io.Reader, max int) *jsonDocument {
	in := &counted{r: r, max: max, left: max, line: 1}
	return &jsonDocument{dec: json.NewDecoder(in), in: in}
}

func (j *jsonDocument) next() (record, error) {
	for {
		j.in.left = j.in.max
		j.in.lineAt(j.dec.InputOffset())
		switch j.where {
		case inArray:
			if j.dec.More() {
				return j.element()
			}
			if _, err := j.dec.Token(); err != nil {
				return record{}, j.fail(err)
			}
			j.where, j.ended = outside, true
			if j.wrapped {
				j.where = inObject
			}
		case inObject:
			rec, done, err := j.member()
			if done || err != nil {
				return rec, err
			}
		case outside:
			t, err := j.dec.Token()
			switch {
			case errors.Is(err, io.EOF):
				return record{}, io.EOF
			case err != nil:
				return record{}, j.fail(err)
			case j.ended:
				return record{}, invalid.Line(j.line(), "", "something follows the array of rows")
			case t == json.Delim('['):
				j.where = inArray
			case t == json.Delim('{'):
				j.where, j.row, j.rowLine = inObject, object{}, j.line()
			default:
				return badRecord(j.line(), "", "a row is a JSON object, this is %s", typeName(t)), nil
			}
		}
	}
}

// element reads the next row of an array.
func (j *jsonDocument) element() (record, error) {
	var raw json.RawMessage
	if err := j.dec.Decode(&raw); err != nil {
		return record{}, j.fail(err)
	}
	return jsonRecord(raw, j.in.lineAt(j.dec.InputOffset()-int64(len(raw)))), nil
}

// member reads one member of a top-level object. The object is a row, and done at
// its end, unless a member turns out to be the array of rows.
func (j *jsonDocument) member() (rec record, done bool, err error) {
	if !j.dec.More() {
		if _, err := j.dec.Token(); err != nil {
			return record{}, true, j.fail(err)
		}
		j.where = outside
		if j.wrapped {
			return record{}, false, nil
		}
		rec := record{line: j.rowLine, fields: j.row, faults: j.faults}
		j.faults = nil
		return rec, true, nil
	}
	t, err := j.dec.Token()
	if err != nil {
		return record{}, true, j.fail(err)
	}
	name := t.(string)
	if slices.Contains(wrappers, name) && !j.ended && j.opensRows() {
		if _, err := j.dec.Token(); err != nil {
			return record{}, true, j.fail(err)
		}
		j.where, j.wrapped = inArray, true
		return record{}, false, nil
	}
	var raw json.RawMessage
	if err := j.dec.Decode(&raw); err != nil {
		return record{}, true, j.fail(err)
	}
	v, fault := parseJSON(raw)
	if _, twice := j.row.get(name); twice && fault == nil {
		fault = &invalid.Fault{Field: name, Reason: "the name appears twice in one object"}
	}
	if fault != nil {
		fault.Line = j.in.lineAt(j.dec.InputOffset() - int64(len(raw)))
		fault.Field = cmp.Or(fault.Field, name)
		j.faults = append(j.faults, *fault)
	}
	if len(j.row.names) < maxMembers {
		j.row.names, j.row.values = append(j.row.names, name), append(j.row.values, v)
	}
	return record{}, false, nil
}

// maxMembers of a row that are kept; no dataset has as many columns.
const maxMembers = 10_000

// opensRows reports whether the value in front of the decoder starts an array of
// objects, as far as what is buffered tells. It reads on a little when it must.
func (j *jsonDocument) opensRows() bool {
	rest := make([]byte, 64)
	n, _ := io.ReadFull(j.dec.Buffered(), rest)
	if rest = rest[:n]; n < 64 {
		more := make([]byte, 64)
		n, _ := io.ReadFull(j.in.r, more)
		j.in.r = io.MultiReader(bytes.NewReader(more[:n]), j.in.r)
		rest = append(rest, more[:n]...)
	}
	return rowsFollow.Match(rest)
}

var rowsFollow = regexp.MustCompile(`^\s*:?\s*\[\s*[\{\]]`)

func (j *jsonDocument) line() int { return j.in.lineAt(j.dec.InputOffset() - 1) }

// fail makes a Fault of a syntax error.
func (j *jsonDocument) fail(err error) error {
	var syntax *json.SyntaxError
	switch {
	case j.in.err != nil:
		return j.in.err
	case errors.As(err, &syntax):
		line := j.in.lineAt(syntax.Offset - 1)
		if j.in.nul {
			return invalid.Line(line, "", "not JSON: %v; the file holds NUL bytes", syntax)
		}
		return invalid.Line(line, "", "not JSON: %v", syntax)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return invalid.Line(j.in.lineAt(j.in.read), "", "the file ends inside a JSON value: it is cut off")
	}
	return err
}

// counted knows on which line each byte stands that the decoder has yet to deal
// with, and refuses to read on when one row takes more than max bytes. The decoder
// reads ahead by at most as much again.
type counted struct {
	r         io.Reader
	max, left int
	read      int64   // bytes so far
	line      int     // of the byte at the front of breaks
	breaks    []int64 // where the line ends are that lineAt has not passed
	nul       bool
	err       error // other than the end
}

func (c *counted) Read(p []byte) (int, error) {
	if c.left <= 0 {
		c.err = invalid.Line(c.line, "", "a row that starts here or later is longer than %d bytes", c.max)
		return 0, c.err
	}
	n, err := c.r.Read(p[:min(len(p), c.left)])
	if err != nil && err != io.EOF {
		c.err = err
	}
	c.left -= n
	for i, b := range p[:n] {
		switch b {
		case '\n':
			c.breaks = append(c.breaks, c.read+int64(i))
		case 0:
			c.nul = true
		}
	}
	c.read += int64(n)
	return n, err
}

// lineAt is the line of the byte at offset. Offsets must not go back.
func (c *counted) lineAt(offset int64) int {
	i := 0
	for i < len(c.breaks) && c.breaks[i] < offset {
		i++
	}
	c.line += i
	c.breaks = slices.Delete(c.breaks, 0, i)
	return c.line
}

// jsonForm tells JSON lines from a document by the head of the file.
func jsonForm(head []byte, whole bool) (lines bool) {
	text := bytes.TrimLeft(head, " \t\r\n")
	if len(text) == 0 || text[0] == '[' && !arrayLines.Match(text) {
		return false
	}
	if wrapped.Match(text) {
		return false
	}
	first, rest, ended := bytes.Cut(text, []byte("\n"))
	switch {
	case !ended && !whole:
		return false // a line this long is more often a whole file than a row, and a document may be either
	case json.Valid(first) && len(bytes.TrimSpace(rest)) == 0 && whole:
		var members map[string]json.RawMessage
		_ = json.Unmarshal(first, &members) // a list, say: it has no members
		return !slices.ContainsFunc(wrappers, func(name string) bool { return rowsFollow.Match(members[name]) })
	case json.Valid(first), !ended:
		return true
	}
	// A first line that is cut off rather than wrong goes on in the next.
	_, err := tokens(json.NewDecoder(bytes.NewReader(first)), 0)
	return !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
}

var (
	// [..]\n[..]: rows that are arrays, which are refused line by line.
	arrayLines = regexp.MustCompile(`^\[\s*[^\s\[\]{}][^\[\]{}]*\][ \t\r]*\n`)
	wrapped    = regexp.MustCompile(`^\{\s*"(data|rows|examples|train|instances|records|items)"\s*:\s*\[\s*[\{\]]`)
)

// typeName says what a JSON value is, with its article.
func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "a text"
	case bool:
		return "true or false"
	case json.Number:
		return "a number (" + clip(v.String(), 40) + ")"
	case float64:
		return "a number"
	case []any:
		return "a list"
	}
	return "an object"
}

// clip shortens s for a message, to at most n bytes of whole characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
