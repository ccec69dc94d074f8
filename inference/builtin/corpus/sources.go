package corpus

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"go/parser"
	"go/token"
	"html"
	"io"
	"io/fs"
	"iter"
	"path"
	"regexp"
	"strings"
)

// Files gives the content of each file below root that is wanted, unpacked where its
// name ends in .gz or .dz. What cannot be read is left out.
func Files(fsys fs.FS, root string, want func(name string) bool) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		_ = fs.WalkDir(fsys, root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !want(name) {
				return nil //nolint:nilerr // a source that is not there gives nothing
			}
			b, err := fs.ReadFile(fsys, name)
			if err == nil && (strings.HasSuffix(name, ".gz") || strings.HasSuffix(name, ".dz")) {
				b, err = unpack(b)
			}
			if err == nil && !yield(name, b) {
				return fs.SkipAll
			}
			return nil
		})
	}
}

func unpack(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, 64<<20))
}

var quoted = regexp.MustCompile(`"([^"]+)"`)

// WordNet gives the definitions and the examples of WordNet's data files (wndb(5WN)):
// a line is a synset, and what follows " | " its gloss.
func WordNet(fsys fs.FS, examples bool) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, b := range Files(fsys, ".", func(n string) bool { return strings.HasPrefix(path.Base(n), "data.") }) {
			for line := range strings.SplitSeq(string(b), "\n") {
				head, gloss, ok := strings.Cut(line, " | ")
				if !ok {
					continue
				}
				if examples {
					for _, m := range quoted.FindAllStringSubmatch(gloss, -1) {
						if !yield(m[1] + ".") {
							return
						}
					}
					continue
				}
				gloss, _, _ = strings.Cut(gloss, `"`)
				gloss = strings.Trim(gloss, " ;")
				if f := strings.Fields(head); len(f) > 4 { // the synset's first word
					gloss = strings.ReplaceAll(f[4], "_", " ") + ": " + gloss
				}
				if !yield(gloss) {
					return
				}
			}
		}
	}
}

// GoComments gives the doc comments of Go packages, paragraph by paragraph.
func GoComments(fsys fs.FS) iter.Seq[string] {
	return func(yield func(string) bool) {
		want := func(n string) bool {
			return strings.HasSuffix(n, ".go") && !strings.HasSuffix(n, "_test.go") && !strings.Contains(n, "testdata")
		}
		for name, b := range Files(fsys, ".", want) {
			file, err := parser.ParseFile(token.NewFileSet(), name, b, parser.ParseComments)
			if err != nil {
				continue
			}
			for i, c := range file.Comments {
				if i == 0 { // the licence
					continue
				}
				for p := range strings.SplitSeq(c.Text(), "\n\n") {
					if !strings.HasPrefix(p, "\t") && !yield(p) {
						return
					}
				}
			}
		}
	}
}

var (
	element = regexp.MustCompile(`(?s)<p>(.*?)</p>`)
	tag     = regexp.MustCompile(`(?s)<[^>]*>`)
)

// HTML gives the paragraphs of pages.
func HTML(fsys fs.FS) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, b := range Files(fsys, ".", func(n string) bool { return strings.HasSuffix(n, ".html") }) {
			for _, m := range element.FindAllSubmatch(b, -1) {
				if !yield(html.UnescapeString(tag.ReplaceAllString(string(m[1]), ""))) {
					return
				}
			}
		}
	}
}

// Paragraphs gives the blocks of text files that are parted by blank lines, or by the
// lines of a lone % of fortune(6).
func Paragraphs(fsys fs.FS, want func(name string) bool) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, b := range Files(fsys, ".", want) {
			text := strings.ReplaceAll(string(b), "\n%\n", "\n\n")
			for p := range strings.SplitSeq(text, "\n\n") {
				p, _, _ = strings.Cut(p, "\n\t\t-- ") // who said it
				if !yield(p) {
					return
				}
			}
		}
	}
}

// Rows gives the texts under the given fields of JSON lines, however deep.
func Rows(fsys fs.FS, fields ...string) iter.Seq[string] {
	wanted := map[string]bool{}
	for _, f := range fields {
		wanted[f] = true
	}
	return func(yield func(string) bool) {
		for _, b := range Files(fsys, ".", func(n string) bool { return strings.HasSuffix(n, ".jsonl") || strings.HasSuffix(n, ".json") }) {
			lines := bufio.NewScanner(bytes.NewReader(b))
			lines.Buffer(nil, 1<<24)
			for lines.Scan() {
				var row any
				if json.Unmarshal(lines.Bytes(), &row) != nil {
					continue
				}
				if !texts(row, wanted, false, yield) {
					return
				}
			}
		}
	}
}

func texts(v any, wanted map[string]bool, take bool, yield func(string) bool) bool {
	switch v := v.(type) {
	case string:
		if take {
			for p := range strings.SplitSeq(v, "\n") {
				if !yield(p) {
					return false
				}
			}
		}
	case []any:
		for _, e := range v {
			if !texts(e, wanted, take, yield) {
				return false
			}
		}
	case map[string]any:
		for name, e := range v {
			_, isText := e.(string)
			if !texts(e, wanted, wanted[name] || take && !isText, yield) {
				return false
			}
		}
	}
	return true
}
