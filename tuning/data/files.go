package data

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"

	"lorikeet/adapters/invalid"
)

// File is one of the files that a data set is spread over.
type File struct {
	Name string // its format is told by it, and faults name the file by it
	Open func() (io.ReadCloser, error)
}

// ParseFiles is Parse for a data set in several files of one format, which are read
// one after the other as if they were one. A file is opened when its first row is
// wanted, so that a Limit leaves those behind it alone. Fields of faults begin with
// the file's name, "train-1.csv: label".
func ParseFiles(files []File, opt Options, out func(Row) error) (Report, error) {
	p := newParser(opt, out)
	err := p.parse(&parts{p: p, files: files, named: true})
	return p.finish(err)
}

// parts is the records of several files.
type parts struct {
	p     *parser
	files []File // those still to be opened
	named bool   // records know which file they are of

	// Of the file that is being read.
	name string
	src  source
	end  func() error // closes it, and says what is wrong with all of it

	warnings []func() // about whole files, given when all is read
}

func (s *parts) next() (record, error) {
	for {
		if s.src == nil {
			if len(s.files) == 0 {
				return record{}, io.EOF
			}
			file := s.files[0]
			s.name, s.files = file.Name, s.files[1:]
			if err := s.open(file); err != nil {
				return record{}, s.located(joinFaults([]error{err, s.close()}))
			}
		}
		rec, err := s.src.next()
		if err == nil {
			if s.named {
				rec.file = s.name
			}
			s.nameClasses(&rec)
			return rec, nil
		}
		wrong := s.close()
		switch {
		case !errors.Is(err, io.EOF):
			return record{}, s.located(withVerdict(wrong, err))
		case wrong != nil:
			return record{}, s.located(wrong)
		}
	}
}

// withVerdict puts what is wrong with a whole file before what was met in it, where
// both are faults; an error of the disk is told alone.
func withVerdict(verdict, err error) error {
	if verdict != nil && (err == nil || invalid.Is(err)) {
		return joinFaults([]error{verdict, err})
	}
	return err
}

func (s *parts) located(err error) error {
	faults := invalid.Faults(err)
	if !s.named || len(faults) == 0 {
		return err
	}
	return joinFaults(asErrors(record{file: s.name}.located(faults)))
}

// open finds out what a file is and starts to read it.
func (s *parts) open(file File) error {
	r, err := file.Open()
	if err != nil {
		return readError(err)
	}
	s.end = r.Close
	p := s.p
	p.opt.Name = file.Name
	var in io.Reader = r
	if p.limits.Bytes > 0 {
		in = &capped{r: r, left: p.limits.Bytes, max: p.limits.Bytes}
	}
	d := newDecoder(in)
	head := d.head()
	switch {
	case len(head) == 0 && d.err == io.EOF:
		return invalid.Line(1, "", "the file is empty")
	case d.err != nil && d.err != io.EOF:
		return readError(d.err)
	case bytes.HasPrefix(head, []byte("PAR1")):
		src, remove, err := p.parquet(io.MultiReader(bytes.NewReader(head), afterHead{d}))
		s.end = func() error { return errors.Join(remove(), r.Close()) }
		if err != nil {
			return err
		}
		s.src = src
		return nil
	}
	if p.opt.Format == "parquet" {
		return invalid.Line(1, "", "not a Parquet file: it does not start with PAR1")
	}
	if err := foreign(head); err != nil {
		return err
	}
	// What is guessed of a text's encoding is judged when it has been read.
	s.end = func() error {
		if c, ok := s.src.(*csvFile); ok {
			s.warnings = append(s.warnings, func() { p.warnCSV(c) })
		}
		warning, verdict := d.verdict()
		if warning != "" {
			s.warnings = append(s.warnings, func() { p.warn("%s", warning) })
		}
		return withVerdict(verdict, r.Close())
	}
	src, err := p.open(bufio.NewReaderSize(d, chunk))
	if err != nil {
		return err
	}
	s.src = src
	if c, ok := src.(*csvFile); ok && p.header == nil {
		p.header = slices.Clone(c.names)
	}
	return nil
}

// close ends the file that is being read, if one is.
func (s *parts) close() error {
	if s.end == nil {
		return nil
	}
	end := s.end
	s.end = nil
	err := end()
	s.src = nil
	return err
}

// nameClasses puts the names of classes in place of their numbers.
func (s *parts) nameClasses(rec *record) {
	for column, names := range s.p.opt.ClassNames {
		for i, n := range rec.fields.names {
			if n == column {
				rec.fields.values[i] = className(rec.fields.values[i], names)
			}
		}
	}
}

// className is the name of the class that a whole number stands for; -1 is how the
// datasets library writes that there is none. Anything else is left as it is.
func className(v any, names []string) any {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case cell:
		text = string(v)
	default:
		return v
	}
	switch i, err := strconv.Atoi(text); {
	case err == nil && i >= 0 && i < len(names):
		return names[i]
	case err == nil && i == -1:
		return nil
	}
	return v
}

func asErrors(faults []invalid.Fault) []error {
	all := make([]error, len(faults))
	for i := range faults {
		all[i] = &faults[i]
	}
	return all
}
