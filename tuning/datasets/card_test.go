package datasets

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"lorikeet/adapters/invalid"
)

// The front matter of stanfordnlp/imdb, shortened.
const imdbCard = `---
annotations_creators:
- expert-generated
pretty_name: IMDB
dataset_info:
  config_name: plain_text
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': neg
          '1': pos
  splits:
  - name: train
    num_bytes: 33432823
    num_examples: 25000
configs:
- config_name: plain_text
  data_files:
  - split: train
    path: plain_text/train-*
  - split: test
    path: plain_text/test-*
  - split: unsupervised
    path: plain_text/unsupervised-*
  default: true
train-eval-index:
- config: plain_text
---

# Dataset Card for "imdb"
`

func TestParseCard(t *testing.T) {
	front := func(text string) string { return "---\n" + text + "\n---\n# Title\n" }
	for name, c := range map[string]struct{ readme, want string }{
		"imdb":                {imdbCard, "plain_text! train=[plain_text/train-*] test=[plain_text/test-*] unsupervised=[plain_text/unsupervised-*]; plain_text: label=[neg pos]"},
		"no front matter":     {"# Title\n---\na: b\n---\n", ""},
		"one that never ends": {"---\nconfigs: x\n", ""},
		"Windows":             {"\ufeff---\r\nconfigs:\r\n- config_name: a\r\n  data_files: b.csv\r\n---\r\n", "a train=[b.csv]"},
		"empty":               {"", ""},
		"a list of files":     {front("configs:\n- data_files: [a.csv, b.csv]"), "default train=[a.csv b.csv]"},
		"a mapping of splits": {front("configs:\n- config_name: x\n  data_dir: data/\n  data_files:\n    test: t.csv\n    train: [a.csv, b.csv]"), "x@data test=[t.csv] train=[a.csv b.csv]"},
		"several paths":       {front("configs:\n- data_files:\n  - split: train\n    path: [a, b]\n  - split: train\n    path: c"), "default train=[a b c]"},
		"a folder alone":      {front("configs:\n- config_name: de\n  data_dir: de"), "de@de"},
		"several infos":       {front("dataset_info:\n- config_name: a\n  features: [{name: l, dtype: {class_label: {names: {0: no, 1: yes}}}}]\n- features: [{name: m, dtype: {class_label: {names: [x, y]}}}]"), "; a: l=[no yes]; default: m=[x y]"},
		"aliases":             {front("dataset_info:\n- config_name: a\n  features: &id001\n  - {name: l, dtype: {class_label: {names: {'0': x, '1': y}}}}\n- config_name: b\n  features: *id001"), "; a: l=[x y]; b: l=[x y]"},
		"a gap in the names":  {front("dataset_info: {features: [{name: l, dtype: {class_label: {names: {'0': x, '2': y}}}}]}"), "; default:"},
		"other shapes":        {front("dataset_info: 3\nconfigs:"), "; default:"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseCard([]byte(c.readme))
			if err != nil {
				t.Fatal(err)
			}
			if text := describe(got); text != c.want {
				t.Errorf("%s\nwant %s", text, c.want)
			}
		})
	}
	for name, readme := range map[string]string{
		"no YAML":              front("a: [b"),
		"a list of names":      front("configs: [a, b]"),
		"an entry of nothing":  front("configs:\n- data_files:\n  - path: a"),
		"paths that are none":  front("configs:\n- data_files: [3]"),
		"a split that is none": front("configs:\n- data_files: {train: {a: b}}"),
		"ten to the ninth":     front(bomb()),
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if _, err := parseCard([]byte(readme)); !invalid.Is(err) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// bomb is a list that aliases blow up.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 9; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	return b.String() + "configs: *a8\n"
}

func describe(c card) string {
	var parts []string
	for _, config := range c.configs {
		text := config.name
		if config.standard {
			text += "!"
		}
		if config.dir != "" {
			text += "@" + config.dir
		}
		for _, s := range config.splits {
			text += fmt.Sprintf(" %s=%v", s.name, s.patterns)
		}
		parts = append(parts, text)
	}
	out := strings.Join(parts, ", ")
	for _, name := range []string{"a", "b", "plain_text", "default"} {
		classes, ok := c.classes[name]
		if !ok {
			continue
		}
		out += "; " + name + ":"
		for _, column := range []string{"l", "m", "label"} {
			if names := classes[column]; names != nil {
				out += fmt.Sprintf(" %s=%v", column, names)
			}
		}
	}
	return out
}

func TestMatches(t *testing.T) {
	for glob, files := range map[string][2]string{
		"plain_text/train-*": {"plain_text/train-00000-of-00001.parquet", "plain_text/a/train-0.parquet plain_text/test-0.parquet"},
		"**":                 {"a a/b a/b/c", ""},
		"**/train*":          {"train.csv a/b/train-1.csv", "train/x.csv b.csv"},
		"data/**/*.csv":      {"data/a.csv data/x/y/a.csv", "a.csv data/a.json"},
		"a?[0-9].csv":        {"ab1.csv", "ab.csv abc.csv"},
		"odd[.csv":           {"odd[.csv", "odd.csv"},
		"a/**/b/**/c":        {"a/b/c a/x/b/y/z/c a/b/b/c", "a/c b/c"},
	} {
		for _, f := range strings.Fields(files[0]) {
			if !matches(glob, f) {
				t.Errorf("%s does not match %s", glob, f)
			}
		}
		for _, f := range strings.Fields(files[1]) {
			if matches(glob, f) {
				t.Errorf("%s matches %s", glob, f)
			}
		}
	}
}

// FuzzCard: a README.md of whatever bytes gives a card or a fault, and choosing by it
// gives files that are there, or a fault.
func FuzzCard(f *testing.F) {
	f.Add([]byte(imdbCard), "plain_text", "train")
	f.Add([]byte("---\nconfigs:\n- data_files: {train: [a.csv, '**']}\n---\n"), "", "train[:10%]")
	f.Add([]byte("---\nconfigs: [{config_name: a, data_dir: ../.., default: true}]\ndataset_info: {features: [{name: l, dtype: {class_label: {names: {0: a}}}}]}\n---"), "a", "test")
	f.Add([]byte("---\n"+bomb()+"---\n"), "", "train")
	listed := []string{"README.md", "plain_text/train-00000-of-00001.parquet", "plain_text/test-0.parquet", "a.csv", "x/y/train.jsonl"}
	f.Fuzz(func(t *testing.T, readme []byte, config, split string) {
		c, err := parseCard(readme)
		if err != nil {
			if !invalid.Is(err) {
				t.Fatalf("no fault: %v", err)
			}
			return
		}
		s, err := choose(listed, c, config, split)
		if err != nil && !invalid.Is(err) {
			t.Fatalf("no fault: %v", err)
		}
		if err == nil && len(s.files) == 0 {
			t.Fatal("no files, and no fault")
		}
		for _, file := range s.files {
			if path.Ext(file) != path.Ext(s.files[0]) || !strings.Contains(strings.Join(listed, "\n"), file) {
				t.Fatalf("chose %q", s.files)
			}
		}
	})
}
