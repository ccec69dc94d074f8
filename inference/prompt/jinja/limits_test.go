package jinja

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hostile are templates that would take all memory, time or stack of a renderer
// without limits.
var hostile = map[string]string{
	"a macro that calls itself":       "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
	"two macros that call each other": "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
	"a text doubled":                  "{% set ns = namespace(x='ab') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
	"a text added to itself":          "{% set ns = namespace(x='ab') %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
	"a list doubled":                  "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
	"a list of itself, printed":       "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
	"a list of itself, as JSON":       "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}",
	"a list of itself, compared":      "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
	"a list nested deep, printed":     "{% set ns = namespace(x=[1]) %}{% for i in range(50000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
	"a long range":                    "{% for i in range(999999999) %}{% endfor %}",
	"ranges in ranges":                "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
	"lists in lists":                  "{% set r = range(99999) %}{% for i in r %}{% for j in r %}{% for k in r %}{% endfor %}{% endfor %}{% endfor %}",
	"a text repeated":                 "{{ 'abc' * 99999999999 }}",
	"a text repeated twice":           "{{ ('abc' * 1000000) * 1000000 }}",
	"a text replaced by a longer":     "{% set ns = namespace(x='a' * 1000) %}{% for i in range(9) %}{% set ns.x = ns.x|replace('a', 'a' * 1000) %}{% endfor %}",
	"a text joined by itself":         "{{ (('a' * 100000)|list)|join('b' * 100000) }}",
	"much written":                    "{% set x = 'a' * 1000000 %}{% for i in range(99999) %}{{ x }}{% endfor %}",
	"an indent without end":           "{{ ('a\n' * 100000)|indent(100000) }}",
	"JSON with an indent":             "{{ range(99999)|tojson(indent=100000) }}",
	"a filter on much":                "{% for i in range(99999) %}{{ ('a' * 1000000)|upper|length }}{% endfor %}",
	"a search in much":                "{% set x = 'a' * 1000000 ~ 'b' %}{% for i in range(99999) %}{% if 'ab' * 1000 in x %}{% endif %}{% endfor %}",
	"a strip by much":                 "{{ ('a' * 4000000).strip('b' * 4000000 ~ 'a') }}{{ 1 // 0 }}",
	"a sort of much":                  "{% for i in range(99999) %}{{ range(99999)|sort|length }}{% endfor %}",
	"maps of maps":                    "{{ [range(99999)]|map('map', 'map', 'map')|list }}",
	"brackets":                        "{{ " + strings.Repeat("[", 100000) + " }}",
	"brackets and minus signs":        "{{ " + strings.Repeat("-", 100000) + "1 }}",
	"nots":                            "{{ " + strings.Repeat("not ", 60000) + "1 }}",
	"conditionals":                    "{{ " + strings.Repeat("1 if 1 else ", 20000) + "1 }}",
	"ifs":                             strings.Repeat("{% if 1 %}", 20000),
	"sums":                            "{{ 1" + strings.Repeat("+1", 100000) + " }}",
	"attributes":                      "{{ a" + strings.Repeat(".a", 100000) + " }}",
	"targets":                         "{% set " + strings.Repeat("(", 100000) + " %}",
	"a template too long":             strings.Repeat("a", maxSource+1),
	"a power":                         "{{ 9 ** 99999999999 }}",
	"a power of one":                  "{{ (1 ** 99999999999) + (-1) ** 99999999999 + 2 ** 64 }}",
	"a file":                          "{% include '/etc/passwd' %}",
	"a file imported":                 "{% import 'x' as y %}",
	"a file from which to import":     "{% from 'x' import y %}",
	"a parent":                        "{% extends 'x' %}",
	"the smallest integer divided":    "{{ (-9223372036854775807 - 1) // -1 }}",
	"the smallest integer turned":     "{{ -(-9223372036854775807 - 1) }}",
	"a slice of steps too long":       "{{ [1, 2][::9223372036854775807] }}{{ 'ab'[9223372036854775807:-9223372036854775807:-9223372036854775807] }}{{ 1 // 0 }}",
}

func TestHostile(t *testing.T) {
	d := loadDialect(t)
	for about, source := range hostile {
		got, err := render(source, d.Vars)
		var mistake *Error
		if !errors.As(err, &mistake) || strings.HasPrefix(mistake.Reason, "internal") {
			t.Errorf("%s: %d bytes, %v; want a refusal", about, len(got), err)
		}
	}
}

// TestSharedTemplate renders one template at once; the race detector looks on.
func TestSharedTemplate(t *testing.T) {
	template, err := Parse("{% set ns = namespace(n=0) %}{% macro m(x) %}{{ x }}{% endmacro %}{% for i in l %}{% set ns.n = ns.n + i %}{{ m(i) }}{% endfor %}{{ ns.n }}")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 8)
	for range cap(done) {
		go func() {
			got, _ := template.Render(map[string]any{"l": []any{1, 2}}, noon)
			done <- got
		}()
	}
	for range cap(done) {
		if got := <-done; got != "123" {
			t.Errorf("got %q", got)
		}
	}
}

func TestErrorsTellTheLine(t *testing.T) {
	for source, want := range map[string]string{
		"a\n\n{{ 1 + }}":                      `line 3: expected an expression, got the end of the tag`,
		"a\n{% if t %}\n{{ x.y }}{% endif %}": `line 3: x is undefined`,
		"\n{% nope %}":                        `line 2: the tag "nope" is not supported in a chat template`,
		"{{ raise_exception('so') }}":         `so`,
	} {
		if _, err := render(source, map[string]any{"t": true}); err == nil || err.Error() != want {
			t.Errorf("%q: %v; want %s", source, err, want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	d := loadDialect(f)
	for _, c := range d.Cases {
		f.Add(c.Source)
	}
	for _, source := range hostile {
		if len(source) < 1000 {
			f.Add(source)
		}
	}
	f.Add("{{ 'a\xff\xff'|title }}{{ 'a\xff'.title() }}{{ '\xff'|capitalize }}{{ 'a\xff'|upper|lower }}")
	files, err := filepath.Glob("../testdata/templates/*.jinja")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(source))
	}
	f.Fuzz(func(t *testing.T, source string) {
		got, err := render(source, d.Vars)
		var mistake *Error
		if err != nil && (!errors.As(err, &mistake) || strings.HasPrefix(mistake.Reason, "internal")) {
			t.Error(err)
		}
		if len(got) > maxOutput+1<<20 {
			t.Errorf("%d bytes", len(got))
		}
	})
}
