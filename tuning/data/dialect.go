package data

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
)

// guess is a dialect and how well it fits the head of a file.
type guess struct {
	dialect
	records [][]string // that could be read
	width   int        // fields most records have
	share   float64    // of the records that have so many
	named   int        // fields of the first record that look like names of columns
}

// sampleRecords is how many records a dialect is judged by.
const sampleRecords = 200

// tryDialect reads the head of a file in one dialect.
func tryDialect(head []byte, d dialect, max int) guess {
	s := scanner{dialect: d, lines: lines{r: bufio.NewReader(bytes.NewReader(head)), max: max}}
	g := guess{dialect: d}
	widths := map[int]int{}
	total := 0
	for total < sampleRecords {
		fields, _, err := s.record()
		var quote quoteError
		if err != nil && !errors.As(err, &quote) && !errors.Is(err, errLong) {
			break
		}
		total++
		if err == nil && !blank(fields) {
			g.records = append(g.records, fields)
			widths[len(fields)]++
		}
	}
	for w, n := range widths {
		if share := float64(n) / float64(total); share > g.share || share == g.share && w > g.width {
			g.width, g.share = w, share
		}
	}
	if len(g.records) > 0 {
		languages := 0
		for _, f := range g.records[0] {
			switch {
			case columnNames[normal(f)]:
				g.named++
			case isLanguage(f):
				languages++
			}
		}
		if languages > 1 { // one alone may be a word, such as "no"
			g.named += languages
		}
	}
	return g
}

// better orders guesses. Names of columns in the first line say most, then how even
// the lines are, then the more usual quoting, then more columns.
func (g guess) better(h guess) bool {
	a, b := min(g.named, 2), min(h.named, 2)
	switch {
	case a != b && (a == 2 || b == 2):
		return a > b
	case g.share != h.share:
		return g.share > h.share
	case g.quoting != h.quoting:
		return g.quoting < h.quoting
	}
	return g.width > h.width
}

// evenEnough is the share of lines with equally many fields from which on a
// delimiter is believed without any other sign.
const evenEnough = 0.8

// detectDialect looks for the delimiter and the quoting that cut the head into the
// same number of columns on every line. ok is false when none does.
func detectDialect(head []byte, whole bool, max int) (best guess, ok bool) {
	if end := bytes.LastIndexByte(head, '\n'); !whole && end >= 0 {
		head = head[:end+1]
	}
	for _, delim := range []byte{',', '\t', ';', '|'} {
		if bytes.IndexByte(head, delim) < 0 {
			continue
		}
		for q := doubled; q <= literal; q++ {
			g := tryDialect(head, dialect{delim, q}, max)
			// Quotes are characters in the tab-separated files of GLUE. In any other
			// file one that is not closed is a mistake.
			if q == literal && (delim != '\t' || g.quoted()) {
				continue
			}
			// In a file without quotes all dialects are equal and the first wins.
			if g.width >= 2 && (best.width == 0 || g.better(best)) {
				best = g
			}
		}
	}
	if best.width >= 2 && (best.named >= 2 || best.share >= evenEnough) {
		return best, true
	}
	// One column of texts, with a name above them. In quotes, or as they stand.
	first, _, _ := bytes.Cut(head, []byte("\n"))
	if columnNames[normal(strings.Trim(strings.TrimSpace(string(first)), `"`))] {
		if g := tryDialect(head, dialect{',', doubled}, max); g.width == 1 && g.share == 1 {
			return g, true
		}
		return tryDialect(head, dialect{0, literal}, max), true
	}
	return best, best.width >= 2 && best.named == 1 && best.share >= 0.5
}

// quoted reports whether a field that was read with its quotes has them at both ends.
func (g guess) quoted() bool {
	return slices.ContainsFunc(g.records, func(r []string) bool {
		return slices.ContainsFunc(r, func(f string) bool { return len(f) > 1 && f[0] == '"' && f[len(f)-1] == '"' })
	})
}

// excelSeparator reads the line "sep=;" that Excel understands at the top.
func excelSeparator(head []byte) (delim byte, length int) {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	length = len(line) + 1
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 5 && strings.EqualFold(string(line[:4]), "sep=") && line[4] != '"' && line[4] < utf8.RuneSelf {
		return line[4], length
	}
	return 0, 0
}

