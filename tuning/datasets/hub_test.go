package datasets

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/parquet-go/parquet-go"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/hub"
	"lorikeet/inference/hub/hubtest"
	"lorikeet/tuning"
	"lorikeet/tuning/data"
)

type review struct {
	Text  string `parquet:"text"`
	Label int64  `parquet:"label"`
}

// reviews is a Parquet file as that of IMDB: n texts of each class, sorted by class.
func reviews(t *testing.T, name string, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[review](&b)
	for i := range 2 * n {
		if _, err := w.Write([]review{{fmt.Sprintf("%s %d", name, i), int64(i / n)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func files(names map[string]string) fs.FS {
	m := fstest.MapFS{}
	for name, text := range names {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

// aHub has IMDB as the real one lays it out, and stranger repositories.
func aHub(t *testing.T) (*hubtest.Server, *Service) {
	t.Helper()
	train, test := string(reviews(t, "train", 500)), string(reviews(t, "test", 50))
	server := hubtest.New(t, map[string]hubtest.Repo{
		"datasets/stanfordnlp/imdb": {Files: files(map[string]string{
			"README.md": imdbCard, "plain_text/train-00000-of-00001.parquet": train, "plain_text/test-00000-of-00001.parquet": test,
			"plain_text/unsupervised-00000-of-00001.parquet": test,
		})},
		"datasets/o/script": {
			Files:    files(map[string]string{"README.md": "# None\n", "script.py": "import os"}),
			Branches: map[string]fs.FS{"refs/convert/parquet": files(map[string]string{"default/train/0000.parquet": train, "default/partial-test/0000.parquet": test, "other/train/0000.parquet": test})},
		},
		"datasets/o/alone": {Files: files(map[string]string{"script.py": "import os"})},
		"datasets/o/two": {Files: files(map[string]string{
			"README.md": "---\nconfigs:\n- config_name: a\n  data_files: a/*.jsonl\n- config_name: b\n  data_dir: b\n- config_name: gone\n  data_files: nothing.csv\n" +
				"dataset_info:\n- config_name: a\n  features: [{name: stars, dtype: {class_label: {names: [bad, good]}}}]\n---\n",
			"a/1.jsonl": `{"review":"x","stars":0}` + "\n" + `{"review":"y","stars":1}` + "\n", "a/2.jsonl": `{"review":"z","stars":1}` + "\n",
			"b/train.csv": csv, "b/dev.csv": csv,
		})},
		"datasets/o/bad": {Files: files(map[string]string{"README.md": "---\na: [\n---\n", "train.csv": csv})},
	})
	s, _ := newService(t)
	s.o.Hub = &hub.Client{Endpoint: server.URL, CacheDir: t.TempDir()}
	return server, s
}

func TestIMDB(t *testing.T) {
	server, s := aHub(t)
	in, err := s.Inputs(t.Context(), tuning.Spec{
		Dataset:    source(t, `{"hf":"stanfordnlp/imdb","split":"train","sample":200,"shuffle_seed":42}`),
		Validation: source(t, `{"hf":"stanfordnlp/imdb","config":"plain_text","split":"test","sample":60}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if in.Rows != 200 || in.ValidationRows != 60 || !slices.Equal(in.Labels, []string{"neg", "pos"}) {
		t.Fatalf("%+v", in)
	}
	rows, err := s.Rows(t.Context(), in.Train)
	if err != nil {
		t.Fatal(err)
	}
	negative := 0
	for _, r := range rows {
		if !strings.HasPrefix(r.Text, "train ") {
			t.Fatal(r)
		}
		if r.Label == "neg" {
			negative++
		}
	}
	if negative < 70 || negative > 130 { // ±4 standard deviations
		t.Errorf("%d of 200 rows are negative", negative)
	}
	if asked := server.Requests("unsupervised"); len(asked) > 0 {
		t.Errorf("fetched what was not asked for: %v", asked)
	}
	again, err := s.Inputs(t.Context(), tuning.Spec{Dataset: source(t, `{"hf":"stanfordnlp/imdb","sample":200}`)})
	if err != nil || again.Train != in.Train {
		t.Errorf("the same sample is other rows: %v", err)
	}
	t.Run("its first rows are of one class", func(t *testing.T) {
		_, err := s.Inputs(t.Context(), tuning.Spec{Dataset: source(t, `{"hf":"stanfordnlp/imdb","limit":200}`)})
		if f := invalid.Faults(err); len(f) != 1 || f[0].Field != "dataset.hf" || !strings.Contains(f[0].Reason, "sample") {
			t.Error(err)
		}
	})
	t.Run("a window over the border has both", func(t *testing.T) {
		in, err := s.Inputs(t.Context(), tuning.Spec{Dataset: source(t, `{"hf":"stanfordnlp/imdb","offset":490,"limit":20}`)})
		if err != nil || in.Rows != 20 {
			t.Error(in, err)
		}
	})
}

func TestHubChoices(t *testing.T) {
	_, s := aHub(t)
	for name, c := range map[string]struct {
		source string
		rows   int
		first  string // row
		fields []string
	}{
		"columns by name":              {`{"hf":"o/two","config":"a","columns":{"text":"review","label":"stars"}}`, 3, `{"text":"x","label":"bad"}`, nil},
		"a config that is a folder":    {`{"hf":"o/two","config":"b","split":"validation"}`, 2, `{"text":"good","label":"positive"}`, nil},
		"a config in the split":        {`{"hf":"o/two","split":"b/train"}`, 2, "", nil},
		"the hub's conversion":         {`{"hf":"o/script","sample":10}`, 10, "", nil},
		"a config of it":               {`{"hf":"o/script","config":"other","sample":10}`, 10, "", nil},
		"a part of it":                 {`{"hf":"o/script","split":"test"}`, 100, "", nil},
		"a commit-like branch":         {`{"hf":"o/script@refs/convert/parquet","config":"other"}`, 100, "", nil},
		"no config where there are":    {`{"hf":"o/two"}`, 0, "", []string{"dataset.config"}},
		"no such config":               {`{"hf":"o/two","config":"c"}`, 0, "", []string{"dataset.config"}},
		"a config without its files":   {`{"hf":"o/two","config":"gone"}`, 0, "", []string{"dataset.split"}},
		"no such split":                {`{"hf":"stanfordnlp/imdb","split":"dev"}`, 0, "", []string{"dataset.split"}},
		"a slice of a split":           {`{"hf":"stanfordnlp/imdb","split":"train[:200]"}`, 0, "", []string{"dataset.split"}},
		"a column that is not there":   {`{"hf":"o/two","config":"a","columns":{"text":"body"}}`, 0, "", []string{"dataset.columns.text"}},
		"a field that is not there":    {`{"hf":"o/two","config":"a","columns":{"txt":"review"}}`, 0, "", []string{"dataset.columns.txt"}},
		"an offset past the end":       {`{"hf":"stanfordnlp/imdb","offset":1000}`, 0, "", []string{"dataset.offset"}},
		"a script that nobody ran":     {`{"hf":"o/alone"}`, 0, "", []string{"dataset.hf"}},
		"no such split of it":          {`{"hf":"o/script","split":"dev"}`, 0, "", []string{"dataset.split"}},
		"no such config of it":         {`{"hf":"o/script","config":"c"}`, 0, "", []string{"dataset.config"}},
		"front matter that is no YAML": {`{"hf":"o/bad"}`, 0, "", []string{"dataset.hf"}},
	} {
		t.Run(name, func(t *testing.T) {
			in, err := s.Inputs(t.Context(), tuning.Spec{Dataset: source(t, c.source)})
			var fields []string
			for _, f := range invalid.Faults(err) {
				fields = append(fields, f.Field)
			}
			if !slices.Equal(fields, c.fields) || c.fields == nil && (err != nil || in.Rows != c.rows) {
				t.Fatalf("fields %q, want %q: %+v, %v", fields, c.fields, in, err)
			}
			converted := strings.Contains(c.source, `"o/script"`) && err == nil
			if said := strings.Contains(strings.Join(in.Warnings, "\n"), "refs/convert/parquet"); said != converted {
				t.Errorf("warnings %q", in.Warnings)
			}
			if c.first == "" {
				return
			}
			rows, err := s.Rows(t.Context(), in.Train)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := rows[0].MarshalJSON(); err != nil || string(b) != c.first {
				t.Errorf("%s, %v", b, err)
			}
		})
	}
}

func TestALimitLeavesFilesAlone(t *testing.T) {
	shards := map[string]string{}
	for i := range 4 {
		shards[fmt.Sprintf("train-%d.csv", i)] = "text,label\n" + lines(10)
	}
	server := hubtest.New(t, map[string]hubtest.Repo{"datasets/o/n": {Files: files(shards)}})
	s, _ := newService(t)
	s.o.Hub = &hub.Client{Endpoint: server.URL, CacheDir: t.TempDir()}
	in, err := s.Inputs(t.Context(), tuning.Spec{Dataset: source(t, `{"hf":"o/n","offset":5,"limit":10}`)})
	if err != nil || in.Rows != 10 {
		t.Fatal(in, err)
	}
	for i, want := range []bool{true, true, false, false} {
		if got := len(server.Requests(fmt.Sprintf("train-%d.csv", i))) > 0; got != want {
			t.Errorf("file %d: fetched %v", i, got)
		}
	}
}

func TestChoicesOfOtherSources(t *testing.T) {
	s, _ := newService(t)
	d, _, err := s.Create(t.Context(), strings.NewReader("text,label\n"+lines(50)), data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		source string
		rows   int
		fields []string
	}{
		"a sample of an upload": {`{"id":"` + d.ID + `","sample":20}`, 20, nil},
		"a window of one":       {`{"id":"` + d.ID + `","offset":40,"limit":20}`, 10, nil},
		"past its end":          {`{"id":"` + d.ID + `","offset":50}`, 0, []string{"dataset.offset"}},
		"one class of it":       {`{"id":"` + d.ID + `","limit":1}`, 0, []string{"dataset"}},
		"columns of rows":       {`{"rows":[{"a":"x","b":"1"},{"a":"y","b":"2"}],"columns":{"text":"a","label":"b"}}`, 2, nil},
		"no such column":        {`{"rows":[{"a":"x","b":"1"},{"a":"y","b":"2"}],"columns":{"text":"c","label":"b"}}`, 0, []string{"dataset.columns.text"}},
		"a bad row":             {`{"rows":[{"a":"x","b":"1"},{"a":"","b":"2"}],"columns":{"text":"a","label":"b"}}`, 0, []string{"dataset.rows[1].a"}},
	} {
		t.Run(name, func(t *testing.T) {
			in, err := s.Inputs(t.Context(), tuning.Spec{Dataset: source(t, c.source)})
			var fields []string
			for _, f := range invalid.Faults(err) {
				fields = append(fields, f.Field)
			}
			if !slices.Equal(fields, c.fields) || c.fields == nil && (err != nil || in.Rows != c.rows) {
				t.Errorf("fields %q, want %q: %+v, %v", fields, c.fields, in, err)
			}
		})
	}
}
