package data

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// What a Parquet file may claim of itself. Writers make pages of about 1 MB.
const (
	maxFooter     = 64 << 20
	maxPage       = 256 << 20
	maxPageValues = 20_000_000
	maxSchema     = 10_000 // columns and groups, which may be nested that deep
)

// checkParquet compares what a Parquet file says of itself with its size, from the
// footer down to the head of each page. Fields are numbered as in
// github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
func checkParquet(r io.ReaderAt, size int64) error {
	tail := make([]byte, 8)
	if size < 12 {
		return errors.New("it is cut off")
	}
	if _, err := r.ReadAt(tail, size-8); err != nil {
		return err
	}
	if string(tail[4:]) != "PAR1" {
		return errors.New("it does not end with PAR1: it is cut off")
	}
	length := int64(binary.LittleEndian.Uint32(tail))
	if length > size-12 || length > maxFooter {
		return errors.New("its index is longer than the file, or than 64 MiB")
	}
	footer := make([]byte, length)
	if _, err := r.ReadAt(footer, size-8-length); err != nil {
		return err
	}
	t := thrift{b: footer}
	file, err := t.structure(0)
	if err != nil {
		return err
	}
	if len(file.list(2)) > maxSchema {
		return fmt.Errorf("its schema has more than %d elements", maxSchema)
	}
	for _, g := range file.list(4) {
		group, _ := g.(structure)
		for _, c := range group.list(1) {
			column, _ := c.(structure)
			if err := checkColumn(r, size-8-length, column.inner(3), group.number(3)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkColumn goes through the pages of one column in one row group. end is where
// the data of the file ends.
func checkColumn(r io.ReaderAt, end int64, column structure, rows int64) error {
	if column == nil {
		return errors.New("a column has no description")
	}
	at := column.number(9) // data_page_offset
	if dictionary := column.number(11); dictionary > 0 && dictionary < at {
		at = dictionary
	}
	values, length := column.number(5), column.number(7)
	if at < 4 || length < 0 || length > end-at || values < 0 || rows < 0 {
		return errors.New("a column lies outside of the file")
	}
	buf := make([]byte, 4<<10)
	for stop := at + length; at < stop; {
		head := buf[:min(int64(len(buf)), stop-at)]
		if _, err := r.ReadAt(head, at); err != nil {
			return err
		}
		t := thrift{b: head}
		page, err := t.structure(0)
		if errors.Is(err, errThrift) && len(buf) < 1<<20 && int64(len(buf)) < stop-at {
			buf = make([]byte, 2*len(buf)) // minima and maxima of long texts
			continue
		}
		if err != nil {
			return fmt.Errorf("the head of a page: %w", err)
		}
		raw, stored := page.number(2), page.number(3)
		if at += int64(t.at); raw < 0 || raw > maxPage || stored < 0 || stored > stop-at {
			return errors.New("a page is longer than its column, or than 256 MiB")
		}
		for _, kind := range []int{5, 7, 8} { // data page, dictionary page, data page of version 2
			head := page.inner(kind)
			if n := head.number(1); n < 0 || n > maxPageValues || kind != 7 && n > values {
				return errors.New("a page claims more values than its column has")
			}
			// In version 2: nulls, rows, and the bytes of two lists of levels.
			for field := 2; kind == 8 && field <= 6; field++ {
				if n := head.number(field); n < 0 || field >= 5 && n > stored || field <= 3 && n > values {
					return errors.New("a page claims more values than its column has")
				}
			}
		}
		at += stored
	}
	return nil
}
