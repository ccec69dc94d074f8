package routes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/inference"
	"lorikeet/inference/hub"
)

func TestAdapters(t *testing.T) {
	s := newService(t, nil)
	s.register("imdb")
	second := s.register("imdb")
	s.register("news")
	t.Run("are listed and shown", func(t *testing.T) {
		s := s.on(t)
		var list page[adapterSeries]
		s.want(200, "GET", "/adapters?limit=1", nil).into(&list)
		if len(list.Data) != 1 || !list.HasMore || list.LastID != "imdb" || list.Data[0].Version != 2 {
			t.Errorf("%+v", list)
		}
		s.want(200, "GET", "/adapters?after=imdb", nil).into(&list)
		if len(list.Data) != 1 || list.HasMore || list.Data[0].Name != "news" {
			t.Errorf("%+v", list)
		}
		var one adapterSeries
		s.want(200, "GET", "/adapters/imdb", nil).into(&one)
		if one.Digest != second.Digest || !slices.Equal(one.Versions, []int{1, 2}) || one.Residency != "disk" || one.Metrics["eval_accuracy"] != .9 {
			t.Errorf("%+v", one)
		}
		var v adapterVersion
		s.want(200, "GET", "/adapters/imdb/versions/1", nil).into(&v)
		if v.Version != 1 || v.Rank != 8 || v.Base != "bert" || len(v.Files) != 3 {
			t.Errorf("%+v", v)
		}
	})
	t.Run("move between device and disk", func(t *testing.T) {
		s := s.on(t)
		for _, c := range []struct {
			action, tier string
			pinned       bool
		}{{"load", "device", false}, {"pin", "device", true}, {"unpin", "device", false}, {"unload", "disk", false}} {
			var v adapterVersion
			s.want(200, "POST", "/adapters/imdb/versions/2/"+c.action, nil).into(&v)
			if v.Residency != c.tier || v.Pinned != c.pinned {
				t.Errorf("%s: %s, pinned %v", c.action, v.Residency, v.Pinned)
			}
		}
	})
	t.Run("roll back", func(t *testing.T) {
		s := s.on(t)
		var one adapterSeries
		s.want(200, "POST", "/adapters/imdb/rollback", `{"version":1}`).into(&one)
		if one.Version != 1 || !slices.Equal(one.Versions, []int{1, 2}) {
			t.Errorf("%+v", one)
		}
		s.want(404, "POST", "/adapters/imdb/rollback", `{"version":7}`)
		s.want(422, "POST", "/adapters/imdb/rollback", `{"version":0}`)
		s.want(422, "POST", "/adapters/imdb/rollback", `{}`)
		s.want(404, "POST", "/adapters/nothing/rollback", `{"version":1}`)
	})
	t.Run("give their files out", func(t *testing.T) {
		s := s.on(t)
		at := "/adapters/imdb/versions/2/files/" + adapters.WeightsFile
		a := s.want(200, "GET", at, nil)
		tag := a.header.Get("ETag")
		if tag != `"`+second.Files[adapters.WeightsFile].Digest+`"` || !strings.HasPrefix(string(a.body), "weights of imdb") ||
			!strings.HasPrefix(a.header.Get("Repr-Digest"), "sha-256=:") || !strings.Contains(a.header.Get("Cache-Control"), "immutable") ||
			a.header.Get("Content-Disposition") != "attachment; filename="+adapters.WeightsFile {
			t.Errorf("%v: %s", a.header, a.body)
		}
		s.want(304, "GET", at, nil, "If-None-Match", tag)
		if part := s.want(206, "GET", at, nil, "Range", "bytes=0-6"); string(part.body) != "weights" {
			t.Errorf("part %q", part.body)
		}
		s.want(416, "GET", at, nil, "Range", "bytes=9999-")
		if head := s.want(200, "HEAD", at, nil); head.header.Get("Content-Length") != fmt.Sprint(len(a.body)) {
			t.Errorf("HEAD: %v", head.header)
		}
		s.want(200, "GET", "/adapters/imdb/versions/2/files/"+adapters.ConfigFile, nil)
		if p := s.want(404, "GET", "/adapters/imdb/versions/2/files/..%2f..%2fspec", nil).problem(); p.Code != "not_found" {
			t.Error(p.Code)
		}
		if p := s.want(404, "GET", "/adapters/imdb/versions/2/files/nothing.md", nil).problem(); p.Code != "file_not_found" || !strings.Contains(p.Detail, adapters.ConfigFile) {
			t.Errorf("%+v", p)
		}
	})
	t.Run("have a passport and a model card", func(t *testing.T) {
		s := s.on(t)
		var p adapters.Passport
		s.want(200, "GET", "/adapters/imdb/versions/1/passport", nil).into(&p)
		if p.Name != "imdb" || p.Version != 1 || p.Base.Name != "bert" || p.Metrics["eval_accuracy"] != .9 || len(p.Files) != 2 || p.Training != nil {
			t.Errorf("%+v", p)
		}
		s.want(404, "GET", "/adapters/imdb/versions/9/passport", nil)
		s.want(404, "GET", "/adapters/imdb/versions/9/merged", nil)
		s.want(422, "GET", "/adapters/imdb/versions/1/merged", nil) // the fake engine's base is another
		var v adapterVersion
		s.want(200, "GET", "/adapters/imdb/versions/1", nil).into(&v)
		at := "/adapters/imdb/versions/1/files/README.md"
		card := s.want(200, "GET", at, nil)
		if f := v.Files["README.md"]; card.header.Get("ETag") != `"`+f.Digest+`"` || int64(len(card.body)) != f.Bytes || !strings.HasPrefix(string(card.body), "---\nbase_model: bert\n") {
			t.Errorf("%+v, %v: %s", f, card.header, card.body)
		}
		s.want(304, "GET", at, nil, "If-None-Match", card.header.Get("ETag"))
	})
	t.Run("that do not exist are 404", func(t *testing.T) {
		s := s.on(t)
		for _, path := range []string{"/adapters/nothing", "/adapters/UPPER", "/adapters/imdb@1", "/adapters/imdb/versions/9", "/adapters/imdb/versions/9/files/x"} {
			if p := s.want(404, "GET", path, nil).problem(); p.Code != "adapter_not_found" {
				t.Errorf("%s: %s", path, p.Code)
			}
		}
		s.want(404, "POST", "/adapters/nothing/versions/1/load", nil)
		s.want(422, "GET", "/adapters/imdb/versions/one", nil)
		s.want(422, "GET", "/adapters/imdb/versions/0", nil)
	})
	t.Run("are deleted", func(t *testing.T) {
		s := s.on(t)
		s.want(204, "DELETE", "/adapters/imdb/versions/1", nil)
		s.want(404, "DELETE", "/adapters/imdb/versions/1", nil)
		s.want(204, "DELETE", "/adapters/imdb", nil)
		s.want(404, "DELETE", "/adapters/imdb", nil)
		s.want(404, "GET", "/adapters/imdb", nil)
	})
}

