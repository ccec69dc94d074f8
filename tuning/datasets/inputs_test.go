package datasets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/hub"
	"lorikeet/tuning"
	"lorikeet/tuning/data"
)

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// source reads a Source as it stands in a request.
func source(t *testing.T, text string) *tuning.Source {
	t.Helper()
	if text == "" {
		return nil
	}
	var s tuning.Source
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

const two = `{"rows":[{"text":"a","label":"x"},{"text":"b","label":"y"}]}`

func TestInputs(t *testing.T) {
	s, dir := newService(t)
	d, _, err := s.Create(t.Context(), strings.NewReader(csv+lines(50)), data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("of a data set", func(t *testing.T) {
		in, err := s.Inputs(t.Context(), tuning.Spec{Dataset: source(t, `{"id":"`+d.ID+`"}`)})
		if err != nil || in.Train != d.Canonical || in.Validation != "" || in.Rows != d.Rows || in.Kind != data.Classification || !slices.Equal(in.Labels, []string{"negative", "positive"}) {
			t.Errorf("%+v, %v", in, err)
		}
	})
	t.Run("of rows in the request", func(t *testing.T) {
		in, err := s.Inputs(t.Context(), tuning.Spec{Dataset: source(t, two), Validation: source(t, `{"rows":[{"text":"c","label":"x"},{"text":"d","label":"y"}]}`)})
		if err != nil || in.Rows != 2 || in.ValidationRows != 2 {
			t.Fatalf("%+v, %v", in, err)
		}
		if got := content(t, dir, in.Validation); got != "{\"text\":\"c\",\"label\":\"x\"}\n{\"text\":\"d\",\"label\":\"y\"}\n" {
			t.Errorf("validation rows %s", got)
		}
	})
	t.Run("with a share held back, the same each time", func(t *testing.T) {
		spec := tuning.Spec{Dataset: source(t, `{"id":"`+d.ID+`"}`), Validation: source(t, `{"split":0.25}`)}
		in, err := s.Inputs(t.Context(), spec)
		if err != nil || in.Rows+in.ValidationRows != d.Rows || in.ValidationRows != 13 {
			t.Errorf("%+v, %v", in, err)
		}
		again, err := s.Inputs(t.Context(), spec)
		if err != nil || again.Train != in.Train || again.Validation != in.Validation {
			t.Errorf("%+v, %v", again, err)
		}
		spec.Hyperparameters = &tuning.Hyperparameters{Seed: new(int64(7))}
		other, err := s.Inputs(t.Context(), spec)
		if err != nil || other.Validation == in.Validation {
			t.Errorf("another seed holds back the same rows: %v", err)
		}
	})
	for name, c := range map[string]struct {
		train, validation string
		fields            []string
		is                error
	}{
		"no data set":                 {"", "", []string{"dataset"}, nil},
		"nothing in it":               {`{}`, "", []string{"dataset"}, nil},
		"two things in it":            {`{"id":"ds_x","hf":"a/b"}`, "", []string{"dataset"}, nil},
		"no such data set":            {`{"id":"ds_00000000000000000000"}`, "", []string{"dataset.id"}, ErrNotFound},
		"bad rows on both sides":      {`{"rows":[{"text":"a"},{"text":"b","label":"y"}]}`, `{"rows":[{"text":"c","label":"x"},{"lable":"y"}]}`, []string{"dataset.rows[0].label", "validation.rows[1].text", "validation.rows[1].label"}, nil},
		"a share that is none":        {two, `{"split":1.5}`, []string{"validation.split"}, nil},
		"a share that is a name":      {two, `{"split":"test"}`, []string{"validation.split"}, nil},
		"a share that leaves nothing": {two, `{"split":0.5}`, []string{"validation.split"}, nil},
		"labels never trained on":     {two, `{"rows":[{"text":"c","label":"x"},{"text":"d","label":"z"}]}`, []string{"validation"}, nil},
		"another kind of rows":        {two, `{"rows":[{"text":"c","target":1.5},{"text":"d","target":0.5}]}`, []string{"validation"}, nil},
		"a hub that is not there":     {`{"hf":"a/b"}`, "", []string{"dataset.hf"}, nil},
	} {
		t.Run("with "+name, func(t *testing.T) {
			in, err := s.Inputs(t.Context(), tuning.Spec{Dataset: source(t, c.train), Validation: source(t, c.validation)})
			var fields []string
			for _, f := range invalid.Faults(err) {
				fields = append(fields, f.Field)
			}
			if !slices.Equal(fields, c.fields) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("fields %q, want %q: %+v, %v", fields, c.fields, in, err)
			}
		})
	}
}

// lines are lines of a CSV, half of each label.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "text %d,%s\n", i, []string{"positive", "negative"}[i%2])
	}
	return b.String()
}

