package routes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"lorikeet/adapters/sharedtest"
	"lorikeet/adapters/store"
	"lorikeet/tuning/datasets"
)

func (s *service) upload(text string) datasets.Dataset {
	s.Helper()
	var d datasets.Dataset
	s.want(201, "POST", "/datasets?name=some.csv", []byte(text), "Content-Type", "text/csv").into(&d)
	return d
}

// form makes a multipart body of name, content pairs; a name "field:file" is a file.
func form(t *testing.T, parts ...string) (body []byte, kind string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i+1 < len(parts); i += 2 {
		field, file, is := strings.Cut(parts[i], ":")
		var part io.Writer
		var err error
		if is {
			part, err = w.CreateFormFile(field, file)
		} else {
			part, err = w.CreateFormField(field)
		}
		if err == nil {
			_, err = io.WriteString(part, parts[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.FormDataContentType()
}

const rowsCSV = "text,label\ngood,positive\nbad,negative\n"

func TestDatasets(t *testing.T) {
	s := newService(t, nil)
	d := s.upload(rowsCSV)
	if d.Rows != 2 || d.Kind != "classification" || d.Format != "csv" || d.Labels["positive"] != 1 || d.Name != "some.csv" || d.Bytes != int64(len(rowsCSV)) {
		t.Errorf("%+v", d)
	}
	t.Run("are one for the same file", func(t *testing.T) {
		s := s.on(t)
		a := s.want(200, "POST", "/datasets", []byte(rowsCSV), "Content-Type", "application/octet-stream")
		var again datasets.Dataset
		a.into(&again)
		if again.ID != d.ID || a.header.Get("Location") != "/datasets/"+d.ID {
			t.Errorf("%s, then %s", d.ID, again.ID)
		}
	})
	t.Run("come as the file of a form", func(t *testing.T) {
		s := s.on(t)
		body, kind := form(t, "name", "mine", "format", "csv", "file:C:\\data\\a.csv", rowsCSV+"ok,positive\n")
		var f datasets.Dataset
		s.want(201, "POST", "/datasets", body, "Content-Type", kind).into(&f)
		if f.Name != "mine" || f.Rows != 3 {
			t.Errorf("%+v", f)
		}
		body, kind = form(t, "file:C:\\data\\b.csv", rowsCSV+"so so,negative\n")
		s.want(201, "POST", "/datasets", body, "Content-Type", kind).into(&f)
		if f.Name != "b.csv" {
			t.Errorf("name %q", f.Name)
		}
	})
	t.Run("are listed, shown, previewed and deleted", func(t *testing.T) {
		s := s.on(t)
		var list page[datasets.Dataset]
		s.want(200, "GET", "/datasets?limit=2", nil).into(&list)
		if len(list.Data) != 2 || !list.HasMore {
			t.Errorf("%+v", list)
		}
		s.want(200, "GET", "/datasets?limit=2&after="+list.LastID, nil).into(&list)
		if len(list.Data) != 1 || list.HasMore || list.Data[0].ID != d.ID {
			t.Errorf("%+v", list)
		}
		s.want(422, "GET", "/datasets?after=nothing", nil)
		s.want(200, "GET", "/datasets/"+d.ID, nil)
		a := s.want(200, "GET", "/datasets/"+d.ID+"/preview?limit=1", nil)
		if !strings.Contains(string(a.body), `"rows":[{"text":"good","label":"positive"}]`) {
			t.Errorf("%s", a.body)
		}
		s.want(422, "GET", "/datasets/"+d.ID+"/preview?limit=1000", nil)
		s.want(204, "DELETE", "/datasets/"+d.ID, nil)
		for _, path := range []string{d.ID, d.ID + "/preview", "ds_x", "..%2fjobs"} {
			if p := s.want(404, "GET", "/datasets/"+path, nil).problem(); p.Code != "dataset_not_found" && p.Code != "not_found" {
				t.Errorf("%s: %s", path, p.Code)
			}
		}
		s.want(404, "DELETE", "/datasets/"+d.ID, nil)
	})
}

func TestDatasetsHaveTheColumnsAndRowsAskedFor(t *testing.T) {
	s := newService(t, nil)
	file := "review,stars,note\na,x,1\nb,y,2\nc,x,3\nd,y,4\ne,x,5\n"
	body, kind := form(t, "columns", `{"text": "review", "label": "stars"}`, "limit", "3", "offset", "1", "file:r.csv", file)
	var f datasets.Dataset
	s.want(201, "POST", "/datasets", body, "Content-Type", kind).into(&f)
	if f.Rows != 3 || f.Labels["y"] != 2 {
		t.Errorf("%+v", f)
	}
	query := "?columns=" + url.QueryEscape(`{"text": "note", "label": "stars"}`) + "&limit=4&sample=4&shuffle_seed=7"
	s.want(201, "POST", "/datasets"+query, []byte(file), "Content-Type", "text/csv").into(&f)
	if f.Rows != 4 {
		t.Errorf("%+v", f)
	}
	for name, c := range map[string]struct{ query, field string }{
		"columns that are no JSON":      {"columns=text", "columns"},
		"a column that is not there":    {"columns=" + url.QueryEscape(`{"text":"body","label":"stars"}`), "columns.text"},
		"fewer than no rows":            {"limit=-1", "limit"},
		"rows past the end":             {"offset=5", "offset"},
		"a sample that is not a number": {"sample=x", "sample"},
	} {
		t.Run(name, func(t *testing.T) {
			p := s.on(t).want(422, "POST", "/datasets?"+c.query, []byte(file), "Content-Type", "text/csv").problem()
			if !slices.Equal(p.fields(), []string{c.field}) {
				t.Errorf("%+v", p)
			}
		})
	}
	body, kind = form(t, "limit", "some", "file:a.csv", file)
	if p := s.want(422, "POST", "/datasets", body, "Content-Type", kind).problem(); !slices.Equal(p.fields(), []string{"limit"}) {
		t.Errorf("%+v", p)
	}
}

func TestDatasetsThatAreRefused(t *testing.T) {
	s := newService(t, nil)
	post := func(t *testing.T, status int, body any, kind string) Problem {
		t.Helper()
		return s.on(t).want(status, "POST", "/datasets", body, "Content-Type", kind).problem()
	}
	t.Run("name every bad line", func(t *testing.T) {
		p := post(t, 422, []byte(`{"text":"a","label":"x"}`+"\n{\"text\":1}\n"+`{"text":"b","label":"y"}`+"\nnope\n"), "application/x-ndjson")
		var lines []int
		for _, f := range p.Errors {
			lines = append(lines, f.Line)
		}
		if !slices.Contains(lines, 2) || !slices.Contains(lines, 4) || slices.Contains(lines, 1) || slices.Contains(lines, 3) {
			t.Errorf("lines %v: %+v", lines, p.Errors)
		}
	})
	t.Run("for their type", func(t *testing.T) {
		s := s.on(t)
		if p := post(t, 415, []byte(rowsCSV), "application/x-www-form-urlencoded"); !strings.Contains(p.Detail, "curl: -T FILE") {
			t.Error(p.Detail)
		}
		post(t, 415, []byte("x"), "image/png")
		post(t, 415, []byte("x"), "multipart/form-data")
		s.want(415, "POST", "/datasets", []byte("x"), "Content-Type", "text/csv", "Content-Encoding", "gzip")
	})
	t.Run("for their size", func(t *testing.T) {
		big := "text,label\n" + strings.Repeat("aaaaaaaa,x\nbbbbbbb,y\n", 20<<10)
		post(t, 413, []byte(big), "text/csv")
		post(t, 413, struct{ io.Reader }{strings.NewReader(big)}, "text/csv")
		body, kind := form(t, "file:a.csv", big)
		post(t, 413, struct{ io.Reader }{bytes.NewReader(body)}, kind)
	})
	t.Run("for a form that is none", func(t *testing.T) {
		body, kind := form(t, "name", "x")
		if p := post(t, 422, body, kind); !slices.Contains(p.fields(), "file") {
			t.Errorf("%+v", p)
		}
		body, kind = form(t, "nam", "x", "file:a.csv", rowsCSV)
		if p := post(t, 400, body, kind); !slices.Contains(p.fields(), "nam") {
			t.Errorf("%+v", p)
		}
		body, kind = form(t, "file:a.csv", rowsCSV, "file:b.csv", rowsCSV)
		if p := post(t, 422, body, kind); !strings.Contains(p.Detail, "comes after the file") {
			t.Errorf("%+v", p)
		}
		body, kind = form(t, "file:a.csv", rowsCSV)
		if p := post(t, 400, body[:len(body)-30], kind); p.Code != "incomplete_body" {
			t.Errorf("%+v", p)
		}
	})
	t.Run("for what they are asked to be", func(t *testing.T) {
		s := s.on(t)
		p := s.want(422, "POST", "/datasets?format=xls&name=a%00b", []byte(rowsCSV), "Content-Type", "text/csv").problem()
		if !slices.Equal(p.fields(), []string{"format", "name"}) {
			t.Errorf("%+v", p)
		}
	})
	t.Run("and leave nothing behind", func(t *testing.T) {
		s := s.on(t)
		var list page[datasets.Dataset]
		s.want(200, "GET", "/datasets", nil).into(&list)
		n := 0
		for range s.store.Blobs(t.Context()) {
			n++
		}
		if len(list.Data) != 0 || n != 0 {
			t.Errorf("%d data sets, %d blobs", len(list.Data), n)
		}
	})
}

// full is a store without space.
type full struct{ *store.Dir }

func (full) PutBlob(_ context.Context, r io.Reader) (string, int64, error) {
	_, _ = io.CopyN(io.Discard, r, 5)
	return "", 0, fmt.Errorf("put blob /srv/data: %w", store.ErrNoSpace)
}

func TestDatasetOnAFullDisk(t *testing.T) {
	var dir *store.Dir
	s := newService(t, func(o *Options) {
		var err error
		if dir, err = store.OpenDir(t.TempDir()); err != nil {
			t.Fatal(err)
		}
		o.Datasets = datasets.New(datasets.Options{Store: full{dir}})
	})
	defer func() {
		if err := dir.Close(); err != nil && !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	}()
	p := s.want(507, "POST", "/datasets", []byte(rowsCSV), "Content-Type", "text/csv").problem()
	if p.Code != "no_space" || strings.Contains(p.Detail, "/srv") {
		t.Errorf("%+v", p)
	}
}

func TestMessyFiles(t *testing.T) {
	s := newService(t, func(o *Options) { o.Limits.Dataset = 4 << 20 })
	for _, c := range []struct {
		file   string
		status int
	}{
		{"bom_crlf.csv", 201}, {"semicolon.csv", 201}, {"utf16le_bom.csv", 201}, {"multiline_quotes.csv", 201}, {"tab.tsv", 201},
		{"truncated_last_line.jsonl", 422}, {"header_only.csv", 422}, {"wrong_types.jsonl", 422}, {"ragged.csv", 422},
	} {
		t.Run(c.file, func(t *testing.T) {
			s := s.on(t)
			content, err := os.ReadFile(sharedtest.Data(t, "messy/derived/"+c.file))
			if err != nil {
				t.Fatal(err)
			}
			a := s.want(c.status, "POST", "/datasets?name="+c.file, content, "Content-Type", "application/octet-stream")
			if c.status == 422 && !slices.ContainsFunc(a.problem().fields(), func(string) bool { return true }) {
				t.Errorf("no faults: %s", a.body)
			}
		})
	}
}