func TestImport(t *testing.T) {
	s := newService(t, func(o *Options) {
		o.Sources = folders{
			"file:good":    fstest.MapFS{adapters.ConfigFile: {Data: []byte(`{"a":1}`)}, adapters.WeightsFile: {Data: []byte("weights")}},
			"file:pickled": fstest.MapFS{adapters.ConfigFile: {Data: []byte(`{}`)}, "adapter_model.bin": {Data: []byte("x")}},
			"file:empty":   fstest.MapFS{},
		}
	})
	var got inference.Import
	var content []byte
	s.engine.imports = func(in inference.Import) error {
		got = in
		var err error
		content, err = io.ReadAll(io.NewSectionReader(in.Weights, 0, in.Size))
		return err
	}
	t.Run("takes the files of a form", func(t *testing.T) {
		s := s.on(t)
		body, kind := form(t, "name", "imdb", "model", "bert", adapters.ConfigFile+":x", `{"r":8}`, adapters.WeightsFile+":y", "tensors")
		a := s.want(201, "POST", "/adapters", body, "Content-Type", kind)
		if got.Name != "imdb" || got.Model != "bert" || got.Source != "upload" || string(got.Config) != `{"r":8}` || string(content) != "tensors" {
			t.Errorf("%+v, %q", got, content)
		}
		if a.header.Get("Location") != "/adapters/imdb/versions/1" {
			t.Errorf("at %q", a.header.Get("Location"))
		}
	})
	t.Run("takes files that are only called files", func(t *testing.T) {
		s := s.on(t)
		body, kind := form(t, "files:C:\\x\\"+adapters.ConfigFile, `{}`, "files:"+adapters.WeightsFile, "t", "name", "imdb")
		s.want(201, "POST", "/adapters", body, "Content-Type", kind)
		if got.Model != "bert" { // the only base
			t.Errorf("model %q", got.Model)
		}
	})
	t.Run("takes a source", func(t *testing.T) {
		s := s.on(t)
		s.want(201, "POST", "/adapters", `{"name":"other","source":"file:good"}`)
		if got.Name != "other" || got.Source != "file:good" || string(got.Config) != `{"a":1}` || string(content) != "weights" {
			t.Errorf("%+v, %q", got, content)
		}
	})
	t.Run("finds the base by the repository it was loaded from", func(t *testing.T) {
		s := s.on(t)
		s.engine.models = []inference.Model{{Name: "other", Kind: "base"}, bert}
		defer func() { s.engine.models = []inference.Model{bert} }()
		body, kind := form(t, "name", "a", adapters.ConfigFile, `{"base_model_name_or_path":"google-bert/bert-base-uncased"}`, adapters.WeightsFile, "t")
		s.want(201, "POST", "/adapters", body, "Content-Type", kind)
		if got.Model != "bert" {
			t.Errorf("model %q", got.Model)
		}
		if p := s.want(422, "POST", "/adapters", `{"name":"a","source":"file:good"}`).problem(); !slices.Equal(p.fields(), []string{"model"}) {
			t.Errorf("%+v", p)
		}
	})
	t.Run("leaves no temporary file", func(t *testing.T) {
		left, err := os.ReadDir(s.handler.limits.TempDir)
		if err != nil || len(left) != 0 {
			t.Errorf("%v %v", left, err)
		}
	})
	for name, c := range map[string]struct {
		status int
		code   string
		fields []string
		parts  []string
	}{
		"nothing":              {422, "invalid", []string{"name", adapters.ConfigFile, adapters.WeightsFile}, nil},
		"bad names":            {422, "invalid", []string{"name", "model"}, []string{"name", "A B", "model", "../x", adapters.ConfigFile, "{}", adapters.WeightsFile, "t"}},
		"a pickle file":        {422, "invalid", []string{"adapter_model.bin"}, []string{"name", "a", "adapter_model.bin:adapter_model.bin", "\x80\x02"}},
		"a pickle in files":    {422, "invalid", []string{"pytorch_model.pt"}, []string{"name", "a", "files:pytorch_model.pt", "\x80\x02"}},
		"an unknown part":      {400, "unknown_field", []string{"nam"}, []string{"nam", "a"}},
		"a part given twice":   {422, "invalid", []string{"name"}, []string{"name", "a", "name", "b"}},
		"a huge configuration": {413, "body_too_large", nil, []string{"name", "a", adapters.ConfigFile, strings.Repeat("x", largestConfig+1)}},
		"huge weights":         {413, "body_too_large", nil, []string{"name", "a", adapters.WeightsFile, strings.Repeat("x", 300<<10)}},
		"a very long name":     {422, "invalid", []string{"name"}, []string{"name", strings.Repeat("a", 5000)}},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			s := s.on(t)
			body, kind := form(t, c.parts...)
			p := s.want(c.status, "POST", "/adapters", struct{ io.Reader }{bytes.NewReader(body)}, "Content-Type", kind).problem()
			if p.Code != c.code || !slices.Equal(p.fields(), c.fields) {
				t.Errorf("code %s, fields %q: %s", p.Code, p.fields(), p.Detail)
			}
		})
	}
	for name, c := range map[string]struct {
		status int
		fields []string
		body   string
	}{
		"no source":              {422, []string{"name", "source"}, `{}`},
		"a URL":                  {422, []string{"source"}, `{"name":"a","source":"http://169.254.169.254/"}`},
		"a bare path":            {422, []string{"source"}, `{"name":"a","source":"/etc"}`},
		"an unknown repository":  {404, []string{"source"}, `{"name":"a","source":"hf:no/body"}`},
		"a folder with a pickle": {422, []string{"source"}, `{"name":"a","source":"file:pickled"}`},
		"a folder with nothing":  {422, []string{"source"}, `{"name":"a","source":"file:empty"}`},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			p := s.on(t).want(c.status, "POST", "/adapters", c.body).problem()
			if !slices.Equal(p.fields(), c.fields) {
				t.Errorf("fields %q: %s", p.fields(), p.Detail)
			}
		})
	}
	t.Run("refuses other types", func(t *testing.T) {
		s := s.on(t)
		s.want(415, "POST", "/adapters", []byte("x"), "Content-Type", "application/zip")
		s.want(415, "POST", "/adapters", []byte("x"), "Content-Type", "multipart/form-data")
	})
	t.Run("passes on what the engine says", func(t *testing.T) {
		s := s.on(t)
		for _, c := range []struct {
			err    error
			status int
			code   string
		}{
			{errors.Join(invalid.Field("r", "is 512"), invalid.Field("bias", "is \"x\"")), 422, "invalid"},
			{fmt.Errorf("%w: made for bert-large", inference.ErrWrongBase), 422, "wrong_base"},
			{fmt.Errorf("put blob /srv: %w", store.ErrNoSpace), 507, "no_space"},
			{fmt.Errorf("put blob /srv: %w", store.ErrDenied), 503, "store_denied"},
			{fmt.Errorf("put blob /srv: %w", store.ErrUnavailable), 503, "store_unavailable"},
			{hub.ErrUnavailable, 503, "hub_unavailable"},
		} {
			s.engine.imports = func(inference.Import) error { return c.err }
			p := s.want(c.status, "POST", "/adapters", `{"name":"a","source":"file:good"}`).problem()
			if p.Code != c.code || strings.Contains(p.Detail, "/srv") {
				t.Errorf("%+v", p)
			}
		}
	})
}

func TestDamagedAdapter(t *testing.T) {
	s := newService(t, nil)
	s.engine.fail = fmt.Errorf("adapter imdb@1: %w", adapters.ErrCorrupt)
	p := s.want(500, "POST", "/predict", `{"inputs":"a"}`).problem()
	if p.Code != "adapter_corrupt" || !strings.Contains(p.Detail, "register it again") {
		t.Errorf("%+v", p)
	}
}
