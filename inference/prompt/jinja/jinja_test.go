package jinja

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 7, 9, 5, 2, 0, time.UTC)

type dialect struct {
	Vars  map[string]any
	Cases []struct{ Source, Text, Error string }
}

func loadDialect(t testing.TB) dialect {
	t.Helper()
	var d dialect
	b, err := os.ReadFile("testdata/dialect.json")
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	whole(d.Vars)
	return d
}

// whole makes integers of the numbers that JSON wrote as such.
func whole(v any) any {
	switch v := v.(type) {
	case float64:
		if v == float64(int(v)) {
			return int(v)
		}
	case []any:
		for i := range v {
			v[i] = whole(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = whole(v[k])
		}
	}
	return v
}

// TestDialect renders what testdata/dialect.py rendered with Jinja itself, and refuses
// what Jinja refuses.
func TestDialect(t *testing.T) {
	d := loadDialect(t)
	if len(d.Cases) < 400 {
		t.Fatalf("only %d cases", len(d.Cases))
	}
	for _, c := range d.Cases {
		got, err := render(c.Source, d.Vars)
		switch {
		case c.Error != "" && err == nil:
			t.Errorf("%s\n gives %q; Jinja refuses it: %s", c.Source, got, c.Error)
		case c.Error == "" && (err != nil || got != c.Text):
			t.Errorf("%s\n got %q, %v\nwant %q", c.Source, got, err, c.Text)
		}
	}
}

func render(source string, vars map[string]any) (string, error) {
	template, err := Parse(source)
	if err != nil {
		return "", err
	}
	return template.Render(vars, noon)
}