// header decides whether the first record names the columns. Without a header, a
// file of two columns of which one looks like labels is understood; text and label
// are then the numbers of these columns.
func (g guess) header() (header bool, text, label int) {
	first, rest := g.records[0], g.records[1:]
	if g.named >= 2 || g.named == 1 && !repeats(first, rest) {
		return true, 0, 0
	}
	if g.width != 2 || len(g.records) < 2 {
		return true, 0, 0
	}
	for label = 1; label >= 0; label-- {
		if looksLikeLabels(g.records, label) && !looksLikeLabels(g.records, 1-label) {
			return false, 1 - label, label
		}
	}
	return true, 0, 0
}

// repeats reports whether a field of the first record stands in the same column of
// another: names of columns do not.
func repeats(first []string, rest [][]string) bool {
	for i, f := range first {
		if f != "" && slices.ContainsFunc(rest, func(r []string) bool { return i < len(r) && r[i] == f && !slices.Equal(r, first) }) {
			return true
		}
	}
	return false
}

// looksLikeLabels: short values of which the first record's occurs again, or like
// all others is a number.
func looksLikeLabels(records [][]string, column int) bool {
	seen := map[string]int{}
	n, numbers := 0, 0
	for _, r := range records {
		if column >= len(r) {
			continue
		}
		f := strings.TrimSpace(r[column])
		if f == "" && n == 0 || len(f) > 40 {
			return false
		}
		if _, err := strconv.ParseFloat(f, 64); err == nil {
			numbers++
		}
		seen[f]++
		n++
	}
	if column >= len(records[0]) || n < 2 {
		return false
	}
	first := seen[strings.TrimSpace(records[0][column])]
	return numbers == n || first > 1 && len(seen)*2 <= n
}

// openCSV starts reading a delimited file. asText allows that it is none: a .txt.
func (p *parser) openCSV(in *bufio.Reader, asText bool) (source, error) {
	delim, skip := excelSeparator(peek(in))
	_, _ = in.Discard(skip)
	head := peek(in)
	whole := len(head) < in.Size()
	if len(bytes.TrimSpace(head)) == 0 && whole {
		return nil, invalid.Line(1, "", "the file is empty")
	}
	var g guess
	ok := true
	if delim != 0 {
		g = tryDialect(head, dialect{delim, doubled}, p.limits.Line)
	} else {
		g, ok = detectDialect(head, whole, p.limits.Line)
	}
	if asText && (!ok || g.named < 2 && (g.delim != '\t' || g.share < 1)) {
		p.report.Format = "text"
		return &textLines{lines{r: in, max: p.limits.Line}}, nil
	}
	if !ok || len(g.records) == 0 {
		return nil, invalid.Line(1, "", "neither JSON nor a table: no comma, semicolon, tab or | cuts the lines into equally many columns")
	}
	c := &csvFile{scanner: scanner{dialect: g.dialect, lines: lines{r: in, max: p.limits.Line}}}
	if skip > 0 {
		c.n = 1
	}
	fields, line, err := c.record()
	if errors.Is(err, io.EOF) {
		return nil, invalid.Line(1, "", "the file is empty")
	}
	if err != nil {
		return nil, invalid.Line(line, "", "the first line cannot be read: %v", err)
	}
	if len(fields) > p.limits.Columns {
		return nil, invalid.Line(line, "", "%d columns, %d are allowed", len(fields), p.limits.Columns)
	}
	header, text, label := g.header()
	if p.opt.Header != nil {
		header = *p.opt.Header
	}
	if !header {
		c.pending = &csvLine{fields, line}
		for i := range g.width { // not of this line, which may be a ragged one
			c.names = append(c.names, strconv.Itoa(i+1))
		}
		if text != label && p.opt.Columns == nil {
			p.plan.columns = map[string]string{"text": c.names[text], "label": c.names[label]}
			p.warn("the file has no line that names its columns: column %d was taken for the text, column %d for the label", text+1, label+1)
		}
		return c, nil
	}
	c.header = true
	for i, f := range fields {
		name := strings.TrimSpace(f)
		switch {
		case !utf8.ValidString(name):
			return nil, invalid.Line(line, "", "the name of column %d is not valid UTF-8", i+1)
		case name != "" && slices.Contains(c.names, name):
			return nil, invalid.Line(line, name, "two columns have this name")
		}
		c.names = append(c.names, name)
	}
	// Spreadsheets end lines with empty fields.
	for len(c.names) > 1 && c.names[len(c.names)-1] == "" && len(c.names) > g.width {
		c.names = c.names[:len(c.names)-1]
	}
	return c, nil
}

// peek returns the head of a file, as much as in's buffer holds.
func peek(in *bufio.Reader) []byte {
	head, _ := in.Peek(in.Size())
	return head
}
