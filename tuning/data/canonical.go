package data

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
)

// Writer writes canonical rows, one JSON object a line. Its Write fits Parse.
type Writer struct{ w *bufio.Writer }

// NewWriter returns a Writer on w. Flush it at the end.
func NewWriter(w io.Writer) *Writer { return &Writer{bufio.NewWriterSize(w, 1<<16)} }

// Write appends r.
func (w *Writer) Write(r Row) error {
	line, err := r.MarshalJSON()
	if err != nil {
		return err
	}
	if _, err := w.w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write a dataset row: %w", err)
	}
	return nil
}

// Flush writes what is buffered.
func (w *Writer) Flush() error { return w.w.Flush() }

// All yields the rows of a canonical file in order, and ends with the first error.
func All(r io.Reader) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		in := bufio.NewReaderSize(r, 1<<16)
		for line := 1; ; line++ {
			text, err := in.ReadBytes('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				yield(Row{}, fmt.Errorf("line %d: %w", line, err))
				return
			}
			if len(text) > 0 {
				row := Row{Line: line}
				if err := json.Unmarshal(text, &row); err != nil {
					yield(Row{}, fmt.Errorf("line %d: %w", line, err))
					return
				}
				if !yield(row, nil) {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
}

// Read reads a whole canonical file.
func Read(path string) ([]Row, error) {
	f, err := os.Open(path) // #nosec G304 -- the attempt's own folder
	if err != nil {
		return nil, fmt.Errorf("read dataset: %w", err)
	}
	defer f.Close()
	var rows []Row
	for row, err := range All(f) {
		if err != nil {
			return nil, fmt.Errorf("read dataset %s: %w", path, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}
