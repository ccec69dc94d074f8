package routes

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"lorikeet/adapters"
)

var placeholders = regexp.MustCompile(`\{[^}]*\}`)

// FuzzRequests sends any bytes, of any type, to any operation of the whole service:
// multipart forms, bodies of tunes, queries, ids in paths. Nothing is our fault, nothing
// panics, and what is refused is refused with the one body.
func FuzzRequests(f *testing.F) {
	s := newService(f, func(o *Options) { o.Log = slog.New(slog.DiscardHandler) })
	form, kind := multipartSeed()
	for i, r := range s.handler.table {
		f.Add(i, "name", "", "application/json", []byte(`{"model":"bert","name":"x"}`))
		if strings.Contains(r.path, "adapters") || strings.Contains(r.path, "datasets") {
			f.Add(i, "x@1", "limit=1&after=ds_1", kind, form)
		}
	}
	f.Add(4, "a{b", "", "application/json", []byte(`{}`))
	f.Add(0, "%2e%2e", "wait=1&limit=-1&after=%00", "text/csv", []byte("text,label\na,b\n"))
	f.Fuzz(func(t *testing.T, which int, name, query, kind string, body []byte) {
		all := s.handler.table
		o := all[uint(which)%uint(len(all))]
		if strings.Contains(query, "wait") {
			return // waits for as long as it says
		}
		r := httptest.NewRequest(o.method, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", kind)
		path := placeholders.ReplaceAllLiteralString(o.path, name)
		r.URL.Path, r.URL.RawQuery = path, query
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != 501 && w.Code != 503 {
			t.Fatalf("%s %q?%q of type %q with %q: %d %s", o.method, path, query, kind, body, w.Code, w.Body)
		}
		if w.Code < 400 {
			return
		}
		var p struct {
			Status int
			Code   string
			Error  struct{ Message string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Code == "" || p.Error.Message == "" {
			t.Fatalf("%s %q: %d %s", o.method, path, w.Code, w.Body)
		}
	})
}

func multipartSeed() (body []byte, kind string) {
	const boundary = "seed"
	var b strings.Builder
	for _, part := range [][2]string{{`form-data; name="name"`, "imdb"}, {`form-data; name="model"`, "bert"},
		{`form-data; name="file"; filename="` + adapters.ConfigFile + `"`, `{"r":8}`}, {`form-data; name="file"; filename="` + adapters.WeightsFile + `"`, "tensors"}} {
		b.WriteString("--" + boundary + "\r\nContent-Disposition: " + part[0] + "\r\n\r\n" + part[1] + "\r\n")
	}
	b.WriteString("--" + boundary + "--\r\n")
	return []byte(b.String()), "multipart/form-data; boundary=" + boundary
}
