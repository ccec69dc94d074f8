package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"lorikeet/adapters/invalid"
)

// parquet reads a Parquet file. Its index is at the end, so a stream is kept in a
// file first, which remove removes; it has to be called.
func (p *parser) parquet(r io.Reader) (src *parquetFile, remove func() error, err error) {
	p.report.Format = "parquet"
	file, err := os.CreateTemp(p.opt.TempDir, "dataset-*.parquet")
	if err != nil {
		return nil, func() error { return nil }, fmt.Errorf("keep a Parquet file: %w", err)
	}
	remove = func() error { return errors.Join(file.Close(), os.Remove(file.Name())) }
	size, err := io.Copy(file, r)
	if err != nil {
		return nil, remove, readError(err)
	}
	if src, err = openParquet(file, size); err != nil {
		return nil, remove, err
	}
	if len(src.columns) > p.limits.Columns {
		return nil, remove, invalid.Line(1, "", "%d columns, %d are allowed", len(src.columns), p.limits.Columns)
	}
	return src, remove, nil
}

// parquetFile yields the rows of a Parquet file; lines are row numbers.
type parquetFile struct {
	rows    *parquet.GenericReader[any]
	columns []string
	order   map[string][]string // of the members of a column that is a group
	names   map[string][]string // of the classes of a column, where the file has them
	n       int
}

// recovered turns a panic of the Parquet library, which trusts a file's offsets and
// lengths more than it may, into a Fault.
func recovered(line int, err *error) {
	if r := recover(); r != nil {
		*err = invalid.Line(line, "", "the Parquet file is damaged: %v", r)
	}
}

func openParquet(r io.ReaderAt, size int64) (p *parquetFile, err error) {
	defer recovered(1, &err)
	if err := checkParquet(r, size); err != nil {
		return nil, invalid.Line(1, "", "the Parquet file is damaged: %v", err)
	}
	file, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, invalid.Line(1, "", "the Parquet file is damaged: %v", err)
	}
	p = &parquetFile{rows: parquet.NewGenericReader[any](file), order: map[string][]string{}, names: map[string][]string{}}
	for _, c := range file.Root().Columns() {
		p.columns = append(p.columns, c.Name())
		for _, m := range c.Columns() {
			p.order[c.Name()] = append(p.order[c.Name()], m.Name())
		}
	}
	if text, ok := file.Lookup("huggingface"); ok {
		p.classNames(text)
	}
	return p, nil
}

// classNames reads the schema that the datasets library leaves in its files: there
// a label is an index, and its name stands beside the data.
func (p *parquetFile) classNames(text string) {
	var meta struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	if json.Unmarshal([]byte(text), &meta) != nil {
		return
	}
	for column, raw := range meta.Info.Features {
		var feature struct {
			Names []string `json:"names"`
			Type  string   `json:"_type"`
		}
		if json.Unmarshal(raw, &feature) == nil && feature.Type == "ClassLabel" {
			p.names[column] = feature.Names
		}
	}
}

func (p *parquetFile) next() (rec record, err error) {
	defer recovered(p.n+1, &err)
	var rows [1]any
	switch n, err := p.rows.Read(rows[:]); {
	case n == 1:
	case err == nil || errors.Is(err, io.EOF):
		return record{}, io.EOF
	default:
		return record{}, invalid.Line(p.n+1, "", "the Parquet file is damaged: %v", err)
	}
	row, ok := rows[0].(map[string]any)
	if !ok {
		return record{}, invalid.Line(p.n+1, "", "the Parquet file holds no table")
	}
	p.n++
	rec = record{line: p.n, fields: object{names: p.columns}}
	for _, c := range p.columns {
		v, bad := plain(row[c], p.order[c])
		if bad {
			rec.faults = append(rec.faults, invalid.Fault{Line: p.n, Field: c, Reason: "not valid UTF-8"})
		}
		if names := p.names[c]; names != nil {
			v = className(v, names)
		}
		rec.fields.values = append(rec.fields.values, v)
	}
	return rec, nil
}

// plain turns a value of the Parquet library into one of JSON. bad means that it
// holds a text that is not UTF-8. order names the members of a group in the order of
// the file, which a Go map has lost.
func plain(v any, order []string) (_ any, bad bool) {
	switch v := v.(type) {
	case nil, bool:
		return v, false
	case string:
		return v, !utf8.ValidString(v)
	case []byte:
		return string(v), !utf8.Valid(v)
	case float32:
		return json.Number(strconv.FormatFloat(float64(v), 'g', -1, 32)), false
	case float64:
		return json.Number(strconv.FormatFloat(v, 'g', -1, 64)), false
	case int32, int64, uint32, uint64, int, int8, int16, uint8, uint16:
		return json.Number(fmt.Sprint(v)), false
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			var b bool
			list[i], b = plain(e, nil)
			bad = bad || b
		}
		return list, bad
	case map[string]any:
		var o object
		names := slices.Sorted(maps.Keys(v))
		if slices.Equal(slices.Sorted(slices.Values(order)), names) {
			names = order
		}
		for _, n := range names {
			e, b := plain(v[n], nil)
			bad = bad || b
			o.names, o.values = append(o.names, n), append(o.values, e)
		}
		return o, bad
	}
	return fmt.Sprint(v), false
}