// fakeHub is a repository: names to contents.
type fakeHub struct {
	dir   string
	files map[string]string
	err   error
}

func (h fakeHub) List(_ context.Context, r hub.Ref) ([]string, string, error) {
	if h.err != nil {
		return nil, "", h.err
	}
	if r.Revision == conversion {
		return nil, "", fmt.Errorf("%w: no such branch", hub.ErrNotFound)
	}
	return slices.Sorted(maps.Keys(h.files)), "c0ffee", nil
}

func (h fakeHub) Fetch(_ context.Context, r hub.Ref, want func(string) bool) (string, string, error) {
	if h.err != nil {
		return "", "", h.err
	}
	if !r.Dataset {
		return "", "", errors.New("asked for a model")
	}
	if r.Revision != "c0ffee" {
		return "", "", errors.New("asked for another commit than was listed")
	}
	found := false
	for name, text := range h.files {
		if !want(name) {
			continue
		}
		found = true
		path := filepath.Join(h.dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			return "", "", err
		}
	}
	if !found {
		return "", "", fmt.Errorf("%w: none is wanted", hub.ErrNotFound)
	}
	return h.dir, "c0ffee", nil
}

func TestInputsFromTheHub(t *testing.T) {
	s, dir := newService(t)
	jsonl := func(texts ...string) string {
		var b strings.Builder
		for i, text := range texts {
			fmt.Fprintf(&b, "{\"text\":%q,\"label\":%q}\n", text, []string{"x", "y"}[i%2])
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		files  map[string]string
		source string
		rows   int
		fields []string
	}{
		"one file":           {map[string]string{"data.csv": csv, "README.md": "x"}, `{"hf":"o/n"}`, 2, nil},
		"shards, in order":   {map[string]string{"data/train-1-of-2.jsonl": jsonl("c", "d"), "data/train-0-of-2.jsonl": jsonl("a", "b"), "data/test-0.jsonl": jsonl("e", "f")}, `{"hf":"o/n"}`, 4, nil},
		"another split":      {map[string]string{"train.csv": csv, "test.jsonl": jsonl("a", "b", "c")}, `{"hf":"hf:o/n@main","split":"test"}`, 3, nil},
		"a folder of many":   {map[string]string{"sst2/train.csv": csv, "cola/train.csv": csv + csv[11:]}, `{"hf":"o/n","split":"sst2/train"}`, 2, nil},
		"many and none said": {map[string]string{"sst2/train.csv": csv, "cola/train.csv": csv}, `{"hf":"o/n"}`, 0, []string{"dataset.config"}},
		"no such split":      {map[string]string{"train.csv": csv}, `{"hf":"o/n","split":"dev"}`, 0, []string{"dataset.split"}},
		"no data at all":     {map[string]string{"README.md": "x", "train.py": "x"}, `{"hf":"o/n"}`, 0, []string{"dataset.hf"}},
		"a bad file":         {map[string]string{"train.jsonl": jsonl("a", "b") + "{}\n"}, `{"hf":"o/n"}`, 0, []string{"dataset.hf", "dataset.hf"}},
		"a bad name":         {nil, `{"hf":"../x"}`, 0, []string{"dataset.hf"}},
		"a split of no name": {nil, `{"hf":"o/n","split":3}`, 0, []string{"dataset.split"}},
		"mixed formats":      {map[string]string{"train.csv": csv, "train.jsonl": jsonl("a", "b")}, `{"hf":"o/n"}`, 0, []string{"dataset.split"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(Options{Store: s.o.Store, Hub: fakeHub{dir: t.TempDir(), files: c.files}})
			in, err := s.Inputs(t.Context(), tuning.Spec{Dataset: source(t, c.source)})
			var fields []string
			for _, f := range invalid.Faults(err) {
				fields = append(fields, f.Field)
			}
			if !slices.Equal(fields, c.fields) || c.fields == nil && (err != nil || in.Rows != c.rows) {
				t.Errorf("fields %q, want %q: %+v, %v", fields, c.fields, in, err)
			}
			if name == "shards, in order" && !strings.HasPrefix(content(t, dir, in.Train), `{"text":"a"`) {
				t.Error(content(t, dir, in.Train))
			}
		})
	}
	t.Run("a hub out of reach", func(t *testing.T) {
		s := New(Options{Store: s.o.Store, Hub: fakeHub{err: hub.ErrUnavailable}})
		if _, err := s.Inputs(t.Context(), tuning.Spec{Dataset: source(t, `{"hf":"o/n"}`)}); !errors.Is(err, hub.ErrUnavailable) {
			t.Errorf("error %v", err)
		}
	})
}
