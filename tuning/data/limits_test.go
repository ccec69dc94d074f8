package data_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning/data"
)

func TestLimits(t *testing.T) {
	rows := "text,label\n" + numbered("t%d,x\n", 50) + "u,y\n"
	for name, tc := range map[string]struct {
		text   string
		limits data.Limits
		faults []string
	}{
		"bytes":             {rows, data.Limits{Bytes: 100}, []string{"the file is larger than 100 bytes"}},
		"rows":              {rows, data.Limits{Rows: 10}, []string{"line 12: more than 10 rows"}},
		"columns":           {"text,label,c\na,x,1\n", data.Limits{Columns: 2}, []string{"line 1: 3 columns, 2 are allowed"}},
		"columns of JSON":   {`{"text":"a","label":"x","c":1}`, data.Limits{Columns: 2}, []string{"line 1: 3 columns, 2 are allowed"}},
		"classes":           {"text,label\n" + numbered("t,x%d\n", 50), data.Limits{Classes: 10}, []string{"line 12: label: more than 10 different labels: is this the column with the labels?"}},
		"a line of CSV":     {"text,label\na,x\n" + strings.Repeat("b", 200) + ",x\nc,y\n", data.Limits{Line: 100}, []string{"line 3: the line is longer than 100 bytes"}},
		"a quoted field":    {"text,label\na,x\n\"" + strings.Repeat("b\n", 200) + "\",x\nc,y\n", data.Limits{Line: 100}, nil},
		"a JSON line":       {"{\"text\":\"a\",\"label\":0}\n{\"text\":\"" + strings.Repeat("b", 200) + "\",\"label\":0}\n", data.Limits{Line: 100}, []string{"line 2: the line is longer than 100 bytes"}},
		"a row of an array": {"[{\"text\":\"a\",\"label\":0},\n{\"text\":\"" + strings.Repeat("b", 200_000) + "\",\"label\":0}]", data.Limits{Line: 1000}, []string{"line 1: a row that starts here or later is longer than 1000 bytes"}},
		"faults, the rest are counted": {"text,label\n" + numbered("t%d,x,y\n", 5) + numbered("t%d,x\n", 50), data.Limits{Errors: 3}, []string{
			"line 2: 3 fields, not 2 as the first line", "line 3: 3 fields, not 2 as the first line", "line 4: 3 fields, not 2 as the first line", "and 2 more"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, report, faults := read(t, tc.text, data.Options{Limits: tc.limits})
			if tc.faults == nil {
				if len(faults) == 0 {
					t.Error("accepted")
				}
				return
			}
			if got, want := strings.Join(faults, "\n"), strings.Join(tc.faults, "\n"); got != want {
				t.Errorf("faults\n%s\nwant\n%s", got, want)
			}
			if len(report.Errors) != len(faults) {
				t.Errorf("%d errors in the report, %d faults", len(report.Errors), len(faults))
			}
		})
	}
}

func TestErrorsThatAreNoFaults(t *testing.T) {
	broken := errors.New("the disk is full")
	_, err := data.Parse(strings.NewReader("text,label\na,x\nb,y\n"), data.Options{}, func(data.Row) error { return broken })
	if !errors.Is(err, broken) || invalid.Is(err) {
		t.Errorf("the callback's error became %v", err)
	}
	parquet, err := os.ReadFile("testdata/chat.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"text,label\na,x\nb,y\n", "{\"text\":\"a\",\"label\":0}\n{\"text\":\"b\",\"label\":1}\n", "[{\"text\":\"a\",\"label\":0},", "{\"data\":[{\"text\":\"a\"},", "PAR1", "", string(parquet)} {
		// The name that a connection which breaks goes by is also that of a JSON value cut off.
		_, err := data.Parse(io.MultiReader(strings.NewReader(text), iotest.ErrReader(io.ErrUnexpectedEOF)), data.Options{}, func(data.Row) error { return nil })
		if !errors.Is(err, io.ErrUnexpectedEOF) || invalid.Is(err) {
			t.Errorf("%q: a connection that broke became %v", text, err)
		}
		_, err = data.Parse(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)), data.Options{}, func(data.Row) error { return nil })
		if !errors.Is(err, broken) || invalid.Is(err) {
			t.Errorf("%q: the reader's error became %v", text, err)
		}
	}
}

func TestTheSameFromASlowReader(t *testing.T) {
	text := "text,label\n" + numbered("\"caf\xc3\xa9 %d\nof two lines\",x\nb,y\n", 300)
	var slow []string
	_, err := data.Parse(iotest.OneByteReader(strings.NewReader(text)), data.Options{}, func(r data.Row) error {
		slow = append(slow, canonical(t, r))
		return nil
	})
	fast, _, _ := read(t, text, data.Options{})
	if err != nil || strings.Join(slow, "\n") != strings.Join(fast, "\n") || len(fast) != 600 {
		t.Errorf("%d rows, %d from a slow reader, %v", len(fast), len(slow), err)
	}
}

// stream is a file that is never in memory.
type stream struct {
	head, tail string
	row        func(int) string
	rows, next int
	buf        string
}

func (s *stream) Read(p []byte) (int, error) {
	for s.buf == "" {
		switch {
		case s.next == 0:
			s.buf = s.head
		case s.next <= s.rows:
			s.buf = s.row(s.next)
		case s.next == s.rows+1:
			s.buf = s.tail
		default:
			return 0, io.EOF
		}
		s.next++
	}
	n := copy(p, s.buf)
	s.buf = s.buf[n:]
	return n, nil
}

// A file of any size takes the memory of the rows that its columns are judged by.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: reads 3 files of 60 MB")
	}
	text := strings.Repeat("some words that make a long line of text. ", 25)
	const rows = 60_000
	for name, s := range map[string]*stream{
		"a.csv":   {head: "text,label\n", row: func(i int) string { return fmt.Sprintf("\"%d, %s\",%d\n", i, text, i%2) }},
		"a.jsonl": {row: func(i int) string { return fmt.Sprintf("{\"text\":\"%d %s\",\"label\":%d}\n", i, text, i%2) }},
		"a.json": {head: `{"data":[{"text":"a","label":0}`, tail: "]}",
			row: func(i int) string { return fmt.Sprintf(",\n{\"text\":\"%d %s\",\"label\":%d}", i, text, i%2) }},
	} {
		t.Run(name, func(t *testing.T) {
			s.rows = rows
			var m runtime.MemStats
			var peak uint64
			n := 0
			_, err := data.Parse(s, data.Options{Name: name}, func(data.Row) error {
				if n++; n%10_000 == 0 {
					runtime.ReadMemStats(&m)
					peak = max(peak, m.HeapInuse)
				}
				return nil
			})
			if err != nil || n < rows {
				t.Errorf("%d rows, %v", n, err)
			}
			if peak > 48<<20 {
				t.Errorf("%d MiB of heap", peak>>20)
			}
		})
	}
}
